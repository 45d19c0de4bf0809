"""The interface of benchmarks: videos, questions about them, and how an answer is marked."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import attrs


@attrs.frozen
class Sample:
    """One question about one video.

    Attributes:
        id: unique in the benchmark, and the same in every run of it.
        video: the file, or folder of pictures.
        question: as the model is asked it, options and instructions included.
        answer: what is right, as the benchmark has it.
        kind: the sort of question.
        options: what may be chosen, in the order of their letters; none where it is open.
        groups: what results are broken down by besides the kind: text for named groups
            ("duration": "long"), numbers for what is a scale ("seconds": 64.0, "depth": 0.3).
        chance: the accuracy of guessing, 0 … 1.
    """

    id: str
    video: Path
    question: str
    answer: str
    kind: str
    options: tuple[str, ...] = ()
    groups: Mapping[str, str | float] = attrs.field(factory=dict)
    chance: float = 0.0


@attrs.frozen
class Benchmark(ABC):
    """Samples and their marking. Subclasses are frozen attrs classes: their fields are options."""

    #: Where it comes from, as `retake list` shows it.
    source: ClassVar[str] = ""

    def make(self, progress: Callable[[float, int], None] | None = None) -> object:
        """Make what is missing of it, where a benchmark makes its videos itself.

        Args:
            progress: told how many videos are there, with a fraction for the one under way, and
                how many there will be.

        Raises:
            UsageError, VideoError: as `samples`, which does the same without a word.
        """
        return None

    @abstractmethod
    def samples(self) -> Sequence[Sample]:
        """All samples; those of one video follow each other.

        Raises:
            UsageError: the benchmark is not where it was said to be, or is incomplete.
        """

    @abstractmethod
    def mark(self, sample: Sample, answer: str) -> float:
        """How right an answer is, 0 … 1."""
