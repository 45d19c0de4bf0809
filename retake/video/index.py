"""A container's table of frames, read without decoding: when each is shown, where it is stored.

Both readers rest on it, so a frame has the same number and time whoever decodes it.
"""

from collections.abc import Iterable, Mapping
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
    keys: Ints
    packet_pts: Ints
    end: float
    missing: int
    promised: int
    promised_seconds: float
    trouble: str

    @property
    def times(self) -> np.ndarray[Any, np.dtype[np.float64]]:
        """float64 `[F]`, seconds from the first frame."""
        return np.asarray((self.pts - self.pts[0]) * self.tick, dtype=np.float64)

    def ranks(self, pts: Ints) -> Ints:
        """The numbers of the frames shown at these times; -1 where none is."""
        places = np.minimum(np.searchsorted(self.pts, pts), len(self.pts) - 1)
        return np.where(self.pts[places] == pts, places, -1)

    def entry_point(self, frame: int) -> int:
        """The place of the last key packet stored and shown no later than the frame.

        A frame stored after a key frame but shown before it may build on what is before
        that key frame, so decoding for it must begin further back.
        """
        keys = self.keys[: np.searchsorted(self.keys, self.order[frame], side="right")]
        sound = keys[self.packet_pts[keys] <= self.pts[frame]]
        return int(sound[-1]) if len(sound) else 0


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
    with open_container(path) as container:
        stream = video_stream(container, path)
        rows, trouble = _packets(container, stream)
        if not rows:
            raise VideoError(
                f"{path} holds no video frame that can be read.",
                hint=f"Its {stream.codec_context.name} stream has no data; fetch it again.",
            )
        if any(row[0] is None for row in rows):
            raise VideoError(
                f"{path} does not say when its frames are shown (a raw or very old stream).",
                hint="Give it timestamps: ffmpeg -fflags +genpts -i FILE -c copy new.mp4",
            )
        table = np.array([(row[0], row[1], row[2], row[3]) for row in rows], dtype=np.int64)
        shown = np.flatnonzero(table[:, 2])
        order = shown[np.argsort(table[shown, 0], kind="stable")]
        pts, first = np.unique(table[order, 0], return_index=True)
        order = order[first]
        tick = float(stream.time_base or 0)
        return ContainerIndex(
            path=path,
            format=container.format.name,
            codec=stream.codec_context.name,
            width=stream.codec_context.width,
            height=stream.codec_context.height,
            orientation=_orientation(path),
            tick=tick,
            pts=pts,
            order=order,
            keys=np.flatnonzero(table[:, 1]),
            packet_pts=table[:, 0],
            end=_end(pts, int(table[order[-1], 3]), stream, tick),
            missing=missing_bytes(path, container.format.name, _furthest(stream)),
            promised=stream.frames if "mov" in container.format.name else 0,
            promised_seconds=_promised_seconds(container, stream),
            trouble=trouble,
        )


Row = tuple[int | None, bool, bool, int]


def _packets(container: InputContainer, stream: VideoStream) -> tuple[list[Row], str]:
    """Of each packet: pts, whether a key, whether shown, duration; and what stopped the reading."""
    rows: list[Row] = []
    hidden_bit = 0x10 if stream.codec_context.name == "vp8" else 0
    try:
        for packet in container.demux(stream):
            if packet.size and not (packet.is_corrupt and _cut_short(packet)):
                shown = not packet.is_discard
                if hidden_bit:
                    shown = shown and bool(memoryview(packet)[0] & hidden_bit)
                rows.append((packet.pts, packet.is_keyframe, shown, packet.duration or 0))
    except av.error.FFmpegError as error:
        return rows, _words(error)
    return rows, ""


def _cut_short(packet: "av.Packet[VideoStream]") -> bool:
    """Whether the file ended within this packet, which is then no frame."""
    entries = packet.stream.index_entries
    entry = entries.search_timestamp(packet.dts) if packet.dts is not None else -1
    return bool(entry >= 0 and entries[entry].size > packet.size)


def _furthest(stream: VideoStream) -> int:
    """The end of the last packet according to the container's own index."""
    entries = stream.index_entries
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
