"""Reading frames with PyAV: the strict reader, which knows when a frame is not what it seems."""

from collections.abc import Iterator

import av
import numpy as np
from av.codec.context import ThreadType

from retake.core.frames import VideoInfo
from retake.video.base import BadFramePolicy, Image, ImageChange, VideoReader
from retake.video.index import ContainerIndex, open_container, video_stream
from retake.video.pace import Pace
from retake.video.segment import Segment

# A key frame that gives no picture: how many key frames earlier to begin in its stead.
MAX_LEAD = 2


class PyAVReader(VideoReader):
    """Seek to the key frame before a wanted frame, decode up to it, take it by its timestamp.

    Where decoding on from the last wanted frame is cheaper than seeking, by what both
    were seen to cost on this file, that is done instead; the frames are the same.

    Nothing is counted, so nothing can be off by one: a frame is the one asked for only if
    the decoder gives it the timestamp that the container's table has. A frame that the
    decoder patched up, never delivered, or built upon such a frame is a bad frame.
    """

    def __init__(
        self,
        index: ContainerIndex,
        info: VideoInfo,
        *,
        threads: int,
        on_bad_frame: BadFramePolicy = "error",
    ) -> None:
        super().__init__(info, index.times, on_bad_frame=on_bad_frame)
        self._index = index
        self._segment: Segment | None = None
        self._pace = Pace()
        self._lead = 0
        self._most_threads = threads
        self._threads = 0
        self._open(threads)

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
        if self._threads > 1 and (frame is None or self._failed):
            # A failure in one thread can take sound frames of the others with it; and a frame that
            # another thread hands out while its own still fails is not called corrupt.
            self._reopen(1)
            frame, reason = self._try(index)
        if frame is not None and (frame.width, frame.height) != self._stored_size():
            size = "x".join(map(str, self._stored_size()))
            return None, f"it is {frame.width}x{frame.height} where the video is {size}"
        return frame, reason

    def _try(self, index: int) -> tuple[av.VideoFrame | None, str]:
        """The frame by the cheapest way; called bad only if a fresh start would do the same.

        So it does not depend on where decoding happened to begin whether a frame is bad.
        """
        segment = self._segment
        if segment is None or not segment.serves(index):
            if segment is not None and self._threads < self._most_threads:
                self._reopen(self._most_threads)  # what went wrong was elsewhere
            segment = self._begin(index, self._lead)
        frame, reason = segment.frame(index)
        if frame is None and not segment.is_judge_of(index):
            segment = self._begin(index, self._lead)
            frame, reason = segment.frame(index)
        while frame is None and segment.began_blind and segment.lead < MAX_LEAD:
            segment = self._begin(index, segment.lead + 1)
            frame, reason = segment.frame(index)
        if frame is not None:
            self._lead = max(self._lead, segment.lead)
        return frame, reason

    def _begin(self, index: int, lead: int) -> Segment:
        self._segment = Segment(
            self._index,
            self._container,
            self._stream,
            index,
            lead=lead,
            pace=self._pace,
            check=self._check_cancelled,
        )
        return self._segment

    def _reopen(self, threads: int) -> None:
        self._container.close()
        self._open(threads)

    def _open(self, threads: int) -> None:
        self._container = open_container(self._index.path)
        self._stream = video_stream(self._container, self._index.path)
        # Frame threads report a patched-up frame as corrupt; slice threads do not.
        self._stream.thread_type = ThreadType.FRAME
        self._stream.thread_count = self._threads = threads
        if threads > 1:
            # A patched-up frame may be handed out before the thread that patches it has said so:
            # many threads give up instead, and one decides.
            self._stream.codec_context.options = {"err_detect": "explode"}
        self._segment = None

    @property
    def _failed(self) -> bool:
        return self._segment is not None and self._segment.failed

    def _stored_size(self) -> tuple[int, int]:
        return self._index.width, self._index.height

    def _upright(self, frame: av.VideoFrame) -> Image:
        image: Image = np.asarray(frame.to_ndarray(format="rgb24"), dtype=np.uint8)
        return self._index.orientation.apply(image)
