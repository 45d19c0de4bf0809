"""Where answers are kept as they come: what answering needs of a run's folder, and no more.

A run's folder is one such place; a worker in another process has one that sends what it is given
to the process that writes.
"""

from collections.abc import Sequence, Set
from pathlib import Path
from typing import Protocol

import attrs

from retake.core.memory import VideoMemory
from retake.evaluation.records import Failure, SampleRecord, VideoRecord


class Keeping(Protocol):
    """Takes passes over videos, answered samples and failures.

    Once a method has returned, what it was given is safe.
    """

    @property
    def batch(self) -> int:
        """Questions about one video that are answered at a time."""

    @property
    def watch_each(self) -> bool:
        """Whether a video is watched anew for each question."""

    @property
    def answered(self) -> Set[str]:
        """The ids of all samples that are answered."""

    def add_video(self, video: Path, question: str | None, memory: VideoMemory) -> int:
        """Note a pass over a video; the number by which its samples refer to it."""

    def add_samples(self, samples: Sequence[SampleRecord]) -> None:
        """Note the questions of a batch, answered together."""

    def add_failure(self, video: Path, samples: Sequence[str], reason: str) -> Failure:
        """Note that samples could not be answered."""


def watched(video: Path, question: str | None, memory: VideoMemory) -> VideoRecord:
    """A pass over a video as a record; its number is still to be given, and 0 until then.

    Args:
        video: as the benchmark names it; where it was unpacked to is no part of the record.
        question: for which it was watched, where that matters to what is kept.
        memory: what watching it left behind.
    """
    source = memory.source
    return VideoRecord(
        watch=0,
        video=str(video),
        question=question,
        frames=memory.frames,
        source=attrs.evolve(source, path=str(video)) if source is not None else None,
        compression=memory.compression,
        costs=tuple(memory.costs),
    )
