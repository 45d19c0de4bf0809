"""What a benchmark may say besides samples: how it is asked, read, and what it cannot mark."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import retake
from retake.core.errors import NoRoomError, UsageError
from tests.evaluation.test_running import QUESTIONS, Model, Quiz, go


def test_watched_for_each_question_though_once_would_do(tmp_path: Path) -> None:
    """As many watches as questions, each with so much set aside as when they share one."""
    model = Model()
    found = go(tmp_path / "run", model, watch_each=True)
    assert model.encoded == []
    assert model.watched == [(f"v{video}.mp4", QUESTIONS) for video in (0, 1) for _ in QUESTIONS]
    assert [sample.watch for sample in found.samples] == [1, 2, 3, 4, 5, 6]
    once = go(tmp_path / "once", Model())
    told = [(each.id, each.answer, each.score, each.cache_tokens) for each in found.samples]
    assert told == [(each.id, each.answer, each.score, each.cache_tokens) for each in once.samples]


class ByFrames(Quiz):
    """Asks with the times of the frames in the question."""

    @property
    def asks_by_frames(self) -> bool:
        return True

    def phrase(self, sample: retake.Sample, timestamps: Sequence[float]) -> str:
        return f"{sample.question} {sum(timestamps):g}"

    def parse(self, sample: retake.Sample, answer: str) -> str | None:
        return answer.upper() if answer == "yes" else None


def test_what_is_asked_may_depend_on_the_frames(tmp_path: Path) -> None:
    """It is asked and recorded as phrased; what was read from the answer is recorded too."""
    model = Model()
    model.sampled_times = lambda video: (1.0, 2.5)  # type: ignore[attr-defined]
    found = go(tmp_path / "run", model, ByFrames())
    assert model.watched[0] == ("v0.mp4", [f"{question} 3.5" for question in QUESTIONS])
    assert [sample.prompt for sample in found.samples[:3]] == model.watched[0][1]
    assert [sample.question for sample in found.samples[:3]] == QUESTIONS
    assert [sample.parsed for sample in found.samples[:3]] == ["YES", "YES", None]


def test_what_cannot_be_marked_has_no_score(tmp_path: Path) -> None:
    """The run is complete all the same."""

    class Hidden(Quiz):
        def mark(self, sample: retake.Sample, answer: str) -> float | None:
            return None if sample.kind == "order" else 1.0

    found = go(tmp_path / "run", Model(), Hidden())
    assert found.complete
    assert [sample.score for sample in found.samples] == [1.0, None, 1.0] * 2


@pytest.mark.parametrize(
    ("method", "result", "says"),
    [
        ("phrase", 3, r"phrase\(\) must return text, but returned 3"),
        ("phrase", " ", r"phrase\(\) must return text"),
        ("parse", 3, r"parse\(\) must return text or None, but returned 3"),
    ],
)
def test_what_a_benchmark_says_is_checked(
    tmp_path: Path, method: str, result: Any, says: str
) -> None:
    """Its author is told which sample it was."""
    model = Model()
    model.sampled_times = lambda video: ()  # type: ignore[attr-defined]
    odd = type("Odd", (ByFrames,), {method: lambda self, *_: result})
    with pytest.raises(UsageError, match=f"Odd.{says}.*v0-q0"):
        go(tmp_path / "run", model, odd())


def test_subtitles_that_leave_no_room(tmp_path: Path) -> None:
    """They are one video's; a budget too small for plain questions is wrong for every video."""
    trouble = NoRoomError("A budget of 9 tokens is used up by the prompt.")
    model = Model(trouble={"v0.mp4": trouble})
    model.sampled_times = lambda video: (1.0,)  # type: ignore[attr-defined]
    found = go(tmp_path / "run", model, ByFrames())
    assert [failure.video for failure in found.failures] == ["v0.mp4"]
    assert len(found.samples) == 3
    with pytest.raises(NoRoomError):
        go(tmp_path / "plain", Model(trouble={"v0.mp4": trouble}))
