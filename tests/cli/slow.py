"""A benchmark whose answers take their time, so that a worker can be caught at work."""

import time
from collections.abc import Sequence

import attrs

import retake
from retake.datasets.scenes.benchmark import Scenes


@attrs.frozen
class Slow(retake.Benchmark):
    """The scenes, each answer of which takes a while to mark.

    Attributes:
        root: of the videos.
        seconds: an answer.
        questions: so many about each video.
    """

    root: str
    seconds: float = 0.0
    questions: int = 4

    def samples(self) -> Sequence[retake.Sample]:
        scenes = Scenes(root=self.root, lengths=(8, 16), videos=2, size=64)
        asked: dict[str, int] = {}
        found = []
        for sample in scenes.samples():
            asked[str(sample.video)] = asked.get(str(sample.video), 0) + 1
            if asked[str(sample.video)] <= self.questions:
                found.append(sample)
        return found

    def mark(self, sample: retake.Sample, answer: str) -> float | None:
        time.sleep(self.seconds)
        return float(answer == sample.answer)
