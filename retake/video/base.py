"""What every reader has in common: checked indices, bounded batches, bad frames made known.

Knows nothing of any decoder; a reader writes `_decode` and gets the rest.
"""

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterator, Sequence
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
FrameChange = Callable[[torch.Tensor], torch.Tensor]
ImageChange = Callable[[Image], Image]

BATCH_BYTES = 256 * 2**20


class ReadCancelledError(Exception):
    """The read was cancelled from another thread. It ends the read and never reaches a caller."""


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
        self._cancelled = threading.Event()

    def read(
        self,
        indices: Sequence[int] | Numbers,
        *,
        batch_size: int = 64,
        each: FrameChange | None = None,
    ) -> Generator[FrameBatch, None, None]:
        """Decode the asked frames, upright, RGB, a batch at a time.

        Args:
            indices: frame numbers, strictly ascending, each in `[0, info.frame_count)`.
            batch_size: frames a batch holds at most; fewer where 256 MiB would be exceeded
                by the frames as they are held, after `each`.
            each: uint8 `[1, H, W, 3]` to uint8 `[1, h, w, 3]`, such as a resize; the same
                h and w for every frame. It is applied to a frame as soon as it is decoded, so
                frames of full size are not held. Without it they come at native size.

        Raises:
            UsageError: an index is out of range or out of order; the reader is closed or was
                cancelled; `each` gave something else than such a frame.
            VideoError: a frame cannot be decoded and `on_bad_frame` is "error".
        """
        numbers = self._checked(indices)
        if batch_size < 1:
            raise UsageError(f"batch_size must be at least 1, got {batch_size}.")
        return self._batches(numbers, batch_size, _image_change(each))

    def cancel(self) -> None:
        """End the running `read`, from any thread, at any time; doing so twice is no error.

        The read ends within about one frame's decoding, without an error, and delivers no more
        batches; no frame is counted as bad for it. The reader reads nothing from then on: what
        is left is to close it.
        """
        self._cancelled.set()

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
    def _decode(self, indices: list[int], each: ImageChange) -> Iterator[tuple[int, Image]]:
        """Yield `(index, each([H, W, 3]))` in order; call `_bad` for each that cannot be had.

        Where one frame can take long, call `_check_cancelled` on the way to it.
        """

    def _check_cancelled(self) -> None:
        if self._cancelled.is_set():
            raise ReadCancelledError

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
        if self._cancelled.is_set():
            raise UsageError(f"Reading {self.info.path} was cancelled; open it again to read it.")
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

    def _batches(
        self, numbers: list[int], most: int, each: ImageChange
    ) -> Generator[FrameBatch, None, None]:
        frame_bytes = self.info.width * self.info.height * 3
        start = 0
        while start < len(numbers):
            chunk = numbers[start : start + max(1, min(most, BATCH_BYTES // frame_bytes))]
            start += len(chunk)
            try:
                batch = self._batch(chunk, each)
            except ReadCancelledError:
                return
            if batch is not None:
                frame_bytes = batch.frames[0].numel()
                yield batch
            del batch  # not held while the next one is decoded

    def _batch(self, chunk: list[int], each: ImageChange) -> FrameBatch | None:
        """The sound frames of the chunk, gathered as they come; None where none is sound."""
        stack: Image | None = None
        chosen: list[int] = []
        self._check_cancelled()
        for index, image in self._decode(chunk, each):
            self._check_cancelled()
            if stack is None:
                stack = np.empty((len(chunk), *image.shape), dtype=np.uint8)
            if image.shape != stack.shape[1:]:
                raise UsageError(
                    f"Frame {index} of {self.info.path} is {_size(image)} where those before it "
                    f"are {_size(stack[0])}: `each` must give every frame the same size."
                )
            stack[len(chosen)] = image
            chosen.append(index)
        if stack is None:
            return None
        indices = np.array(chosen, dtype=np.int64)
        return FrameBatch(
            frames=torch.from_numpy(stack[: len(chosen)]),
            indices=indices,
            timestamps=self.timestamps[indices],
        )


def as_it_is(image: Image) -> Image:
    """The change that changes nothing."""
    return image


def _image_change(each: FrameChange | None) -> ImageChange:
    """The same change on arrays, checked, and holding nothing of the frame it was given."""
    if each is None:
        return as_it_is

    def change(image: Image) -> Image:
        frame = each(torch.from_numpy(image)[None])
        shape = tuple(frame.shape)
        if frame.dtype != torch.uint8 or shape != (1, *shape[1:3], 3) or not frame.numel():
            raise UsageError(
                f"`each` must turn a uint8 frame [1, H, W, 3] into a uint8 frame [1, h, w, 3]; "
                f"it gave {frame.dtype} {list(shape)}."
            )
        if frame.untyped_storage().nbytes() > frame.nbytes:
            frame = frame.clone()  # a view would keep the frame of full size alive
        changed: Image = frame[0].numpy()
        return changed

    return change


def _size(image: Image) -> str:
    return f"{image.shape[1]}x{image.shape[0]}"


def raise_bad_frame(info: VideoInfo, bad: BadFrame) -> NoReturn:
    """The error for one frame that cannot be decoded."""
    raise VideoError(
        f"Frame {bad.index} of {info.frame_count} (at {bad.timestamp:.2f} s) of {info.path} "
        f"cannot be decoded: {bad.reason}.",
        hint="The file is damaged there. Re-encode it or fetch it again, or pass "
        "on_bad_frame='report' to read the frames that are sound and list the others.",
    )
