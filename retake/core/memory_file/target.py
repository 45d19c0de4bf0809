"""Where a memory is written: refused early where it cannot be, and whole or not there."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedWriter
from pathlib import Path

from retake.core import writing
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
        os.close(writing.create(beside))
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
    existed = target.exists()
    try:
        with writing.replacing(target, _beside(target)) as file:
            yield file
    except OSError as error:
        kept = "The memory that was there is as it was." if existed else "Nothing was left there."
        raise MemoryFileError(
            f"Cannot write the memory '{path}': {error.strerror}.", hint=kept
        ) from error


def _beside(target: Path) -> Path:
    """A name in the same folder that nothing has."""
    return target.with_name(f".retake-{secrets.token_hex(6)}.part")
