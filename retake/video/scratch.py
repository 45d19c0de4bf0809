"""Folders for what is needed for a while: gone when it is over, or swept up by the next process."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from retake.core.errors import VideoError

PREFIX = "retake-unpacked-"
LOCK = ".lock"


@contextmanager
def scratch_folder(needed: int, what: str) -> Iterator[Path]:
    """An empty folder in $TMPDIR, or where the system has temporary files.

    It is removed when it is left, however that comes about. One that a killed process left behind
    is removed by the next process that makes one: the lock on it has been given back.

    Args:
        needed: bytes that it will hold.
        what: that is, for messages.

    Raises:
        VideoError: there is no room for that, or the folder cannot be made.
    """
    base = _base()
    _sweep(base)
    try:
        free = shutil.disk_usage(base).free
        if free < needed:
            raise VideoError(
                f"No room to unpack {what}: it takes {_size(needed)}, and {base} has "
                f"{_size(free)} free.",
                hint="Set TMPDIR to a folder with more room, or unpack the archive beside itself: "
                "the files are found there as well.",
            )
        folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=base))
    except OSError as error:
        raise VideoError(f"Cannot unpack {what} in {base}: {error.strerror}.") from None
    lock = _locked(folder)
    try:
        yield folder
    finally:
        if lock is not None:
            os.close(lock)
        shutil.rmtree(folder, ignore_errors=True)


def _base() -> Path:
    """Where temporary files go; an error, not another place, where $TMPDIR will not do."""
    named = os.environ.get("TMPDIR")
    if named and not (os.path.isdir(named) and os.access(named, os.W_OK)):
        raise VideoError(
            f"TMPDIR is '{named}', which is no folder that can be written to.",
            hint="Set it to one with room for a video, or unset it.",
        )
    return Path(named or tempfile.gettempdir())


@cache
def _sweep(base: Path) -> None:
    """Remove what killed processes left, once a process."""
    for folder in base.glob(f"{PREFIX}*"):
        if _is_abandoned(folder):
            shutil.rmtree(folder, ignore_errors=True)


def _size(count: int) -> str:
    return f"{count / 2**30:.1f} GiB" if count >= 2**30 else f"{count / 2**20:.1f} MiB"


if os.name == "nt":

    def _locked(folder: Path) -> int | None:
        return None

    def _is_abandoned(folder: Path) -> bool:
        return False

else:
    import fcntl

    def _locked(folder: Path) -> int | None:
        """A lock that the system takes back with the process; None where it knows no locks."""
        # Under its name it is seen only once it is locked, so that nobody sweeps it before.
        making = folder / f"{LOCK}.making"
        try:
            number = os.open(making, os.O_RDWR | os.O_CREAT, 0o600)
            fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
            making.rename(folder / LOCK)
        except OSError:
            making.unlink(missing_ok=True)
            return None
        return number

    def _is_abandoned(folder: Path) -> bool:
        """Whether nobody holds its lock; not where it has none, or is somebody else's."""
        try:
            number = os.open(folder / LOCK, os.O_RDWR)
        except OSError:
            return False
        try:
            fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        else:
            return True
        finally:
            os.close(number)
