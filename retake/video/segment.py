"""One run of decoding, forward from a key frame, that tells sound frames from spoilt ones."""

from collections.abc import Callable, Iterator

import av
import numpy as np
from av.container import InputContainer
from av.video.stream import VideoStream

from retake.video.index import ContainerIndex
from retake.video.packets import packets_from

# Up to so many key frames ahead, decoding on is as cheap as seeking there.
NEAR_KEYS = 1
NO_PICTURE = "the decoder gave no picture for it"


class Segment:
    """Decodes forward from the last key frame at or before a wanted frame.

    Frames are asked for in ascending order. One is handed out only when every packet
    stored before it has shown what became of it: damage to a packet spoils each frame that
    is decoded after it up to the next key frame, even one that is shown before it.
    """

    def __init__(
        self,
        index: ContainerIndex,
        container: InputContainer,
        stream: VideoStream,
        wanted: int,
        check: Callable[[], None],
    ) -> None:
        """`check` is called between packets, and raises where decoding is to end."""
        self._index = index
        self._check = check
        self._start = index.entry_point(wanted)
        self._frames = self._run(container, stream)
        self._held: dict[int, av.VideoFrame] = {}  # by frame number
        self._damage: dict[int, str] = {}  # by place among the packets
        self._next = self._first_due()
        self._wanted = wanted
        self._last_error = ""
        self._ended = False

    def serves(self, wanted: int) -> bool:
        """Whether decoding on from here is a sound and cheap way to the wanted frame."""
        if wanted < self._wanted:
            return False
        here = self._index.order[min(self._next, len(self._index.order) - 1)]
        entry = self._index.entry_point(wanted)
        keys = np.searchsorted(self._index.keys, [here, entry], side="right")
        return int(keys[1] - keys[0]) <= NEAR_KEYS

    def frame(self, wanted: int) -> tuple[av.VideoFrame | None, str]:
        """The wanted frame, or None and the reason why it cannot be had."""
        self._wanted = wanted
        self._held = {number: held for number, held in self._held.items() if number >= wanted}
        place = int(self._index.order[wanted])
        begin = max(self._start, self._index.entry_point(wanted))
        leans_on = self._index.ranks(self._index.packet_pts[begin : place + 1])
        while not self._ended and self._next <= leans_on.max():
            self._advance()
        reason = self._spoilt(begin, place)
        return (None, reason) if reason else (self._held[wanted], "")

    def _advance(self) -> None:
        """Take the next decoded frame; those that should have come before it are lost."""
        frame = next(self._frames, None)
        if frame is None:
            self._ended = True
            self._lose_until(len(self._index.pts))
            return
        number = int(self._index.ranks(np.array([frame.pts if frame.pts is not None else -1]))[0])
        if number < self._next:
            return
        self._lose_until(number)
        self._next = number + 1
        if frame.is_corrupt:
            self._damage[int(self._index.order[number])] = "its data is damaged"
        if number >= self._wanted:
            self._held[number] = frame

    def _lose_until(self, number: int) -> None:
        for lost in range(self._next, number):
            self._damage[int(self._index.order[lost])] = self._last_error or NO_PICTURE
        self._next = max(self._next, number)

    def _spoilt(self, begin: int, place: int) -> str:
        """Why the frame stored at `place` is unsound; "" where it is sound."""
        if place in self._damage:
            return self._damage[place]
        hurt = [at for at in self._damage if begin <= at < place]
        if not hurt:
            return ""
        source = self._index.ranks(self._index.packet_pts[[max(hurt)]])[0]
        return f"it builds on frame {source}, which is damaged"

    def _first_due(self) -> int:
        """The first frame that decoding from the entry point owes us."""
        if self._start == 0:
            return 0
        return int(np.searchsorted(self._index.pts, self._index.packet_pts[self._start]))

    def _run(self, container: InputContainer, stream: VideoStream) -> Iterator[av.VideoFrame]:
        """Decoded frames in the order shown, from the entry point to the end of the file."""
        for packet in packets_from(self._index, container, stream, self._start, self._check):
            try:
                yield from packet.decode()
            except av.error.EOFError:
                return
            except av.error.FFmpegError as error:
                self._last_error = f"its data is damaged ({error.strerror})"
