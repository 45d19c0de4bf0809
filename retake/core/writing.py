"""Writing a file so that it is whole or not there.

The idea: write beside the final name, bring it to the disk, rename, bring the folder to the
disk. Whatever happens before the renaming, an older file at that name is untouched. What this
module does not know: what is written, and what a reader is told where the system refuses.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BufferedWriter
from pathlib import Path


@contextmanager
def replacing(target: Path, beside: Path) -> Iterator[BufferedWriter]:
    """A new file that takes the name `target` once the block has ended and it is on the disk.

    After an exception, also an interruption, it is gone, and what was at `target` is there.

    Args:
        target: the final name; a file that has it is replaced, and hands on its permissions.
        beside: a name in the same folder that nothing has.

    Raises:
        OSError: the system refuses, such as with a full disk, or something has that name.
    """
    number = create(beside)
    try:
        with os.fdopen(number, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if target.exists():
            shutil.copymode(target, beside)
        beside.replace(target)
    finally:
        with suppress(OSError):
            beside.unlink(missing_ok=True)
    sync_folder(target.parent)


def create(path: Path) -> int:
    """A new file with the permissions that new files get here."""
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)


def sync_folder(folder: Path) -> None:
    """Bring a new or another name in a folder to the disk, where folders can be synchronised."""
    with suppress(OSError):
        number = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)
