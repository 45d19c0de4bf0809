"""Videos made on the spot: sound ones whose frames carry their own number, and broken ones.

Every frame shows its number as a row of light and dark bars along its top, so that a test
can read back which frame it was really given (`frame_number`). Nothing here knows `retake`.
"""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

BITS = 12
Array = np.ndarray


def picture(number: int, width: int, height: int) -> Array:
    """The upright RGB picture `[H, W, 3]` of frame `number` (0 to 4095)."""
    y, x = np.mgrid[0:height, 0:width]
    red = 40 + 150 * x / width
    green = 40 + 150 * y / height
    blue = 60 + 100 * (0.5 + 0.5 * np.sin(number / 9 + x / 25))
    image = np.stack([red, green, blue], axis=-1)
    band = max(height // 3, 8)
    for bit in range(BITS):
        left, right = bit * width // BITS, (bit + 1) * width // BITS
        image[:band, left:right] = 215 if number >> bit & 1 else 30
    return image.astype(np.uint8)


def frame_number(image: Array) -> int:
    """The number that `picture` wrote into an upright frame `[H, W, 3]`."""
    height, width = image.shape[:2]
    band = max(height // 3, 8)
    row = image[band // 4 : max(band // 4 + 1, 3 * band // 4)].mean(axis=(0, 2))
    number = 0
    for bit in range(BITS):
        left, right = bit * width // BITS, (bit + 1) * width // BITS
        middle = row[left + (right - left) // 4 : right - (right - left) // 4]
        number |= int(middle.mean() > 122) << bit
    return number


def uneven_times(count: int, fps: int) -> list[float]:
    """Variable-rate presentation times in seconds: a fast third, a slow third, a fast third."""
    times, now = [], 0.0
    for index in range(count):
        times.append(now)
        now += (4 if count // 3 <= index < 2 * count // 3 else 1) / fps
    return times


def make_video(
    path: Path,
    *,
    frames: int = 48,
    size: tuple[int, int] = (192, 108),
    fps: int = 24,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    rotate: int = 0,
    flip: bool = False,
    vfr: bool = False,
    audio: bool = False,
    first: float = 0.0,
    gop: int = 12,
    options: dict[str, str] | None = None,
    container: dict[str, str] | None = None,
    numbers: Sequence[int] | None = None,
    colorspace: int | None = None,
    color_range: int | None = None,
) -> Path:
    """Write a sound video whose upright frames show `numbers` (0, 1, ... by default).

    Args:
        size: width and height of the frames as shown; stored turned where `rotate` says so.
        rotate: degrees clockwise (0, 90, 180, 270) that a player must turn the stored frames.
        flip: a player must mirror the stored frames left to right before it turns them.
        vfr: space the frames unevenly, see `uneven_times`.
        first: presentation time of the first frame in seconds (a start offset).
        options: of the encoder; `container`: of the muxer ({"movflags": "faststart"}).
    """
    width, height = size
    stored = (height, width) if rotate in (90, 270) else (width, height)
    times = uneven_times(frames, fps) if vfr else [index / fps for index in range(frames)]
    with av.open(str(path), "w", options=container or {}) as out:
        stream = out.add_stream(codec, rate=fps, options=options or _quality(codec))
        stream.width, stream.height, stream.pix_fmt = *stored, pix_fmt
        clock = fps if path.suffix == ".avi" else 12000  # an avi counts frames, not time
        stream.time_base = stream.codec_context.time_base = Fraction(1, clock)
        stream.codec_context.gop_size = gop
        if colorspace is not None:
            stream.codec_context.colorspace = colorspace
        if color_range is not None:
            stream.codec_context.color_range = color_range
        if rotate or flip:
            stream.set_display_rotation(rotate if flip else -rotate, hflip=flip)
        sound = out.add_stream("aac", rate=44100, layout="mono") if audio else None
        for index in range(frames):
            upright = picture(numbers[index] if numbers else index, width, height)
            image = np.rot90(upright, k=rotate // 90)
            image = image[:, ::-1] if flip else image
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
            if pix_fmt != "rgb24":
                frame = frame.reformat(
                    format=pix_fmt, dst_colorspace=colorspace, dst_color_range=color_range
                )
            frame.time_base = Fraction(1, clock)
            frame.pts = round((times[index] + first) * clock)
            out.mux(stream.encode(frame))
        out.mux(stream.encode())
        if sound is not None:
            write_tone(out, sound, seconds=times[-1] + 1 / fps)
    return path


def _quality(codec: str) -> dict[str, str]:
    if codec in ("libx264", "libx265"):
        quiet = {"x265-params": "log-level=none"} if codec == "libx265" else {}
        return {"crf": "16", "preset": "veryfast", **quiet}
    if codec == "libvpx-vp9":
        return {"crf": "20", "b": "0", "deadline": "realtime", "cpu-used": "8"}
    return {}


def write_tone(out: av.container.OutputContainer, stream: av.AudioStream, seconds: float) -> None:
    """A steady tone of so many seconds into an audio stream."""
    for start in range(0, int(seconds * 44100), 1024):
        wave = np.sin(np.arange(start, start + 1024) * 0.05)[None].astype(np.float32) * 0.1
        frame = av.AudioFrame.from_ndarray(wave, format="fltp", layout="mono")
        frame.sample_rate, frame.pts = 44100, start
        frame.time_base = Fraction(1, 44100)
        out.mux(stream.encode(frame))
    out.mux(stream.encode())


def make_long(path: Path, source: Path, repeats: int) -> Path:
    """A long video in little time: the packets of `source` over and over, none encoded anew."""
    with av.open(str(source)) as short, av.open(str(path), "w") as out:
        stream = short.streams.video[0]
        packets = [
            (bytes(packet), packet.pts, packet.dts, packet.is_keyframe, packet.duration)
            for packet in short.demux(stream)
            if packet.size
        ]
        length = stream.duration
        target = out.add_stream_from_template(stream)
        for turn in range(repeats):
            for data, pts, dts, is_keyframe, duration in packets:
                packet = av.Packet(data)
                packet.stream, packet.time_base = target, stream.time_base
                packet.pts, packet.dts = pts + turn * length, dts + turn * length
                packet.is_keyframe, packet.duration = is_keyframe, duration
                out.mux(packet)
    return path
