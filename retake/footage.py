"""Frames on their way to a model: of a file, read ahead in the background, or of a stream."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from itertools import chain, pairwise
from pathlib import Path
from typing import Any, Self

import attrs
import numpy as np

from retake.core.adapter import ModelAdapter
from retake.core.config import VideoOptions
from retake.core.errors import UsageError, VideoError
from retake.core.frames import FrameBatch, VideoInfo
from retake.core.memory import Frames, Source, StageCost
from retake.video import ReadAhead, SamplePlan, VideoReader, open_video, plan_samples
from retake.video.source import SourceDigest


class Footage(ABC):
    """The sampled frames of one video, resized, in order; a context manager.

    Attributes:
        name: what it is, for messages.
        size: height and width of the frames.
        planned: how many frames are expected; None where nobody knows.
        seconds_per_frame: from one frame to the next; None where that is not known beforehand.
    """

    seconds_per_frame: float | None = None
    #: What was spent on them before they were watched.
    costs: tuple[StageCost, ...] = ()
    name: str
    size: tuple[int, int]
    planned: int | None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return

    @abstractmethod
    def batches(self) -> Iterator[FrameBatch]:
        """The frames, in batches of any length."""

    def lost(self, index: int) -> int:
        """How many planned frames before frame `index` could not be had."""
        return 0

    def info(self) -> VideoInfo | None:
        """What is known of the file, once it was read."""
        return None

    def source(self) -> Source | None:
        """Which file it was, once it was read; None where that cannot be said."""
        return None

    def background_seconds(self) -> float | None:
        """Time spent on frames beside the run, not within it."""
        return None

    @abstractmethod
    def frames(self, indices: tuple[int, ...], timestamps: tuple[float, ...]) -> Frames:
        """The record of which frames were looked at."""

    def nothing(self) -> VideoError:
        """The error where not a single frame came."""
        return VideoError(f"{self.name} gave no frames.")


class FileFootage(Footage):
    """A video file or a folder of pictures: decoded and resized ahead, in a thread."""

    def __init__(self, path: str | Path, rules: VideoOptions, adapter: ModelAdapter) -> None:
        self.name = str(path)
        self._open = ExitStack()
        self._reader: VideoReader = self._open.enter_context(_opened(path, rules))
        try:
            info = self._reader.info
            self._plan = _planned(self._reader, rules, adapter)
            self.size = adapter.frame_size(info.height, info.width, rules.long_side)
            self.planned = len(self._plan.indices)
            self.seconds_per_frame = self._plan.seconds_per_frame
            self._adapter = adapter
            self._digest = self._open.enter_context(SourceDigest(path))
        except BaseException:
            self._open.close()
            raise
        self._ahead: ReadAhead | None = None

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def batches(self) -> Iterator[FrameBatch]:
        self._ahead = self._open.enter_context(
            ReadAhead(
                self._reader,
                self._plan.indices,
                batch_size=_BATCH_FRAMES,
                each=lambda frame: self._adapter.resize(frame, self.size),
            )
        )
        return iter(self._ahead)

    def lost(self, index: int) -> int:
        # Not all that are known by now: how far ahead the thread is must decide nothing.
        return sum(bad.index <= index for bad in tuple(self._reader.bad_frames))

    def info(self) -> VideoInfo:
        return self._reader.info

    def source(self) -> Source | None:
        try:
            return self._digest.result()
        except VideoError as error:
            # What was watched is not lost for it, but cannot be told by a hash.
            self._reader.notes.append(error.message)
            return None

    def background_seconds(self) -> float | None:
        return self._ahead.busy_seconds if self._ahead is not None else None

    def frames(self, indices: tuple[int, ...], timestamps: tuple[float, ...]) -> Frames:
        return Frames(
            indices=indices,
            timestamps=timestamps,
            size=self.size,
            asked_fps=self._plan.asked_fps,
            achieved_fps=self._plan.achieved_fps,
            capped_by=self._plan.capped_by,
            unreadable=tuple(
                (bad.index, bad.timestamp, bad.reason) for bad in self._reader.bad_frames
            ),
            notes=tuple(self._reader.notes),
        )

    def nothing(self) -> VideoError:
        bad = ", ".join(str(frame.index) for frame in self._reader.bad_frames[:5])
        return VideoError(
            f"None of the {self.planned} sampled frames of {self.name} could be decoded "
            f"(frames {bad}…)."
        )


def planned_times(
    path: str | Path, rules: VideoOptions, adapter: ModelAdapter
) -> tuple[float, ...]:
    """The times in seconds of the frames that would be sampled of a file.

    Raises:
        VideoError, UsageError: it cannot be opened.
    """
    with _opened(path, rules) as reader:
        indices = _planned(reader, rules, adapter).indices
        return tuple(float(reader.timestamps[index]) for index in indices)


def _opened(path: str | Path, rules: VideoOptions) -> VideoReader:
    return open_video(
        path,
        reader=rules.reader,
        folder_fps=rules.folder_fps,
        on_bad_frame=rules.on_bad_frame,
        threads=rules.reader_threads,
    )


def _planned(reader: VideoReader, rules: VideoOptions, adapter: ModelAdapter) -> SamplePlan:
    return plan_samples(
        reader.timestamps,
        reader.info.duration,
        fps=rules.fps,
        max_frames=rules.max_frames,
        multiple_of=adapter.frames_per_step,
    )


# Frames decoded at a time; what is computed does not depend on it.
_BATCH_FRAMES = 16


class StreamFootage(Footage):
    """Frames that somebody else delivers: a camera, a decoder of the user's own.

    Nothing is known of what is still to come, except what the caller says.
    """

    def __init__(
        self,
        batches: Iterable[FrameBatch],
        expected: int | None,
        rules: VideoOptions,
        adapter: ModelAdapter,
    ) -> None:
        self.name = "The stream of frames"
        self.planned = expected
        self._adapter = adapter
        checked = map(_batch, batches)
        first = next(checked, None)
        self._batches = chain([] if first is None else [first], checked)
        height, width = (0, 0) if first is None else first.frames.shape[1:3]
        self._native = (height, width)
        self.size = adapter.frame_size(height, width, rules.long_side) if height else (0, 0)

    def batches(self) -> Iterator[FrameBatch]:
        last: tuple[int, float] | None = None
        for batch in self._batches:
            if not len(batch):
                continue
            self._check(batch, last)
            last = int(batch.indices[-1]), float(batch.timestamps[-1])
            yield attrs.evolve(batch, frames=self._adapter.resize(batch.frames, self.size))

    def _check(self, batch: FrameBatch, last: tuple[int, float] | None) -> None:
        """Refuse frames of another size, or out of order."""
        size = tuple(batch.frames.shape[1:3])
        if size != self._native:
            raise UsageError(
                f"A stream's frames must all have one size: {self._native[1]}x{self._native[0]} "
                f"came first, then {size[1]}x{size[0]}."
            )
        before = last or (-1, float("-inf"))
        indices = [before[0], *batch.indices.tolist()]
        times = [before[1], *batch.timestamps.tolist()]
        ordered = all(a < b for a, b in pairwise(indices))
        # Written so that a time that is no number is out of order too.
        timely = all(a <= b for a, b in pairwise(times)) and np.isfinite(batch.timestamps).all()
        if not ordered or not timely:
            raise UsageError(
                f"A stream's frame numbers must ascend from 0 or more, and its times must not "
                f"descend; wrong near frame {indices[1]}."
            )

    def frames(self, indices: tuple[int, ...], timestamps: tuple[float, ...]) -> Frames:
        length = timestamps[-1] - timestamps[0]
        return Frames(
            indices=indices,
            timestamps=timestamps,
            size=self.size,
            achieved_fps=(len(indices) - 1) / length if length > 1e-9 else 0.0,
        )


def _batch(item: Any) -> FrameBatch:
    """What a stream delivered, refused where it is no batch of frames."""
    if not isinstance(item, FrameBatch):
        raise UsageError(
            f"A stream consists of FrameBatch objects, got a {type(item).__name__}.",
            hint="retake.FrameBatch(frames, indices, timestamps); a path is a str or a Path.",
        )
    return item
