"""What can be said of a video file before any decoder sees it."""

import os
import stat
from pathlib import Path

from retake.core.errors import VideoError

PICTURES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff"}


def check_file(path: Path) -> None:
    """Refuse what is not a readable, non-empty, regular file, without opening it to read.

    A pipe or a device is refused too: reading one could wait for ever.
    """
    try:
        mode = path.stat()
    except FileNotFoundError:
        raise VideoError(f"No such video: {path}", hint=_neighbours(path)) from None
    except OSError as error:
        raise VideoError(f"Cannot look at the video {path}: {error.strerror}.") from None
    if not stat.S_ISREG(mode.st_mode):
        raise VideoError(f"{path} is a {_kind(mode.st_mode)}, not a video file.")
    if mode.st_size == 0:
        raise VideoError(f"{path} is empty (0 bytes).", hint="Fetch or copy the file again.")
    if not os.access(path, os.R_OK):
        raise VideoError(f"You may not read {path}.", hint=f"Allow it with: chmod +r '{path}'")
    if path.suffix.lower() in PICTURES:
        raise VideoError(
            f"{path} is a picture, not a video.",
            hint="Put numbered pictures in a folder and open that with a stated frame rate.",
        )


def missing_bytes(path: Path, format_name: str, furthest: int) -> int:
    """How many bytes the file ought to have beyond its end; 0 where it seems whole.

    Args:
        format_name: libavformat's name of the container.
        furthest: where the container's index says that the last frame ends, 0 if unknown.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(256)
    if "matroska" in format_name:
        return max(0, _matroska_end(head) - size)
    if format_name == "avi" and head[:4] == b"RIFF":
        return max(0, int.from_bytes(head[4:8], "little") + 8 - size)
    return max(0, furthest - size)


def _matroska_end(head: bytes) -> int:
    """Where the segment of a Matroska file ends; 0 where it does not say (a live stream)."""
    place = head.find(b"\x18\x53\x80\x67", 0, 200)
    if place < 0 or place + 12 > len(head):
        return 0
    width = 9 - head[place + 4].bit_length()
    if not 1 <= width <= 8:
        return 0
    field = int.from_bytes(head[place + 4 : place + 4 + width], "big")
    length = field & ((1 << 7 * width) - 1)
    unknown = length == (1 << 7 * width) - 1
    return 0 if unknown else place + 4 + width + length


def _kind(mode: int) -> str:
    if stat.S_ISDIR(mode):
        return "folder"
    if stat.S_ISFIFO(mode):
        return "named pipe"
    return "socket" if stat.S_ISSOCK(mode) else "device"


def _neighbours(path: Path) -> str:
    """What there is in place of a missing file."""
    folder = path.parent
    if not folder.is_dir():
        return f"The folder {folder} does not exist either."
    alike = sorted(other.name for other in folder.glob(f"{_escape(path.stem)}.*"))[:3]
    return f"In the same folder there is: {', '.join(alike)}." if alike else "Check the path."


def _escape(stem: str) -> str:
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in stem)
