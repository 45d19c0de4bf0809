"""Answering samples into a run: what is watched and asked, and what one bad video does."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs
import pytest
import torch

import retake
from retake.core.errors import PartError, UsageError, VideoError
from retake.evaluation.folder import RunFolder
from retake.evaluation.records import read_run
from retake.evaluation.running import Run, by_video, chosen, evaluate
from tests.evaluation import making
from tests.evaluation.quiz import QUESTIONS, Model, Quiz, go, header


def test_a_video_is_watched_once(tmp_path: Path) -> None:
    """With all of its questions, which are then asked one by one."""
    model = Model()
    found = go(tmp_path / "run", model)
    assert model.watched == [("v0.mp4", QUESTIONS), ("v1.mp4", QUESTIONS)]
    assert model.asked == [[question] for question in QUESTIONS * 2]
    assert found.complete
    assert [sample.score for sample in found.samples] == [1, 1, 0] * 2
    assert [sample.watch for sample in found.samples] == [1, 1, 1, 2, 2, 2]
    first = found.samples[0]
    assert first.seconds == {"decode": 1.0, "prefill": 2.0, "answer": 0.3}
    assert (first.achieved_ratio, first.kv_bytes, first.cache_tokens) == (0.5, 50, (16, 17))
    assert (first.expected, first.options, first.chance) == ("yes", ("yes", "no"), 0.5)
    assert first.groups == {"seconds": 64.0, "seed": 0, "length": "short"}
    assert [video.question for video in found.videos] == [None, None]


def test_watched_anew_for_each_question(tmp_path: Path) -> None:
    """Where the question matters to what is kept: encoded once, and only that one is asked."""
    model = Model(needs_question=True)
    found = go(tmp_path / "run", model)
    assert model.encoded == ["v0.mp4", "v1.mp4"]
    assert model.watched[:3] == [("encoded v0.mp4", [question]) for question in QUESTIONS]
    assert model.asked == [[question] for question in QUESTIONS * 2]
    assert [video.question for video in found.videos] == QUESTIONS * 2
    assert [sample.watch for sample in found.samples] == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("needs_question", [False, True])
def test_what_was_encoded_elsewhere(tmp_path: Path, needs_question: bool) -> None:
    """A sweep encodes a video once for many runs; records name the file all the same."""
    model, quiz = Model(needs_question), Quiz()
    folder = tmp_path / "run"
    with RunFolder(folder, header(folder, quiz)) as kept:
        run = Run(kept, quiz)
        for video, samples in by_video(chosen(quiz)):
            run.answer(model, _Encoded(video), samples)  # type: ignore[arg-type]
    assert model.encoded == []
    assert {video.video for video in read_run(folder).videos} == {"v0.mp4", "v1.mp4"}
    assert read_run(folder).complete


class _Encoded:
    """Stands for an encoded video."""

    def __init__(self, video: Path) -> None:
        self.video = video


def test_interrupted_between_questions(tmp_path: Path) -> None:
    """What is answered stays; resumed, the video is watched with all questions once more."""
    model = Model(trouble={"Question 1?": KeyboardInterrupt()})
    with pytest.raises(KeyboardInterrupt):
        go(tmp_path / "run", model)
    assert [sample.id for sample in read_run(tmp_path / "run").samples] == ["v0-q0"]
    again = Model()
    found = go(tmp_path / "run", again)
    assert again.watched == [("v0.mp4", QUESTIONS), ("v1.mp4", QUESTIONS)]
    assert again.asked[0] == ["Question 1?"]
    assert found.complete
    assert [sample.watch for sample in found.samples] == [1, 2, 2, 3, 3, 3]


def test_nothing_is_done_twice(tmp_path: Path) -> None:
    """A complete run has nothing pending: no video is even opened."""
    go(tmp_path / "run", Model())
    model = Model()
    go(tmp_path / "run", model)
    assert (model.watched, model.asked) == ([], [])


def _in_a_part(error: Exception) -> PartError:
    """The error of a part's code that another one caused."""
    found = PartError("mine:Mine.score() failed")
    found.__cause__ = error
    return found


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (VideoError("v0.mp4 is no video.", hint="Look."), "v0.mp4 is no video."),
        (
            torch.OutOfMemoryError("CUDA out of memory.\nTried"),
            "out of memory: CUDA out of memory.",
        ),
        (MemoryError(), "out of memory"),
        (_in_a_part(MemoryError("none left")), "out of memory: none left"),
    ],
)
@pytest.mark.parametrize("needs_question", [False, True])
def test_one_bad_video(tmp_path: Path, error: Exception, reason: str, needs_question: bool) -> None:
    """It is noted, the next one's turn comes, and resuming tries it again."""
    model = Model(needs_question, trouble={"v0.mp4": error})
    found = go(tmp_path / "run", model)
    assert [sample.video for sample in found.samples] == ["v1.mp4"] * 3
    [failure] = found.failures
    assert (failure.video, failure.reason) == ("v0.mp4", reason)
    assert failure.samples == ("v0-q0", "v0-q1", "v0-q2")
    assert (found.complete, found.failed) == (False, 3)
    found = go(tmp_path / "run", Model(needs_question))
    assert found.complete
    assert found.failures == ()


def test_failing_fast(tmp_path: Path) -> None:
    """Noted too, then raised."""
    model = Model(trouble={"v0.mp4": VideoError("v0.mp4 is no video.")})
    with pytest.raises(VideoError, match="is no video"):
        go(tmp_path / "run", model, fail_fast=True)
    assert read_run(tmp_path / "run").failed == 3
    model = Model(trouble={"v0.mp4": MemoryError()})
    with pytest.raises(VideoError, match=r"v0\.mp4: out of memory"):
        go(tmp_path / "run", model, fail_fast=True)


def test_a_question_too_much(tmp_path: Path) -> None:
    """What was answered before it counts; what is left is what failed."""
    model = Model(trouble={"Question 2?": torch.OutOfMemoryError("full")})
    found = go(tmp_path / "run", model)
    assert [sample.id for sample in found.samples] == ["v0-q0", "v0-q1", "v1-q0", "v1-q1"]
    assert [failure.samples for failure in found.failures] == [("v0-q2",), ("v1-q2",)]


@pytest.mark.parametrize(
    "error", [UsageError("It is too small."), _in_a_part(ValueError("It is too small."))]
)
def test_what_is_wrong_with_the_request_ends_the_run(
    tmp_path: Path, error: retake.RetakeError
) -> None:
    """It would be wrong for the next video, too."""
    model = Model(trouble={"v0.mp4": error})
    with pytest.raises(type(error)):
        go(tmp_path / "run", model)
    assert read_run(tmp_path / "run").failures == ()


@pytest.mark.parametrize("right", [1.5, -1, float("nan"), "yes"])
def test_marks_are_from_0_to_1(tmp_path: Path, right: Any) -> None:
    """Anything else is the benchmark's mistake, and is said."""
    with pytest.raises(UsageError, match=r"Quiz.mark\(\) must return a number from 0 to 1"):
        go(tmp_path / "run", Model(), Quiz(right))
    assert read_run(tmp_path / "run").samples == ()


def test_a_benchmark_that_fails(tmp_path: Path) -> None:
    """Its author is told where."""

    class Broken(Quiz):
        def mark(self, sample: retake.Sample, answer: str) -> float:
            raise KeyError(answer)

    with pytest.raises(PartError, match=r"Broken.mark\(\) failed: KeyError: 'yes'"):
        go(tmp_path / "run", Model(), Broken())


def test_chosen_samples() -> None:
    """The first ones; none twice, and at least one."""

    @attrs.frozen
    class Given(Quiz):
        given: tuple[retake.Sample, ...] = ()

        def samples(self) -> Sequence[retake.Sample]:
            return self.given

    assert chosen(Quiz(), 4) == making.samples()[:4]
    assert chosen(Quiz(), 400) == making.samples()
    with pytest.raises(UsageError, match="has no samples"):
        chosen(Given())
    with pytest.raises(UsageError, match="two samples with the id 'v0-q0'"):
        chosen(Given(given=(*making.samples(), making.samples()[0])))
    with pytest.raises(UsageError, match="at least 1"):
        chosen(Quiz(), 0)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"id": 3}, "id must be text, got 3"),
        ({"id": " "}, "id must be text"),
        ({"question": ""}, "question must be text"),
        ({"answer": 5}, "answer must be text, got 5"),
        ({"video": None}, "video must be a path"),
        ({"options": "yes"}, "options must be several texts, got 'yes'"),
        ({"options": (1, 2)}, "options must be several texts"),
        ({"groups": {"depth": None}}, r"groups\['depth'\] must be .* a tuple of texts, got None"),
        (
            {"groups": {"depth": float("nan")}},
            r"groups\['depth'\] must be text, a number, or a tuple",
        ),
        ({"groups": {"long": True}}, r"groups\['long'\] must be .* a tuple of texts, got True"),
        ({"chance": 25}, "chance must be a number from 0 to 1, got 25"),
    ],
)
def test_samples_are_checked_before_anything_runs(changes: dict[str, Any], says: str) -> None:
    """What could not be read back is refused while nothing is lost by it."""

    class Odd(Quiz):
        def samples(self) -> Sequence[retake.Sample]:
            first, *others = making.samples()
            return [*others, attrs.evolve(first, **changes)]

    with pytest.raises(UsageError, match=f"Odd has a sample whose {says}"):
        chosen(Odd())


def test_what_is_no_sample() -> None:
    """A benchmark that returns something else."""

    class Odd(Quiz):
        def samples(self) -> Any:
            return ["v0.mp4"]

    with pytest.raises(UsageError, match=r"must return retake.Sample, got 'v0.mp4'"):
        chosen(Odd())


def test_limit_and_batch_are_of_the_run(tmp_path: Path) -> None:
    """They decide numbers, so a run goes on with the same."""
    found = go(tmp_path / "run", Model(), limit=4)
    assert found.complete
    assert [sample.id for sample in found.samples] == [each.id for each in making.samples()[:4]]
    with pytest.raises(UsageError, match="--limit: was 4, is 5"):
        go(tmp_path / "run", Model(), limit=5)
    with pytest.raises(UsageError, match="--batch: was 1, is 2"):
        go(tmp_path / "run", Model(), limit=4, batch=2)


def test_videos_that_do_not_follow_each_other() -> None:
    """Each is one video all the same."""
    first, second = making.samples()[:3], making.samples()[3:]
    mixed = [first[0], second[0], first[1], second[1]]
    assert by_video(mixed) == [
        (Path("v0.mp4"), first[:2]),
        (Path("v1.mp4"), second[:2]),
    ]


def test_one_failure_is_reported_to_whoever_listens(tmp_path: Path) -> None:
    """Samples and failures are told once they are on the disk."""
    quiz, folder = Quiz(), tmp_path / "run"
    told: list[str] = []

    def sample(record: Any) -> None:
        assert read_run(folder).samples[-1] == record
        told.append(record.id)

    with RunFolder(folder, header(folder, quiz)) as kept:
        run = Run(kept, quiz, on_sample=sample, on_failure=lambda each: told.append(each.video))
        evaluate(run, Model(trouble={"v0.mp4": VideoError("bad")}), chosen(quiz))  # type: ignore[arg-type]
    assert told == ["v0.mp4", "v1-q0", "v1-q1", "v1-q2"]
