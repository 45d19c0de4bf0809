"""A container's table of frames, read without decoding: when each is shown, where it is stored.

Both readers rest on it, so a frame has the same number and time whoever decodes it.
"""

from array import array
from collections.abc import Iterable, Mapping
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any, cast

import attrs
import av
import numpy as np
from av.container import InputContainer
from av.sidedata.sidedata import SideData
from av.stream import Disposition
from av.video.stream import VideoStream

from retake.core.errors import VideoError
from retake.video.checks import missing_bytes
from retake.video.orientation import Orientation, from_matrix

Ints = np.ndarray[Any, np.dtype[np.int64]]

# Formats that libavformat would "read" although they are no video: text drawn as pictures,
# single images, and lists that send it to other files or to the network.
NOT_VIDEO = {"tty", "bin", "xbin", "adf", "idf", "image2", "concat", "hls", "dash", "sdp"}

# How many packets to try to decode for the first frame's form.
FIRST_PACKETS = 64


@attrs.frozen(eq=False)
class ContainerIndex:
    """The frames of a video stream, in the order in which they are shown.

    Attributes:
        path: the file.
        format: libavformat's name of the container ("matroska,webm").
        codec: the codec's name.
        width, height: pixels as stored.
        orientation: how stored frames are turned upright.
        tick: seconds a unit of `pts` lasts.
        pts: int64 `[F]`, ascending, when each frame is shown.
        order: int64 `[F]`, each frame's place among all packets of the stream as stored.
        by_time: int64 `[P]`, the places of all packets in the order of their times.
        keys: int64 `[K]`, places (as in `order`) at which decoding can begin.
        packet_pts: int64 `[P]`, of all packets as stored, hidden ones too.
        end: seconds from the first frame's start to the last one's end.
        missing: bytes that the container promises beyond the end of the file.
        promised: frames that the container promises, 0 where it does not say.
        promised_seconds: length that the container promises, 0 where it does not say.
        trouble: why reading the packets stopped early, "" where it did not.
    """

    path: Path
    format: str
    codec: str
    width: int
    height: int
    orientation: Orientation
    tick: float
    pts: Ints
    order: Ints
    by_time: Ints
    keys: Ints
    packet_pts: Ints
    end: float
    missing: int
    promised: int
    promised_seconds: float
    trouble: str

    @cached_property
    def times(self) -> np.ndarray[Any, np.dtype[np.float64]]:
        """float64 `[F]`, seconds from the first frame."""
        return np.asarray((self.pts - self.pts[0]) * self.tick, dtype=np.float64)

    def ranks(self, pts: Ints) -> Ints:
        """The numbers of the frames shown at these times; -1 where none is."""
        places = np.minimum(np.searchsorted(self.pts, pts), len(self.pts) - 1)
        return np.where(self.pts[places] == pts, places, -1)

    def place_at(self, pts: int) -> int | None:
        """The place of the first packet with this time; None where there is none."""
        at = int(np.searchsorted(self.packet_pts, pts, sorter=self.by_time))
        place = int(self.by_time[min(at, len(self.by_time) - 1)])
        return place if self.packet_pts[place] == pts else None

    def entry_point(self, frame: int, lead: int = 0) -> int:
        """The place of the last key packet stored and shown no later than the frame.

        A frame stored after a key frame but shown before it may build on what is before
        that key frame, so decoding for it must begin further back.

        Args:
            lead: so many key packets further back than that, the beginning at the most.
        """
        at = int(np.searchsorted(self.keys, self.order[frame], side="right")) - 1
        while at >= 0 and self.packet_pts[self.keys[at]] > self.pts[frame]:
            at -= 1
        return int(self.keys[at - lead]) if at >= lead else 0


def open_container(path: Path) -> InputContainer:
    """Open a file with libavformat; what it cannot make out is a `VideoError`."""
    try:
        container = av.open(str(path.absolute()), metadata_errors="replace")
    except av.error.FFmpegError as error:
        raise VideoError(
            f"{path} is not a video that can be read ({_words(error)}).",
            hint="It is of another kind, was cut before its index was written, or is damaged. "
            "See what it is with: ffprobe FILE",
        ) from None
    name = container.format.name
    if name in NOT_VIDEO or name.endswith("_pipe"):
        container.close()
        raise VideoError(f"{path} is not a video: its contents look like '{name}'.")
    return container


def video_stream(container: InputContainer, path: Path) -> VideoStream:
    """The best stream of moving pictures, as FFmpeg chooses; a cover picture is not one."""
    best = container.streams.best("video")
    for stream in [best, *container.streams.video]:
        moving = stream is not None and not stream.disposition & Disposition.attached_pic
        if isinstance(stream, VideoStream) and moving:
            return _decodable(stream, path)
    cover = " and a cover picture" if container.streams.video else ""
    others = sorted({stream.type for stream in container.streams if stream.type != "video"})
    only = ", ".join(others) or "nothing"
    raise VideoError(f"{path} has no video in it, only {only}{cover}.")


def _decodable(stream: VideoStream, path: Path) -> VideoStream:
    context = stream.codec_context
    if context is None or context.width < 1 or context.height < 1:
        codec = context.name if context else "an unknown codec"
        raise VideoError(
            f"{path} has a video stream ({codec}) whose picture size cannot be made out.",
            hint="It is damaged, or not a video at all. See what it is with: ffprobe FILE",
        )
    return stream


def read_index(path: Path) -> ContainerIndex:
    """Read the table of a file's frames from its packets, decoding one frame for its form."""
    orientation = _orientation(
        path
    )  # a container of its own: two at once would take twice the room
    with open_container(path) as container:
        stream = video_stream(container, path)
        table = _read_table(container, stream)
        if not table.pts:
            raise VideoError(
                f"{path} holds no video frame that can be read.",
                hint=f"Its {stream.codec_context.name} stream has no data; fetch it again.",
            )
        if table.timeless:
            raise VideoError(
                f"{path} does not say when its frames are shown (a raw or very old stream).",
                hint="Give it timestamps: ffmpeg -fflags +genpts -i FILE -c copy new.mp4",
            )
        packet_pts = np.array(table.pts, dtype=np.int64)
        by_time = np.argsort(packet_pts, kind="stable")
        order = _shown_once(packet_pts, by_time, table)
        pts = packet_pts[order]
        tick = float(stream.time_base or 0)
        return ContainerIndex(
            path=path,
            format=container.format.name,
            codec=stream.codec_context.name,
            width=stream.codec_context.width,
            height=stream.codec_context.height,
            orientation=orientation,
            tick=tick,
            pts=pts,
            order=order,
            by_time=by_time,
            keys=np.array(table.keys, dtype=np.int64),
            packet_pts=packet_pts,
            end=_end(pts, table.last_duration, stream, tick),
            missing=missing_bytes(path, container.format.name, _furthest(stream, table)),
            promised=stream.frames if "mov" in container.format.name else 0,
            promised_seconds=_promised_seconds(container, stream),
            trouble=table.trouble,
        )


@attrs.define
class _Table:
    """What the packets say, in stored order: a few bytes a packet, since a day has millions.

    Attributes:
        pts: of each packet.
        keys, hidden: places of the packets that are key frames, that are not shown.
        last_duration: how long the frame shown last lasts, in ticks.
        timeless: whether a packet without a time was met, which ended the reading.
        cut: whether a packet was left out because the file ends within it.
        trouble: what else ended the reading early, in words.
    """

    pts: "array[int]" = attrs.field(factory=lambda: array("q"))
    keys: "array[int]" = attrs.field(factory=lambda: array("q"))
    hidden: "array[int]" = attrs.field(factory=lambda: array("q"))
    last_duration: int = 0
    timeless: bool = False
    cut: bool = False
    trouble: str = ""


def _read_table(container: InputContainer, stream: VideoStream) -> _Table:
    table = _Table()
    hidden_bit = 0x10 if stream.codec_context.name == "vp8" else 0
    last: int | None = None
    try:
        for packet in container.demux(stream):
            if not packet.size:
                continue
            if packet.is_corrupt and _cut_short(packet):
                table.cut = True
                continue
            pts = packet.pts
            if pts is None:
                table.timeless = True
                pts = 0
            if packet.is_keyframe:
                table.keys.append(len(table.pts))
            if packet.is_discard or (hidden_bit and not memoryview(packet)[0] & hidden_bit):
                table.hidden.append(len(table.pts))
            elif last is None or pts > last:
                last, table.last_duration = pts, packet.duration or 0
            table.pts.append(pts)
            if table.timeless:
                break
    except av.error.FFmpegError as error:
        table.trouble = _words(error)
    return table


def _shown_once(packet_pts: Ints, by_time: Ints, table: _Table) -> Ints:
    """The places of the packets that are shown, in order of time; of equal times the first."""
    order = by_time
    if table.hidden:
        shown = np.ones(len(packet_pts), dtype=np.bool_)
        shown[np.array(table.hidden, dtype=np.int64)] = False
        order = by_time[shown[by_time]]
    again = np.diff(packet_pts[order]) == 0
    return order[np.concatenate(([True], ~again))] if again.any() else order


def _cut_short(packet: "av.Packet[VideoStream]") -> bool:
    """Whether the file ended within this packet, which is then no frame."""
    entries = packet.stream.index_entries
    entry = entries.search_timestamp(packet.dts) if packet.dts is not None else -1
    return bool(entry >= 0 and entries[entry].size > packet.size)


def _furthest(stream: VideoStream, table: _Table) -> int:
    """The end of the last packet by the container's own index; 0 where all of them were read."""
    entries = stream.index_entries
    if not table.cut and len(entries) == len(table.pts):
        return 0
    return max((entry.pos + entry.size for entry in entries), default=0)


def _end(pts: Ints, last_duration: int, stream: VideoStream, tick: float) -> float:
    if last_duration <= 0 and len(pts) > 1:
        last_duration = int(np.median(np.diff(pts)))
    if last_duration <= 0 and stream.average_rate:
        return float((pts[-1] - pts[0]) * tick + 1 / stream.average_rate)
    return float((pts[-1] - pts[0] + last_duration) * tick)


def _promised_seconds(container: InputContainer, stream: VideoStream) -> float:
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    return container.duration / av.time_base if container.duration else 0.0


def _orientation(path: Path) -> Orientation:
    """How the first decodable frame wants to be shown; as stored where none can be decoded."""
    with open_container(path) as container:
        packets = container.demux(video_stream(container, path))
        for packet in islice(packets, FIRST_PACKETS):
            try:
                frames = packet.decode()
            except av.error.FFmpegError:
                continue
            for frame in frames:
                return _orientation_of(frame)
    return Orientation()


def _orientation_of(frame: av.VideoFrame) -> Orientation:
    sides: Iterable[SideData] = iter(cast(Mapping[SideData, object], frame.side_data))
    for side in sides:
        if side.type.name == "DISPLAYMATRIX":
            return from_matrix(bytes(side))
    return Orientation()


def _words(error: av.error.FFmpegError) -> str:
    return (error.strerror or str(error)).rstrip(".")
