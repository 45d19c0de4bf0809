"""Broken inputs: each function writes one kind of file or folder that is not a sound video."""

import os
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from tests.video.make import picture, write_tone


def make_empty(path: Path) -> Path:
    """A file of zero bytes."""
    path.write_bytes(b"")
    return path


def make_text(path: Path) -> Path:
    """A text file under a video's name."""
    path.write_text("This is no video, whatever its name says.\n" * 40)
    return path


def make_noise(path: Path, size: int = 200_000) -> Path:
    """Random bytes under a video's name."""
    path.write_bytes(np.random.default_rng(0).bytes(size))
    return path


def make_headless(path: Path, source: Path) -> Path:
    """An mp4 whose index (`moov`, at the end of the file) was never written."""
    data = source.read_bytes()
    path.write_bytes(data[: data.rindex(b"moov") - 4])
    return path


def make_truncated(path: Path, source: Path, keep: float = 0.5) -> Path:
    """The first `keep` of a file's bytes; make the source with `movflags=faststart` or as mkv."""
    data = source.read_bytes()
    path.write_bytes(data[: int(len(data) * keep)])
    return path


def packets_of(source: Path) -> list[tuple[float, int, int]]:
    """Time in seconds, place in the file and size of each video packet, in stored order."""
    with av.open(str(source)) as container:
        stream = container.streams.video[0]
        return [
            (float(packet.pts * packet.time_base), packet.pos, packet.size)
            for packet in container.demux(stream)
            if packet.size
        ]


def make_corrupt(path: Path, source: Path, packets: Iterable[int], *, start: int = 24) -> Path:
    """Overwrite the bodies of the packets of those numbers (stored order) with noise."""
    data = bytearray(source.read_bytes())
    placed = packets_of(source)
    rng = np.random.default_rng(1)
    for number in packets:
        _, place, size = placed[number]
        begin = min(start, size // 4)
        data[place + begin : place + size] = rng.bytes(size - begin)
    path.write_bytes(data)
    return path


def make_zeroed(path: Path, source: Path, packets: Iterable[int]) -> Path:
    """Overwrite packets (stored order) with zeros, as a half-finished download leaves them."""
    data = bytearray(source.read_bytes())
    placed = packets_of(source)
    for number in packets:
        _, place, size = placed[number]
        data[place : place + size] = bytes(size)
    path.write_bytes(data)
    return path


def make_audio_only(path: Path, seconds: float = 2.0) -> Path:
    """Sound without pictures (m4a, mp3, or any container of PyAV's)."""
    with av.open(str(path), "w") as out:
        codec = "libmp3lame" if path.suffix == ".mp3" else "aac"
        write_tone(out, out.add_stream(codec, rate=44100, layout="mono"), seconds)
    return path


def make_audio_with_cover(path: Path, seconds: float = 2.0) -> Path:
    """Sound with a cover picture, which containers call a video stream of one frame."""
    with av.open(str(path), "w") as out:
        codec = "libmp3lame" if path.suffix == ".mp3" else "aac"
        sound = out.add_stream(codec, rate=44100, layout="mono")
        cover = out.add_stream("png", rate=1)
        cover.width, cover.height, cover.pix_fmt = 64, 64, "rgb24"
        cover.disposition = av.stream.Disposition.attached_pic
        frame = av.VideoFrame.from_ndarray(picture(1, 64, 64), format="rgb24")
        frame.pts, frame.time_base = 0, Fraction(1, 1)
        write_tone(out, sound, seconds)
        out.mux(cover.encode(frame))
        out.mux(cover.encode())
    return path


def make_fifo(path: Path) -> Path:
    """A named pipe that nobody writes to: opening it would wait for ever."""
    os.mkfifo(path)
    return path


def make_frames_folder(
    path: Path,
    *,
    numbers: Iterable[int] = range(12),
    size: tuple[int, int] = (96, 54),
    suffix: str = ".png",
    pad: int = 0,
    prefix: str = "frame_",
) -> Path:
    """A folder of pictures `frame_0.png`, `frame_1.png`, ... ; `pad` digits where it is given."""
    path.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        write_image(path / f"{prefix}{number:0{pad or 1}d}{suffix}", picture(number, *size))
    return path


def write_image(path: Path, image: np.ndarray) -> Path:
    """One picture `[H, W, 3]` as png or jpg, through PyAV."""
    codec, fmt = ("png", "rgb24") if path.suffix == ".png" else ("mjpeg", "yuvj420p")
    height, width = image.shape[:2]
    context = av.CodecContext.create(codec, "w")
    context.width, context.height, context.pix_fmt = width, height, fmt
    context.time_base = Fraction(1, 25)
    frame = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format=fmt)
    frame.pts = 0
    packets = [*context.encode(frame), *context.encode(None)]
    path.write_bytes(b"".join(bytes(packet) for packet in packets))
    return path
