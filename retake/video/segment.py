"""One run of decoding, forward from a key frame, that tells sound frames from spoilt ones."""

import time
from bisect import bisect_left, insort
from collections.abc import Callable, Iterator

import av
import numpy as np
from av.container import InputContainer
from av.video.stream import VideoStream

from retake.video.index import ContainerIndex
from retake.video.pace import Pace
from retake.video.packets import packets_from

NO_PICTURE = "the decoder gave no picture for it"


class Segment:
    """Decodes forward from the last key frame at or before a wanted frame.

    Frames are asked for in ascending order. One is handed out only when every packet
    stored before it has shown what became of it: damage to a packet spoils each frame that
    is decoded after it up to the next key frame, even one that is shown before it.

    Attributes:
        lead: how many key frames before that one decoding began, to warm up.
        failed: whether the decoder has refused a packet.
    """

    def __init__(
        self,
        index: ContainerIndex,
        container: InputContainer,
        stream: VideoStream,
        wanted: int,
        *,
        lead: int,
        pace: Pace,
        check: Callable[[], None],
    ) -> None:
        """`pace` is told what each step took; `check`, called at each packet, may end it."""
        self.lead = lead
        self.failed = False
        self._index = index
        self._pace = pace
        self._entry = index.entry_point(wanted)
        self._start = index.entry_point(wanted, lead)
        self._frames = self._run(packets_from(index, container, stream, self._start, check))
        self._fresh = True
        self._held: dict[int, av.VideoFrame] = {}  # by frame number
        self._damage: dict[int, str] = {}  # by place among the packets
        self._hurt: list[int] = []  # the places in it, ascending
        self._next = self._due_at(self._entry) if self._start else 0
        self._wanted = wanted
        self._span = (-1, -1, -1)
        self._last_error = ""

    @property
    def began_blind(self) -> bool:
        """Whether the key frame itself gave no picture, though nothing is said to be wrong with it.

        It is either lost, or one that refreshes the picture little by little, so that decoding
        must begin further back.
        """
        return self._start > 0 and self._damage.get(self._entry) == NO_PICTURE

    def serves(self, wanted: int) -> bool:
        """Whether decoding on from here is a sound and cheap way to the wanted frame."""
        if wanted < self._wanted:
            return False
        entry = self._index.entry_point(wanted)
        between = self._due_at(entry) - self._next
        if entry <= self._entry or between < 0:
            return True
        return not self._damage and not self._pace.seeking_pays(between)

    def is_judge_of(self, wanted: int) -> bool:
        """Whether a fresh start could not judge the frame better: nothing went wrong before it."""
        return not self._hurt or self._hurt[0] >= self._begin(wanted)

    def frame(self, wanted: int) -> tuple[av.VideoFrame | None, str]:
        """The wanted frame, or None and the reason why it cannot be had."""
        self._wanted = wanted
        self._held = {number: held for number, held in self._held.items() if number >= wanted}
        place, begin = int(self._index.order[wanted]), self._begin(wanted)
        last = self._last_shown(begin, place)
        while self._next <= last:
            if not self._advance():
                self._lose_until(last + 1)
        reason = self._spoilt(begin, place)
        return (None, reason) if reason else (self._held[wanted], "")

    def _begin(self, wanted: int) -> int:
        """The place from which on damage concerns the wanted frame."""
        return max(self._entry, self._index.entry_point(wanted))

    def _last_shown(self, begin: int, place: int) -> int:
        """The frame shown last of those stored from `begin` to `place`, or a little behind it.

        What was looked at for the frame before is not looked at again.
        """
        since, until, last = self._span
        if since != begin:
            until, last = begin - 1, -1
        if place > until:
            stored = self._index.packet_pts[until + 1 : place + 1]
            until, last = place, max(last, int(self._index.ranks(stored).max()))
        self._span = (begin, until, last)
        return last

    def _advance(self) -> bool:
        """Take the next decoded frame; those that should have come before it are lost."""
        began = time.perf_counter()
        frame = next(self._frames, None)
        took = time.perf_counter() - began
        (self._pace.started if self._fresh else self._pace.went_on)(took)
        self._fresh = False
        if frame is None:
            return False
        number = self._number(frame)
        if number < self._next:
            return True
        self._lose_until(number)
        self._next = number + 1
        if frame.is_corrupt:
            self._hurts(number, "its data is damaged")
        if number >= self._wanted:
            self._held[number] = frame
        return True

    def _number(self, frame: av.VideoFrame) -> int:
        """Which frame it is by its time; -1 where that is none of the table's."""
        if frame.pts is None:
            return -1
        due = self._next
        if due < len(self._index.pts) and self._index.pts[due] == frame.pts:
            return due
        return int(self._index.ranks(np.array([frame.pts]))[0])

    def _lose_until(self, number: int) -> None:
        for lost in range(self._next, number):
            self._hurts(lost, self._last_error or NO_PICTURE)
        self._next = max(self._next, number)

    def _hurts(self, number: int, reason: str) -> None:
        place = int(self._index.order[number])
        self._damage[place] = reason
        insort(self._hurt, place)

    def _spoilt(self, begin: int, place: int) -> str:
        """Why the frame stored at `place` is unsound; "" where it is sound."""
        if place in self._damage:
            return self._damage[place]
        before = bisect_left(self._hurt, place) - 1
        if before < 0 or self._hurt[before] < begin:
            return ""
        source = self._index.ranks(self._index.packet_pts[[self._hurt[before]]])[0]
        return f"it builds on frame {source}, which is damaged"

    def _due_at(self, place: int) -> int:
        """The first frame that decoding from a key frame owes us."""
        if place == 0:
            return 0
        return int(np.searchsorted(self._index.pts, self._index.packet_pts[place]))

    def _run(self, packets: Iterator["av.Packet[VideoStream]"]) -> Iterator[av.VideoFrame]:
        """Decoded frames in the order shown, to the end of the file."""
        for packet in packets:
            try:
                yield from packet.decode()
            except av.error.EOFError:
                return
            except av.error.FFmpegError as error:
                self.failed = True
                self._last_error = f"its data is damaged ({error.strerror})"
