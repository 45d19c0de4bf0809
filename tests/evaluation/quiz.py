"""A benchmark of six questions about two videos, and a model that notes what it is asked."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs

import retake
from retake.core.memory import Answer, StageCost
from retake.evaluation.folder import RunFolder
from retake.evaluation.records import read_run
from retake.evaluation.running import Run, chosen, evaluate, header_of
from tests.evaluation import making


@attrs.frozen
class Quiz(retake.Benchmark):
    """Two videos, three questions each, all answered by yes.

    Attributes:
        right: what a right answer counts.
    """

    right: Any = 1.0

    def samples(self) -> Sequence[retake.Sample]:
        return making.samples()

    def mark(self, sample: retake.Sample, answer: str) -> float:
        return self.right if answer == sample.answer else 0.0


class Model:
    """Notes what it is asked to do; `trouble` is raised for a video, or before an answer."""

    def __init__(self, needs_question: bool = False, trouble: Any = None) -> None:
        self.needs_question = needs_question
        self.trouble: dict[str, BaseException] = trouble or {}
        self.watched: list[tuple[str, list[str]]] = []
        self.encoded: list[str] = []
        self.asked: list[list[str]] = []

    def encode(self, video: Path, *, progress: Any = None) -> str:
        self._check(str(video))
        self.encoded.append(str(video))
        return f"encoded {video}"

    def watch(self, video: Any, *, questions: list[str], progress: Any = None) -> Any:
        self._check(str(video))
        self.watched.append((str(video), questions))
        return making.memory()

    def ask_many(self, questions: list[str], memory: Any, *, batch: int) -> list[Answer]:
        assert batch == len(questions)
        for question in questions:
            self._check(question)
        self.asked.append(questions)
        return [self._answer(question, memory) for question in questions]

    def _check(self, what: str) -> None:
        if what in self.trouble:
            raise self.trouble[what]

    @staticmethod
    def _answer(question: str, memory: Any) -> Answer:
        return Answer(
            text="no" if question.startswith("Question 2") else "yes",
            question=question,
            token_ids=(1, 2),
            prompt_tokens=4,
            cache_tokens=(16, 17),
            first_token_seconds=0.1,
            token_seconds=0.2,
            over_budget=0,
            memory=memory,
            cost=StageCost("answer", 0.3),
        )


def header(folder: Path, quiz: Quiz, **given: Any) -> Any:
    """What the run of a quiz says of itself."""
    limit = given.get("limit")
    samples = chosen(quiz, limit)
    return header_of(folder, ("quiz", quiz), samples, retake.RunConfig(), **given)


def go(folder: Path, model: Model, quiz: Quiz | None = None, **given: Any) -> Any:
    """Run a quiz, or go on with it, and read what is there."""
    quiz = quiz or Quiz()
    fail_fast = given.pop("fail_fast", False)
    with RunFolder(folder, header(folder, quiz, **given), resume=True) as kept:
        run = Run(kept, quiz, fail_fast=fail_fast)
        evaluate(run, model, chosen(quiz, given.get("limit")))  # type: ignore[arg-type]
    return read_run(folder)


QUESTIONS = ["Question 0?", "Question 1?", "Question 2?"]
