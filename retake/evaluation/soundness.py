"""Whether a file that a benchmark consists of is there, and what it should be.

The idea: whatever would stop a run after hours is looked for beforehand: files that were not
fetched, or not to their end, and videos that cannot be decoded.
"""

import json
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import attrs
import torch

from retake.core.archives import Archive, Place, open_archive, place_in, read_bytes
from retake.core.benchmark import Holding
from retake.core.errors import RetakeError, VideoError
from retake.core.stand_ins import stand_in
from retake.datasets.files import read_json, read_srt, read_table
from retake.datasets.files.text import decoded, parsed
from retake.video import VideoReader, open_video, unpacked
from retake.video.checks import check_file

State = Literal["sound", "missing", "corrupt", "short", "long"]

#: A video is as long as it should be within so many seconds, or this share of its length. What
#: benchmarks say is rounded, and the sound track may be longer than the pictures.
SECONDS_APART = 2.0
SHARE_APART = 0.02

_FPS = 25.0  # at which a folder of pictures is opened; its length is not judged
_HEAD = 4096
_SIGNS = (  # of a container, and where it stands in the file
    (4, (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot")),  # mp4, mov
    (
        0,
        (
            b"\x1a\x45\xdf\xa3",
            b"RIFF",
            b"FLV",
            b"\x47",
            b"\x00\x00\x01",
            b"\x30\x26\xb2\x75",
            b"Ogg",
        ),
    ),
)


class StoppedError(Exception):
    """Nobody wants the result any more."""


@attrs.frozen
class Checked:
    """A file, and what was found.

    Attributes:
        holding: what was looked for.
        state: "sound", "missing", "corrupt", or of another length than it should be.
        reason: what is wrong with it; "" where nothing is.
        bytes: its size; None where it is not there, or a folder.
        seconds: how long it is, where it was opened as a video.
        opened: whether it was opened, and not only seen in an archive.
    """

    holding: Holding
    state: State
    reason: str = ""
    bytes: int | None = None
    seconds: float | None = None
    opened: bool = True

    @property
    def is_usable(self) -> bool:
        """Whether it is there and can be read."""
        return self.state not in ("missing", "corrupt")


def check(holding: Holding, *, deep: bool, stop: threading.Event) -> Checked:
    """Look at one file that is in no archive.

    A video is opened, which reads all of its packets, and its first and last frames are decoded;
    annotations and subtitles are read; of an archive the contents are listed.

    Args:
        deep: decode all frames of a video, read all of an archive.
        stop: once it is set, a deep look ends with a StoppedError.
    """
    path = holding.path
    try:
        if not path.exists():
            return Checked(holding, "missing", f"There is no {path}.")
        size = None if path.is_dir() else path.stat().st_size
        if holding.what == "video":
            return _video(holding, path, size, deep=deep, stop=stop)
        if not path.is_dir():
            check_file(path)
        _read(holding, deep, stop)
    except (RetakeError, OSError) as error:
        return Checked(holding, "corrupt", str(error))
    return Checked(holding, "sound", bytes=size)


def check_inside(
    path: Path, holdings: Sequence[Holding], *, deep: bool, stop: threading.Event
) -> list[Checked]:
    """Look at files in one archive.

    They are seen in its table of contents, and their beginnings are read. Nothing more can be
    said of a video without unpacking it.

    Args:
        path: the archive.
        deep: unpack each file, which proves its check sum, and look at it as `check` does.
    """
    try:
        with open_archive(path) as archive:
            return [_inside(archive, holding, deep, stop) for holding in holdings]
    except RetakeError as error:
        return [Checked(holding, "corrupt", str(error), opened=False) for holding in holdings]


def _inside(archive: Archive, holding: Holding, deep: bool, stop: threading.Event) -> Checked:
    place = place_in(holding.path)
    names = [] if place is None else _named(archive, place)
    if stop.is_set():
        raise StoppedError
    if not names:
        return Checked(holding, "missing", f"There is no {holding.path}.", opened=False)
    size = sum(archive.members[name].bytes for name in names)
    try:
        if deep and holding.what == "video":
            with unpacked(holding.path) as real:
                return _video(holding, real, size, deep=True, stop=stop)
        if holding.what != "video":
            _read(holding, deep, stop)
            return Checked(holding, "sound", bytes=size)
        for name in names:
            _check_beginning(archive, name)
    except (RetakeError, OSError) as error:
        return Checked(holding, "corrupt", str(error), bytes=size)
    return Checked(holding, "sound", bytes=size, opened=False)


def _named(archive: Archive, place: Place) -> list[str]:
    """The file of that name in the archive, or those of the folder."""
    if place.name in archive.members:
        return [place.name]
    return [name for name in archive.members if name.startswith(f"{place.name}/")]


def _check_beginning(archive: Archive, name: str) -> None:
    """Refuse a file in an archive that is empty, cannot be unpacked, or begins like no video.

    Raises:
        VideoError: it is one of these.
    """
    if not archive.members[name].bytes:
        raise VideoError(f"'{name}' in {archive.path} is empty (0 bytes).")
    pieces = archive.pieces(name, _HEAD)
    head = next(pieces, b"")
    pieces.close()
    if trouble := stand_in(head):
        raise VideoError(f"'{name}' in {archive.path} is {trouble.what}.", hint=trouble.hint)
    is_picture = head.startswith((b"\xff\xd8", b"\x89PNG"))
    if not is_picture and not any(head[at:].startswith(signs) for at, signs in _SIGNS):
        raise VideoError(
            f"'{name}' in {archive.path} begins like no video: {head[:8].hex(' ')}.",
            hint="It was damaged or cut before it was packed; fetch the archive again.",
        )


def _video(
    holding: Holding, path: Path, size: int | None, *, deep: bool, stop: threading.Event
) -> Checked:
    """Open a video and decode its first and last frames, or all.

    Raises:
        VideoError: it cannot be, or frames cannot be decoded.
    """
    if not path.is_dir():
        check_file(path)
        with path.open("rb") as file:
            trouble = stand_in(file.read(_HEAD))
        if trouble is not None:
            raise VideoError(f"{path} is {trouble.what}, not a video.", hint=trouble.hint)
    fps = _FPS if path.is_dir() else None
    with open_video(path, folder_fps=fps, threads=1) as video:
        last = video.info.frame_count - 1
        for batch in video.read(sorted({0, last}), batch_size=1, each=_corner):
            del batch
        seconds = None if path.is_dir() else video.info.duration
    if deep:
        with open_video(path, folder_fps=fps, threads=1, on_bad_frame="report") as video:
            _decode_all(video, stop)
    state, reason = _length(holding.seconds, seconds)
    return Checked(holding, state, reason, size, seconds)


def _decode_all(video: VideoReader, stop: threading.Event) -> None:
    for batch in video.read(range(video.info.frame_count), each=_corner):
        del batch
        if stop.is_set():
            raise StoppedError
    if video.bad_frames:
        first, count = video.bad_frames[0], len(video.bad_frames)
        raise VideoError(
            f"{count} of {video.info.frame_count} frames of {video.info.path} cannot be decoded, "
            f"the first of them at {first.timestamp:.2f} s: {first.reason}.",
            hint="Fetch the file again.",
        )


def _corner(frame: torch.Tensor) -> torch.Tensor:
    """A pixel, so that frames need no room: they are decoded, and that is all that is asked."""
    return frame[:, :1, :1]


def _length(said: float | None, found: float | None) -> tuple[State, str]:
    if said is None or found is None:
        return "sound", ""
    apart = max(SECONDS_APART, SHARE_APART * said)
    if abs(found - said) <= apart:
        return "sound", ""
    return (
        "short" if found < said else "long",
        f"It is {found:.1f} s long, and {said:.1f} s by the annotations.",
    )


def _read(holding: Holding, deep: bool, stop: threading.Event) -> None:
    """Read annotations, subtitles or an archive.

    Raises:
        RetakeError: they are not as they should be.
    """
    path, suffix = holding.path, holding.path.suffix.lower()
    if holding.what == "archive":
        with open_archive(path) as archive:
            for name in archive.members if deep else ():
                for _ in archive.pieces(name):
                    if stop.is_set():
                        raise StoppedError
    elif path.is_dir():
        return
    elif holding.what == "subtitles" and suffix in (".srt", ".json"):
        read_srt(path) if suffix == ".srt" else read_json(path)
    elif suffix in (".parquet", ".jsonl"):
        read_table(path)
    elif suffix == ".json":
        _check_json(path)


def _check_json(path: Path) -> None:
    """A benchmark may have a layout of its own: it must be JSON, whatever is in it."""
    try:
        parsed(decoded(read_bytes(path), path), path)
    except json.JSONDecodeError as error:
        raise VideoError(f"{path} is no JSON at line {error.lineno}: {error.msg}.") from None
