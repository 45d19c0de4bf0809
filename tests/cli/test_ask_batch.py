"""`retake ask --batch`: the same answers, several at a time."""

from pathlib import Path
from typing import Any

import pytest

from retake.datasets.scenes import Clip
from retake.video_model import VideoModel
from tests.cli.conftest import Run

QUESTIONS = ("What?", "Which of the colours that were shown came last, then?", "Where to?", "Why?")
_WORDS = ("--max-new-tokens", "8", "--json")


@pytest.fixture
def memory(retake: Run, scene: Clip, checkpoint: Path, tmp_path: Path) -> Path:
    """The scene as the tiny model watched it."""
    path = tmp_path / "scene.retake"
    words = ("--model", checkpoint, "--keep-ratio", "0.5", "-o", path)
    assert retake("watch", scene.path, *words).code == 0
    return path


@pytest.fixture
def sizes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many questions were asked together."""
    found: list[int] = []
    real = VideoModel.ask_many

    def counting(model: Any, questions: Any, *given: Any, **options: Any) -> Any:
        found.append(len(questions))
        return real(model, questions, *given, **options)

    monkeypatch.setattr(VideoModel, "ask_many", counting)
    return found


def _answers(retake: Run, memory: Path, *words: str) -> list[Any]:
    result = retake("ask", memory, *QUESTIONS, *_WORDS, *words)
    assert result.code == 0, result.err
    return [(each["question"], each["token_ids"]) for each in result.data["answers"]]


def test_same_answers(retake: Run, memory: Path, sizes: list[int]) -> None:
    """Alone unless asked; then so many at a time, in the order of the questions."""
    expected = _answers(retake, memory)
    assert [question for question, _ in expected] == list(QUESTIONS)
    assert sizes == [1, 1, 1, 1]
    sizes.clear()
    assert _answers(retake, memory, "--batch", "3") == expected
    assert sizes == [3, 1]
    assert _answers(retake, memory, "--batch", "99") == expected
    assert sizes == [3, 1, 4]


def test_costs_add_up(retake: Run, memory: Path) -> None:
    """The stage is the sum of its answers, also where a batch gave them."""
    data = retake("ask", memory, *QUESTIONS, *_WORDS, "--batch", "4").data
    answering = next(cost for cost in data["costs"] if cost["name"] == "answer")
    shares = [answer["cost"]["seconds"] for answer in data["answers"]]
    assert answering["seconds"] == pytest.approx(sum(shares))
    assert len(set(shares)) == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("What?", "--batch", "0"), "x>=1"),
        (("What?", "--batch", "many"), "'many' is not a valid integer"),
        (("What?", "--batch", "2", "--stream"), "leave --batch out"),
    ],
)
def test_wrong_requests(retake: Run, memory: Path, words: tuple[str, ...], message: str) -> None:
    """Refused before a model is loaded."""
    result = retake("ask", memory, *words)
    assert result.code == 2
    assert message in result.err
