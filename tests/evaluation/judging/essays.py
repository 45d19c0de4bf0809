"""A small benchmark whose essays a judge marks, and whose choices it marks itself."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from attrs import frozen

import retake
from retake.core.benchmark import Marked


@frozen
class Essays(retake.Benchmark):
    """Essays, and every fourth sample a choice.

    Attributes:
        count: of samples.
        rubric: what judges are told.
    """

    count: int = 12
    rubric: str = "Rate the essay by accuracy and style, 1 to 5, as JSON."

    def samples(self) -> list[retake.Sample]:
        return [self._sample(number) for number in range(self.count)]

    def mark(self, sample: retake.Sample, answer: str) -> float | None:
        return float(answer == sample.answer) if sample.kind == "choice" else None

    def judging(self, sample: retake.Sample, answer: str) -> Sequence[Mapping[str, str]] | None:
        if sample.kind == "choice":
            return None
        return [
            {"role": "system", "content": self.rubric},
            {"role": "user", "content": f"{sample.question}\n{answer}"},
        ]

    def judged(self, sample: retake.Sample, reply: str) -> Mapping[str, float]:
        start = reply.find("{")
        if start < 0:
            raise ValueError("there is no JSON in it")
        found = json.loads(reply[start:])
        wrong = [
            name
            for name in ("accuracy", "style")
            if not isinstance(found.get(name), int) or not 1 <= found[name] <= 5
        ]
        if wrong:
            raise ValueError(f"{', '.join(wrong)} must be a whole number from 1 to 5")
        return {"accuracy": found["accuracy"], "style": found["style"]}

    def metrics(self, marked: Sequence[Marked]) -> Mapping[str, float]:
        given = [each.aspects["accuracy"] for each in marked if "accuracy" in each.aspects]
        return {"Accuracy by judge": sum(given) / len(given)} if given else {}

    @property
    def scales(self) -> Mapping[str, tuple[float, float]]:
        return {"Accuracy by judge": (1.0, 5.0)}

    def _sample(self, number: int) -> retake.Sample:
        choice = number % 4 == 3
        return retake.Sample(
            id=f"q{number:03}",
            video=Path(f"v{number // 2}.mp4"),
            question=f"Essay {number}?" if not choice else f"Choice {number}?",
            answer="red" if choice else "A man reads.",
            kind="choice" if choice else "essay",
            options=("red", "blue") if choice else (),
            chance=0.5 if choice else 0.0,
        )
