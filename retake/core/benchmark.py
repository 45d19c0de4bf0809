"""The interface of benchmarks: videos, questions about them, and how an answer is marked."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import attrs

#: Answers to benchmarks are short.
ANSWER_TOKENS = 32

#: What a sample may be broken down by: a name, a number on a scale, or several names at once.
Group = str | float | tuple[str, ...]


@attrs.frozen
class Sample:
    """One question about one video.

    Attributes:
        id: unique in the benchmark, and the same in every run of it.
        video: the file, the folder of pictures, or a file inside a zip archive
            ("videos.zip/data/a.mp4").
        question: as the model is asked it, options and instructions included.
        answer: what is right, as the benchmark has it; None where it keeps that to itself.
        kind: the sort of question.
        options: what may be chosen, in the order of their letters; none where it is open.
        groups: what results are broken down by besides the kind: text for named groups
            ("duration": "long"), numbers for what is a scale ("seconds": 64.0, "depth": 0.3),
            several texts where a sample counts in each of them.
        chance: the accuracy of guessing, 0 … 1.
        seconds: how long the video is, where that is known; the longest are done first.
        details: plain data that only the benchmark itself reads, such as the subtitles' file or
            what a judge is to look for.
    """

    id: str
    video: Path
    question: str
    answer: str | None
    kind: str
    options: tuple[str, ...] = ()
    groups: Mapping[str, Group] = attrs.field(factory=dict)
    chance: float = 0.0
    seconds: float | None = None
    details: Mapping[str, Any] = attrs.field(factory=dict)


@attrs.frozen
class Marked:
    """An answered sample, as metrics and submissions are made from it.

    Attributes:
        id, kind, groups, options, chance: as in `Sample`.
        video: the file, as text.
        expected: what is right; None where the benchmark keeps that to itself.
        said: what the model said.
        parsed: the answer that was read from it; None where none could be.
        score: how right that is, 0 … 1; None where it is not known (yet).
        aspects: what a judge gave, by aspect ("completeness": 4.0); empty without one.
    """

    id: str
    video: str
    kind: str
    groups: Mapping[str, Group]
    options: tuple[str, ...]
    expected: str | None
    said: str
    parsed: str | None
    score: float | None
    chance: float = 0.0
    aspects: Mapping[str, float] = attrs.field(factory=dict)


@attrs.frozen
class Holding:
    """A file that a benchmark consists of, as `retake data verify` checks it.

    Attributes:
        name: what it is called in messages: the video's name, "annotations", …
        path: where it is, or where it is looked for first; may lead into a zip archive.
        what: "annotations", "video", "subtitles" or "archive".
        needed: whether the benchmark cannot be run without it.
        seconds: how long the video should be, where the benchmark says so.
    """

    name: str
    path: Path
    what: str
    needed: bool = True
    seconds: float | None = None


@attrs.frozen
class Count:
    """How many of something a benchmark has, as `retake data verify` tells it.

    Attributes:
        found: how many there are.
        published: how many there should be; None where nobody has said so.
    """

    found: int
    published: int | None = None

    @property
    def is_published(self) -> bool:
        """Whether there are as many as there should be, as far as that is known."""
        return self.published in (None, self.found)


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

    @property
    def answer_tokens(self) -> int:
        """How long an answer may be in tokens, where nobody says otherwise."""
        return ANSWER_TOKENS

    @property
    def asks_by_frames(self) -> bool:
        """Whether what is asked depends on which frames were sampled, as `phrase` has it."""
        return False

    def phrase(self, sample: Sample, timestamps: Sequence[float]) -> str:
        """The question as the model is asked it, given the sampled frames' times in seconds.

        Raises:
            UsageError, VideoError: what belongs into it, such as subtitles, cannot be read.
        """
        return sample.question

    def parse(self, sample: Sample, answer: str) -> str | None:
        """What is taken for the answer in what the model said; None where nothing is."""
        return answer

    @abstractmethod
    def mark(self, sample: Sample, answer: str) -> float | None:
        """How right an answer is, 0 … 1; None where the truth is hidden or a judge must say."""

    def metrics(self, marked: Sequence[Marked]) -> Mapping[str, float]:
        """The benchmark's own figures by name, such as {"M-Avg": 0.61}; the headline is first.

        Shares, unless `scales` says otherwise.

        Called with resampled videos too, for intervals: it must do with any part of the samples,
        and leaves out what cannot be said of them.
        """
        return {}

    @property
    def scales(self) -> Mapping[str, tuple[float, float]]:
        """The range of those metrics that are no shares: {"G-Avg": (2.0, 10.0)}.

        Infinity stands for no end. All other metrics are shares, 0 … 1.
        """
        return {}

    def submission(self, marked: Sequence[Marked]) -> Mapping[str, str]:
        """The files that the benchmark's own server or script takes: name to content.

        Empty where there is no such thing.
        """
        return {}

    def judging(self, sample: Sample, answer: str) -> Sequence[Mapping[str, str]] | None:
        """What a judge is asked about an answer, as chat messages ("role", "content").

        None where no judge is needed.
        """
        return None

    def judged(self, sample: Sample, reply: str) -> Mapping[str, float]:
        """What a judge's reply says, by aspect.

        Raises:
            ValueError: it cannot be understood; the judge is then asked again.
        """
        raise NotImplementedError(f"{type(self).__name__} has no judge")

    def holdings(self) -> Sequence[Holding]:
        """Every file that it consists of, whether it is there or not.

        Empty where it makes its videos itself.

        Raises:
            UsageError: not even the annotations can be read.
        """
        return ()

    def counts(self) -> Mapping[str, Count]:
        """What it has, by what it is called in messages: "questions", "videos", …

        Of files that are there nobody can tell whether they are all: what was published can be
        told here.

        Raises:
            UsageError: not even the annotations can be read.
        """
        samples = self.samples()
        videos = {sample.video for sample in samples}
        return {"questions": Count(len(samples)), "videos": Count(len(videos))}
