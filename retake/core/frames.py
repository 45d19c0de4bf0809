"""What the video room hands to the rest: a description of a video, and batches of its frames."""

from collections.abc import Iterable, Iterator
from typing import Any

import attrs
import numpy as np
import torch
import torch.nn.functional as F


def _uint8_frames(_: Any, attribute: "attrs.Attribute[torch.Tensor]", value: torch.Tensor) -> None:
    if value.dtype != torch.uint8 or value.ndim != 4 or value.shape[-1] != 3:
        raise ValueError(
            f"{attribute.name} must be uint8 [F, H, W, 3], got {value.dtype} {tuple(value.shape)}"
        )


@attrs.frozen
class VideoInfo:
    """What a container says of a video, and what decoding it showed.

    Attributes:
        path: where it was read from, as the user gave it.
        width, height: pixels of a frame as it is shown, rotation applied.
        frame_count: frames that can be sampled.
        fps: mean frames per second over the whole video.
        duration: seconds from the first frame's start to the last one's end.
        rotation: degrees clockwise by which stored frames were turned (0, 90, 180, 270).
        variable_rate: whether the frames are unevenly spaced in time.
        codec: the codec's name, or "frames" for a folder of images.
        reader: the name of the reader that opened it.
    """

    path: str
    width: int
    height: int
    frame_count: int
    fps: float
    duration: float
    rotation: int = 0
    variable_rate: bool = False
    codec: str = ""
    reader: str = ""


@attrs.frozen(eq=False)
class FrameBatch:
    """Decoded frames with their places in the video.

    Attributes:
        frames: uint8 RGB, `[F, H, W, 3]`, upright.
        indices: int64 `[F]`, each frame's number in the video, ascending.
        timestamps: float64 `[F]`, seconds from the video's start, as the container has them.
    """

    frames: torch.Tensor = attrs.field(validator=_uint8_frames, repr=lambda t: str(tuple(t.shape)))
    indices: np.ndarray[Any, np.dtype[np.int64]] = attrs.field(repr=False)
    timestamps: np.ndarray[Any, np.dtype[np.float64]] = attrs.field(repr=False)

    def __attrs_post_init__(self) -> None:
        count = self.frames.shape[0]
        if self.indices.shape != (count,) or self.timestamps.shape != (count,):
            raise ValueError(
                f"{count} frames need {count} indices and timestamps, got "
                f"{self.indices.shape} and {self.timestamps.shape}"
            )

    def __len__(self) -> int:
        return int(self.frames.shape[0])

    @classmethod
    def joined(cls, batches: "list[FrameBatch]") -> "FrameBatch":
        """Batches that follow each other, as one."""
        if len(batches) == 1:
            return batches[0]
        return cls(
            frames=torch.cat([batch.frames for batch in batches]),
            indices=np.concatenate([batch.indices for batch in batches]),
            timestamps=np.concatenate([batch.timestamps for batch in batches]),
        )

    def split(self, count: int) -> "tuple[FrameBatch, FrameBatch]":
        """The first `count` frames, and the rest."""
        return (
            FrameBatch(self.frames[:count], self.indices[:count], self.timestamps[:count]),
            FrameBatch(self.frames[count:], self.indices[count:], self.timestamps[count:]),
        )


def slices_of(batches: Iterable[FrameBatch], count: int) -> Iterator[FrameBatch]:
    """The same frames in batches of `count`; only the last may fall short.

    Readers cut batches by memory, leave out frames that cannot be decoded, and a user's own
    stream may come in any pieces; what is computed of a slice must depend on none of that.
    """
    waiting: list[FrameBatch] = []
    held = 0
    for batch in batches:
        while held + len(batch) >= count:
            head, batch = batch.split(count - held)
            yield FrameBatch.joined([*waiting, head])
            waiting, held = [], 0
        if len(batch):
            waiting.append(batch)
            held += len(batch)
    if waiting:
        yield FrameBatch.joined(waiting)


def resized(frames: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Frames uint8 `[F, H, W, 3]` as uint8 `[F, h, w, 3]`, bicubic with antialiasing.

    Interpolated on whole numbers, as image libraries do: done in floats and rounded afterwards,
    values differ from theirs by up to one level. Each frame is resized on its own.
    """
    if frames.shape[1:3] == size:
        return frames
    planes = frames.permute(0, 3, 1, 2)
    smaller = F.interpolate(planes, size=size, mode="bicubic", antialias=True)
    return smaller.permute(0, 2, 3, 1)
