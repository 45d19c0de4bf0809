"""Reading frames with PyAV: the strict reader, which knows when a frame is not what it seems."""

import os
from collections.abc import Iterator

import av
import numpy as np
from av.codec.context import ThreadType

from retake.core.frames import VideoInfo
from retake.video.base import BadFramePolicy, Image, ImageChange, VideoReader
from retake.video.index import ContainerIndex, open_container, video_stream
from retake.video.segment import Segment

MAX_THREADS = 8


class PyAVReader(VideoReader):
    """Seek to the key frame before a wanted frame, decode up to it, take it by its timestamp.

    Nothing is counted, so nothing can be off by one: a frame is the one asked for only if
    the decoder gives it the timestamp that the container's table has. A frame that the
    decoder patched up, never delivered, or built upon such a frame is a bad frame.
    """

    def __init__(
        self, index: ContainerIndex, info: VideoInfo, *, on_bad_frame: BadFramePolicy = "error"
    ) -> None:
        super().__init__(info, index.times, on_bad_frame=on_bad_frame)
        self._index = index
        self._segment: Segment | None = None
        self._threads = 0
        self._open(min(os.cpu_count() or 1, MAX_THREADS))

    def close(self) -> None:
        """Let go of the file."""
        super().close()
        self._segment = None
        self._container.close()

    def _decode(self, indices: list[int], each: ImageChange) -> Iterator[tuple[int, Image]]:
        for index in indices:
            frame, reason = self._settled(index)
            if frame is None:
                self._bad(index, reason)
            else:
                yield index, each(self._upright(frame))

    def _settled(self, index: int) -> tuple[av.VideoFrame | None, str]:
        """The frame, once nothing decoded later can show it to be spoilt; or why there is none."""
        frame, reason = self._try(index)
        if frame is None and self._threads > 1:
            # A failure in one thread can take sound frames of the others with it.
            self._container.close()
            self._open(1)
            frame, reason = self._try(index)
        if frame is not None and (frame.width, frame.height) != self._stored_size():
            size = "x".join(map(str, self._stored_size()))
            return None, f"it is {frame.width}x{frame.height} where the video is {size}"
        return frame, reason

    def _try(self, index: int) -> tuple[av.VideoFrame | None, str]:
        if self._segment is None or not self._segment.serves(index):
            self._segment = Segment(
                self._index, self._container, self._stream, index, self._check_cancelled
            )
        return self._segment.frame(index)

    def _open(self, threads: int) -> None:
        self._container = open_container(self._index.path)
        self._stream = video_stream(self._container, self._index.path)
        # Frame threads report a patched-up frame as corrupt; slice threads do not.
        self._stream.thread_type = ThreadType.FRAME
        self._stream.thread_count = self._threads = threads
        self._segment = None

    def _stored_size(self) -> tuple[int, int]:
        return self._index.width, self._index.height

    def _upright(self, frame: av.VideoFrame) -> Image:
        image: Image = np.asarray(frame.to_ndarray(format="rgb24"), dtype=np.uint8)
        return self._index.orientation.apply(image)
