"""What every reader has in common: checked indices, bounded batches, bad frames made known.

Knows nothing of any decoder; a reader writes `_decode` and gets the rest.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from itertools import pairwise
from types import TracebackType
from typing import Any, Literal, NoReturn, Self

import attrs
import numpy as np
import torch

from retake.core.errors import UsageError, VideoError
from retake.core.frames import FrameBatch, VideoInfo

Image = np.ndarray[Any, np.dtype[np.uint8]]
Times = np.ndarray[Any, np.dtype[np.float64]]
Numbers = np.ndarray[Any, np.dtype[np.int64]]
BadFramePolicy = Literal["error", "report"]

BATCH_BYTES = 256 * 2**20


@attrs.frozen
class BadFrame:
    """A frame that was asked for and could not be had.

    Attributes:
        index: its number in the video.
        timestamp: seconds from the video's start.
        reason: why it could not be decoded, in words.
    """

    index: int
    timestamp: float
    reason: str


class VideoReader(ABC):
    """An open video, of which frames are decoded when they are asked for, and only those.

    Use it as a context manager, or call `close()`.

    Attributes:
        info: what the container says of the video, and which reader opened it.
        timestamps: float64 `[F]`, each frame's presentation time in seconds from the first
            frame's, as the container has them; right for variable-rate files too.
        notes: sentences for the user, such as why `auto` chose this reader.
        bad_frames: frames left out so far because they could not be decoded. Always
            empty under `on_bad_frame="error"`, which raises instead.
    """

    def __init__(
        self,
        info: VideoInfo,
        timestamps: Times,
        *,
        on_bad_frame: BadFramePolicy = "error",
        notes: Sequence[str] = (),
    ) -> None:
        self.info = info
        self.timestamps = timestamps
        self.notes = list(notes)
        self.bad_frames: list[BadFrame] = []
        self._on_bad_frame = on_bad_frame
        self._closed = False

    def read(
        self, indices: Sequence[int] | Numbers, *, batch_size: int = 64
    ) -> Iterator[FrameBatch]:
        """Decode the asked frames, upright, RGB, at native resolution, a batch at a time.

        Args:
            indices: frame numbers, strictly ascending, each in `[0, info.frame_count)`.
            batch_size: frames a batch holds at most; fewer where 256 MiB would be exceeded.

        Raises:
            UsageError: an index is out of range or out of order; the reader is closed.
            VideoError: a frame cannot be decoded and `on_bad_frame` is "error".
        """
        numbers = self._checked(indices)
        if batch_size < 1:
            raise UsageError(f"batch_size must be at least 1, got {batch_size}.")
        room = BATCH_BYTES // (self.info.width * self.info.height * 3)
        return self._batches(numbers, max(1, min(batch_size, room)))

    def close(self) -> None:
        """Let go of the file. Reading afterwards is an error; closing twice is not."""
        self._closed = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.info})"

    @abstractmethod
    def _decode(self, indices: list[int]) -> Iterator[tuple[int, Image]]:
        """Yield `(index, [H, W, 3])` in order; call `_bad` for each that cannot be had."""

    def _bad(self, index: int, reason: str) -> None:
        """Make a frame that cannot be decoded known, as the user asked for it to be."""
        bad = BadFrame(index, float(self.timestamps[index]), reason)
        if self._on_bad_frame == "error":
            raise_bad_frame(self.info, bad)
        if bad not in self.bad_frames:
            self.bad_frames.append(bad)

    def _checked(self, indices: Sequence[int] | Numbers) -> list[int]:
        if self._closed:
            raise UsageError(f"The video {self.info.path} is closed; open it again to read it.")
        numbers = [int(index) for index in indices]
        for index in numbers:
            if not 0 <= index < self.info.frame_count:
                raise UsageError(
                    f"Frame {index} of {self.info.path} does not exist: "
                    f"it has frames 0-{self.info.frame_count - 1}."
                )
        for before, after in pairwise(numbers):
            if after <= before:
                raise UsageError(
                    f"Frame indices must be strictly ascending, got {before} then {after}."
                )
        return numbers

    def _batches(self, numbers: list[int], size: int) -> Iterator[FrameBatch]:
        for start in range(0, len(numbers), size):
            got = list(self._decode(numbers[start : start + size]))
            if got:
                chosen = np.array([index for index, _ in got], dtype=np.int64)
                stack = np.stack([image for _, image in got])
                yield FrameBatch(
                    frames=torch.from_numpy(stack),
                    indices=chosen,
                    timestamps=self.timestamps[chosen],
                )


def raise_bad_frame(info: VideoInfo, bad: BadFrame) -> NoReturn:
    """The error for one frame that cannot be decoded."""
    raise VideoError(
        f"Frame {bad.index} of {info.frame_count} (at {bad.timestamp:.2f} s) of {info.path} "
        f"cannot be decoded: {bad.reason}.",
        hint="The file is damaged there. Re-encode it or fetch it again, or pass "
        "on_bad_frame='report' to read the frames that are sound and list the others.",
    )
