"""Finding the place in a container from which to decode, whatever its own seeking makes of it."""

from collections.abc import Callable, Iterator
from itertools import chain

import av
import numpy as np
from av.container import InputContainer
from av.video.stream import VideoStream

from retake.core.errors import VideoError
from retake.video.index import ContainerIndex

# A container may land late; how many key frames earlier to try before the very beginning.
TRIES = 3


def packets_from(
    index: ContainerIndex,
    container: InputContainer,
    stream: VideoStream,
    start: int,
    check: Callable[[], None],
) -> Iterator["av.Packet[VideoStream]"]:
    """The packets from the place `start` on, then the empty one that flushes the decoder.

    Where seeking lands is checked against the container's table by the first packet's
    time: too late, and an earlier key frame is tried; too early, and packets are passed over.
    `check` is called at every packet.
    """
    for target in _targets(index, start):
        try:
            container.seek(target, stream=stream, backward=True)
        except av.error.FFmpegError:
            continue
        packets = _until_broken(container, stream, check)
        head = next(packets, None)
        place = None if head is None or head.pts is None else index.place_at(head.pts)
        if head is not None and place is not None and place <= start:
            yield from _between(head, packets, start - place, len(index.packet_pts) - place)
            return
    raise VideoError(
        f"{index.path} cannot be read from {index.packet_pts[start] * index.tick:.2f} s on: "
        f"seeking there does not work in this file.",
        hint="Rewrite its container: ffmpeg -i FILE -c copy new.mkv",
    )


def _targets(index: ContainerIndex, start: int) -> Iterator[int]:
    """The times to seek to, in the order in which to try them."""
    last = int(np.searchsorted(index.keys, start, side="right"))
    for key in index.keys[max(0, last - TRIES) : last][::-1]:
        yield int(index.packet_pts[key])
    first = int(index.packet_pts[index.by_time[0]])
    yield first
    yield int(first - 10 / index.tick)


def _between(
    head: "av.Packet[VideoStream]",
    rest: Iterator["av.Packet[VideoStream]"],
    begin: int,
    end: int,
) -> Iterator["av.Packet[VideoStream]"]:
    """Packets `begin` to `end` of those; beyond lies at most one that the file's end cut short."""
    for number, packet in enumerate(chain([head], rest)):
        if begin <= number < end or not packet.size:
            yield packet


def _until_broken(
    container: InputContainer, stream: VideoStream, check: Callable[[], None]
) -> Iterator["av.Packet[VideoStream]"]:
    """Packets up to the end, or to where the container can be read no further."""
    try:
        for packet in container.demux(stream):
            check()
            yield packet
    except av.error.FFmpegError:
        return
