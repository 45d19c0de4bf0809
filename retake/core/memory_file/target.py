"""Writing a file so that it is whole or not there.

The idea: write beside the final name, bring it to the disk, rename, bring the folder to the
disk. Whatever happens before the renaming, an older file at that name is untouched.
"""

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BufferedWriter
from pathlib import Path

from retake.core.errors import MemoryFileError, UsageError
from retake.core.memory_file.container import read_document


def check_target(path: Path) -> None:
    """Refuse a place where no memory can be written, before hours are spent on making one.

    Raises:
        UsageError: the folder is missing or nothing can be written in it, or what is at `path`
            is something other than a memory.
    """
    try:
        if path.is_dir():
            raise UsageError(f"Cannot write the memory '{path}': it is a folder.")
        if not path.parent.is_dir():
            raise UsageError(
                f"Cannot write the memory '{path}': there is no folder '{path.parent}'."
            )
        if path.exists():
            _check_own(path)
        beside = _beside(path.resolve())
        os.close(_create(beside))
        beside.unlink()
    except OSError as error:
        raise UsageError(f"Cannot write the memory '{path}': {error.strerror}.") from error


def _check_own(path: Path) -> None:
    """Refuse to write over what is no memory, or cannot be told to be one."""
    try:
        read_document(path)
    except MemoryFileError as error:
        raise UsageError(
            f"'{path}' exists and is no memory of retake, so it is not written over.",
            hint="Choose another name, or move that file away.",
        ) from error


@contextmanager
def replacing(path: Path) -> Iterator[BufferedWriter]:
    """A new file that takes the name `path` once the block has ended and it is on the disk.

    After an exception, also an interruption, it is gone, and what was at `path` is there.

    Raises:
        MemoryFileError: the system refuses, such as with a full disk.
    """
    # A link stays a link: what it points to is replaced.
    target = path.resolve()
    beside = _beside(target)
    existed = target.exists()
    try:
        with os.fdopen(_create(beside), "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if existed:
            shutil.copymode(target, beside)
        beside.replace(target)
    except OSError as error:
        kept = "The memory that was there is as it was." if existed else "Nothing was left there."
        raise MemoryFileError(
            f"Cannot write the memory '{path}': {error.strerror}.", hint=kept
        ) from error
    finally:
        with suppress(OSError):
            beside.unlink(missing_ok=True)
    _sync_folder(target.parent)


def _beside(target: Path) -> Path:
    """A name in the same folder that nothing has."""
    return target.with_name(f".retake-{secrets.token_hex(6)}.part")


def _create(path: Path) -> int:
    """A new file with the permissions that new files get here."""
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)


def _sync_folder(folder: Path) -> None:
    """Bring a renaming to the disk, where folders can be synchronised."""
    with suppress(OSError):
        number = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)
