"""Reading frames with decord, which is fast and believes what it is told; so it is watched."""

from collections.abc import Iterator

import numpy as np

from retake.core.errors import VideoError
from retake.core.frames import VideoInfo
from retake.video.base import BadFramePolicy, Image, ImageChange, VideoReader, as_it_is
from retake.video.decord_process import DecordProcess, DecordTroubleError
from retake.video.index import ContainerIndex
from retake.video.pyav_reader import PyAVReader

# Two decoders of one frame differ by rounding only (10-bit video the most: 0.4 on average);
# two different frames by far more, or else it does not matter which of them it is.
AGREE = 3.0
SEEKABLE = ("mov", "matroska", "avi")
FRAME_SECONDS = 60.0
SECONDS_PER_DECODED_FRAME = 1.0


def doubts(index: ContainerIndex) -> str:
    """Why decord 0.6 would give wrong frames of a file, in words; "" where it would not.

    decord finds a frame by counting from a key frame. That is right only if seeking lands
    on key frames exactly, and if frames are shown in groups as they are stored in groups.
    """
    if not any(name in index.format for name in SEEKABLE):
        return f"decord cannot find frames exactly in this kind of file ({index.format})"
    if index.orientation.mirrored:
        return "decord does not mirror a mirrored video"
    if len(index.packet_pts) != len(index.pts):
        return "the file has hidden frames, which decord counts"
    if not np.array_equal(index.ranks(index.packet_pts[index.keys]), index.keys):
        return "the file has open groups of pictures, in which decord miscounts"
    return ""


class DecordReader(VideoReader):
    """decord in a process of its own, checked against PyAV where there is reason to.

    The last frame of the first batch is decoded by PyAV too, and so is everything after
    decord or its FFmpeg has complained. Where they differ, or decord fails, that is a
    `VideoError`: nobody gets another reader than the one asked for.
    """

    def __init__(
        self,
        index: ContainerIndex,
        info: VideoInfo,
        *,
        site: str,
        threads: int,
        on_bad_frame: BadFramePolicy = "error",
    ) -> None:
        super().__init__(info, index.times, on_bad_frame=on_bad_frame)
        self._index = index
        self._threads = threads
        self._checker: PyAVReader | None = None
        self._checked_once = False
        self._process = DecordProcess(index.path, site, threads)
        if self._process.frames != len(index.pts):
            self._process.close()
            raise DecordTroubleError(
                f"decord counts {self._process.frames} frames, the container {len(index.pts)}"
            )

    def close(self) -> None:
        """End decord's process and let go of the file."""
        super().close()
        self._process.close()
        if self._checker is not None:
            self._checker.close()

    def cancel(self) -> None:
        """End the running read; decord's process is killed, since it may be waited for."""
        super().cancel()
        self._process.kill()

    def _decode(self, indices: list[int], each: ImageChange) -> Iterator[tuple[int, Image]]:
        got: dict[int, Image] = {}
        try:
            for index in indices:
                last = self._one(index)
                got[index] = each(last)
            complaint = self._process.complaint()
        except DecordTroubleError as trouble:
            self._check_cancelled()
            raise self._distrust(indices, str(trouble)) from None
        suspects = indices if complaint else [] if self._checked_once else indices[-1:]
        self._checked_once = True
        sound, differ = set(indices) - set(suspects), False
        for index, image in self._by_pyav(suspects, as_it_is):
            sound.add(index)
            differ |= not _alike(got[index], each(image))
            differ |= index == indices[-1] and not _alike(last, image)
        if differ:
            why = complaint or "it gave another frame than the one asked for"
            raise self._distrust(indices, why)
        yield from ((index, image) for index, image in got.items() if index in sound)

    def _one(self, index: int) -> Image:
        """A frame, given time for all that must be decoded before it."""
        self._check_cancelled()
        distance = int(self._index.order[index]) - self._index.entry_point(index)
        seconds = FRAME_SECONDS + SECONDS_PER_DECODED_FRAME * distance
        return self._process.frame(index, seconds=seconds)

    def _by_pyav(self, indices: list[int], each: ImageChange) -> Iterator[tuple[int, Image]]:
        """The same frames by PyAV, bad ones dealt with as the user asked."""
        if self._checker is None:
            self._checker = PyAVReader(
                self._index, self.info, threads=self._threads, on_bad_frame=self._on_bad_frame
            )
            self._checker.bad_frames = self.bad_frames
            self._checker._cancelled = self._cancelled
        yield from self._checker._decode(indices, each)

    def _distrust(self, indices: list[int], why: str) -> VideoError:
        return VideoError(
            f"decord cannot be trusted with frames {indices[0]}-{indices[-1]} of "
            f"{self.info.path}: {why}.",
            hint="PyAV can read them: use reader='pyav'.",
        )


def _alike(one: Image, other: Image) -> bool:
    if one.shape != other.shape:
        return False
    return float(np.abs(one.astype(np.int16) - other).mean()) < AGREE
