"""Keyframes as small pictures inside the page: which steps, and their frames as JPEG."""

import base64
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Any, ClassVar

import attrs
import av
import numpy as np
import torch

from retake.core.errors import VideoError
from retake.core.frames import resized
from retake.video import VideoReader

MOST = 24  # pictures
_WIDTH = 160  # pixels at most

Array = np.ndarray[Any, Any]


@attrs.frozen
class Picture:
    """One frame.

    Attributes:
        uri: the picture itself, as a data URI.
        width, height: pixels.
        time: when it is shown, as text.
        seconds: the same as a number.
        small: what else is known of it.
    """

    uri: str = attrs.field(repr=False)
    width: int
    height: int
    time: str
    seconds: float
    small: str = ""


@attrs.frozen
class Moment:
    """A step of the video, of which one frame is to be shown.

    Attributes:
        frames: number and seconds of each of its frames.
        before: number of the frame before it, or None.
        small: what else to say of it.
    """

    frames: tuple[tuple[int, float], ...]
    before: int | None
    small: str


@attrs.frozen
class Filmstrip:
    """Pictures in order of time."""

    kind: ClassVar[str] = "filmstrip"

    caption: str
    pictures: tuple[Picture, ...]


def keyframes(change: Array, peaks: Array, most: int = MOST) -> list[int]:
    """The steps to show: the strongest peaks, spread over the whole video, in order.

    The strongest peak of each of `most` equal parts of the video; what is left of `most` goes to
    the strongest peaks that are left. Ties go to the earlier.
    """
    places = np.flatnonzero(peaks)
    strongest = sorted(places.tolist(), key=lambda step: (-float(change[step]), step))
    chosen: list[int] = []
    taken: set[int] = set()
    for step in strongest:
        part = step * most // len(change)
        if part not in taken:
            taken.add(part)
            chosen.append(step)
    chosen += [step for step in strongest if step not in set(chosen)]
    return sorted(chosen[:most])


def pictures(reader: VideoReader, moments: Sequence[Moment]) -> Iterator[Picture]:
    """A picture of each moment, of at most 160 pixels' width.

    Raises:
        VideoError: a frame cannot be decoded.
    """
    wanted = {index for each in moments for index, _ in each.frames}
    wanted |= {each.before for each in moments if each.before is not None}
    frames: dict[int, Array] = {}
    for batch in reader.read(sorted(wanted), each=_smaller):
        frames |= dict(zip(batch.indices.tolist(), batch.frames.numpy(), strict=True))
    for each in moments:
        index, seconds = _telling(each, frames)
        height, width = frames[index].shape[:2]
        uri = jpeg(frames[index])
        yield Picture(uri, width, height, clock(seconds), round(seconds, 3), each.small)


def _telling(moment: Moment, frames: Mapping[int, Array]) -> tuple[int, float]:
    """The frame that is least like the one before the moment; the first of equals."""
    if moment.before is None:
        return moment.frames[0]
    before = frames[moment.before].astype(np.int16)
    return max(moment.frames, key=lambda frame: float(np.abs(frames[frame[0]] - before).mean()))


def clock(seconds: float) -> str:
    """A moment of a video: "4.5 s", "1:05", "1:02:03"."""
    if seconds < 60:
        return f"{seconds:.3g} s"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def jpeg(image: Array) -> str:
    """An RGB picture `[H, W, 3]` as a JPEG data URI."""
    height, width = image.shape[:2]
    codec: Any = av.CodecContext.create("mjpeg", "w")
    codec.width, codec.height, codec.pix_fmt = width, height, "yuvj420p"
    codec.time_base = Fraction(1)
    codec.options = {"qmin": "3", "qmax": "3"}
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
    packets = [*codec.encode(frame.reformat(format="yuvj420p")), *codec.encode(None)]
    if not packets:
        raise VideoError(f"A frame of {width}x{height} pixels could not be made a picture.")
    return f"data:image/jpeg;base64,{base64.b64encode(bytes(packets[0])).decode()}"


def _smaller(frame: torch.Tensor) -> torch.Tensor:
    """A frame `[1, H, W, 3]` scaled down to the strip's width, even numbers of pixels."""
    height, width = frame.shape[1:3]
    scale = min(1.0, _WIDTH / width)
    size = (max(2, round(height * scale / 2) * 2), max(2, round(width * scale / 2) * 2))
    return resized(frame, size)
