"""Requests about one video are answered together, and as retake's own API answers them."""

from pathlib import Path

import pytest

import retake
from retake.core.benchmark import Sample
from retake.integrations.lmms_eval.answering import Answering, Request
from retake.integrations.lmms_eval.decoding import read_decoding

GREEDY = read_decoding({"max_new_tokens": 4, "temperature": 0})
Task = tuple[Path, list[Sample]]


def requests_of(samples: list[Sample]) -> list[Request]:
    return [Request(str(sample.video), sample.question, GREEDY) for sample in samples]


def expected(model: retake.VideoModel, samples: list[Sample]) -> dict[tuple[Path, str], str]:
    """Answers by retake's own API: a video is watched with its questions, then asked each."""
    answers = {}
    for video in {sample.video for sample in samples}:
        questions = [sample.question for sample in samples if sample.video == video]
        memory = model.watch(video, questions=questions)
        for question in questions:
            answers[video, question] = model.ask(question, memory, max_new_tokens=4).text
    return answers


def test_videos_in_turns_are_watched_once_each(task: Task) -> None:
    _, samples = task
    model = retake.load(keep_ratio=0.25)
    answering = Answering(model)
    answers = answering.answers(requests_of(samples))
    right = expected(model, samples)
    assert [answer.text for answer in answers] == [right[s.video, s.question] for s in samples]
    assert answering.watched == 2
    assert all(answer.tokens >= 1 for answer in answers)


def test_a_budget_sets_aside_what_the_longest_question_needs(task: Task) -> None:
    _, samples = task
    model = retake.load(budget=60)
    answers = Answering(model).answers(requests_of(samples))
    right = expected(model, samples)
    assert [answer.text for answer in answers] == [right[s.video, s.question] for s in samples]


def test_what_looks_at_the_question_is_watched_for_each(task: Task) -> None:
    _, samples = task
    some = samples[:4]
    model = retake.load(compressor="adaretake", keep_ratio=0.25)
    assert model.needs_question
    answering = Answering(model)
    texts = [answer.text for answer in answering.answers(requests_of(some))]
    alone = []
    for sample in some:
        memory = model.watch(sample.video, questions=[sample.question])
        alone.append(model.ask(sample.question, memory, max_new_tokens=4).text)
    assert texts == alone
    assert answering.watched == 4


def test_repeats_draw_anew_and_greedy_ones_do_not(clip: Path) -> None:
    asked: list[int] = []

    class Counting(retake.VideoModel):
        def ask_many(self, questions, memory=None, **options):  # type: ignore[no-untyped-def]
            asked.append(self.config.seed)
            return super().ask_many(questions, memory, **options)

        def with_parts(self, **changes):  # type: ignore[no-untyped-def]
            other = super().with_parts(**changes)
            return Counting(
                other.adapter, other.backend, other.selector, other.compressor, other.config
            )

    plain = retake.load(keep_ratio=0.5, seed=5)
    model = Counting(plain.adapter, plain.backend, plain.selector, plain.compressor, plain.config)
    drawing = read_decoding({"max_new_tokens": 2, "temperature": 1.5})
    question = "What colour is the moving circle?"
    Answering(model).answers([Request(str(clip), question, GREEDY, n) for n in range(3)])
    assert asked == [5]
    asked.clear()
    Answering(model).answers([Request(str(clip), question, drawing, n) for n in range(3)])
    assert asked == [5, 6, 7]


def test_a_bad_video_is_an_error_or_has_empty_answers(clip: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.mp4"
    bad.write_bytes(b"no video")
    question = "Did a pink shape flash?"
    requests = [Request(str(bad), question, GREEDY), Request(str(clip), question, GREEDY)]
    model = retake.load(keep_ratio=0.5)
    with pytest.raises(retake.VideoError, match=r"bad\.mp4"):
        Answering(model).answers(requests)
    told: list[str] = []
    done: list[int] = []
    answers = Answering(model, on_bad_video="empty", warn=told.append, done=done.append).answers(
        requests
    )
    assert answers[0].text == ""
    assert answers[1].text
    assert len(told) == 1
    assert "bad.mp4" in told[0]
    assert done == [1, 1]
