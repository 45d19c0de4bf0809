"""The folder that is written: nothing half-written has a final name, and it is ours alone."""

import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from retake.core import writing
from retake.core.errors import ModelError, UsageError

#: Written first: says what the folder is the conversion of.
MARK = "retake-conversion.json"
#: Written last: without it, nothing loads the folder.
LAST = "config.json"
_FORMAT = "retake.convert/1"
_PART = ".part"


class Destination:
    """The folder of one conversion, empty or begun before.

    Args:
        folder: it is made, with the folders above it, when it is claimed.
        identity: what it is the conversion of, and with which options.
    """

    def __init__(self, folder: Path, identity: dict[str, Any]) -> None:
        self.folder = folder
        self._mark = json.dumps({"format": _FORMAT, **identity}, indent=2) + "\n"

    def check(self) -> None:
        """Refuse a folder that holds something else.

        Raises:
            UsageError: it does, or is a file, or is the conversion of another checkpoint.
        """
        if self.folder.exists() and not self.folder.is_dir():
            raise UsageError(f"'{self.folder}' is a file; a checkpoint is a folder.")
        held = sorted(path.name for path in self.folder.iterdir()) if self.folder.exists() else []
        if not held or held == [MARK + _PART]:
            return
        if MARK not in held:
            raise UsageError(
                f"'{self.folder}' holds something else ({', '.join(held[:4])}).",
                hint="Name a new or an empty folder.",
            )
        if (self.folder / MARK).read_text(encoding="utf-8", errors="replace") != self._mark:
            raise UsageError(
                f"'{self.folder}' holds the conversion of another checkpoint, or one with other "
                "options.",
                hint="Name another folder, or remove that one.",
            )

    @contextmanager
    def claimed(self) -> Iterator[None]:
        """Make the folder, mark it, and keep other conversions out until the block ends.

        Raises:
            ModelError: the system refuses.
            UsageError: another process is converting into it.
        """
        with self._writing(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            if not (self.folder / MARK).exists():  # locked by whoever is at work here
                self.put(MARK, [self._mark.encode()])
        with _alone(self.folder):
            for left in self.folder.glob(f"*{_PART}"):
                left.unlink(missing_ok=True)
            yield

    def check_room(self, needed: int) -> None:
        """Refuse to begin what the disk cannot hold.

        Args:
            needed: bytes that are to be written.

        Raises:
            ModelError: there are fewer.
        """
        with self._writing(self.folder):
            free = shutil.disk_usage(self.folder).free
        if needed > free:
            raise ModelError(
                f"The disk of '{self.folder}' is too full: {needed / 2**30:.1f} GiB are to be "
                f"written, {free / 2**30:.1f} GiB are free.",
                hint="Free some, or choose a folder on another disk.",
            )

    def reopen(self) -> None:
        """Let nothing load the folder until it is whole again: weights are about to change.

        Raises:
            ModelError: the system refuses.
        """
        with self._writing(self.folder / LAST):
            (self.folder / LAST).unlink(missing_ok=True)

    def put(
        self, name: str, blocks: Iterable[bytes], told: Callable[[int], None] | None = None
    ) -> None:
        """Write a file that takes its name once it is whole and on the disk.

        Raises:
            ModelError: the system refuses, such as with a full disk.
        """
        target = self.folder / name
        beside = target.with_name(name + _PART)
        with self._writing(target):
            beside.unlink(missing_ok=True)  # left by one that was killed
            with writing.replacing(target, beside) as file:
                for block in blocks:
                    file.write(block)
                    if told is not None:
                        told(len(block))

    @contextmanager
    def _writing(self, path: Path) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise ModelError(
                f"Cannot write '{path}': {error.strerror}.",
                hint="Files that were finished are kept: the same command goes on from there.",
            ) from error


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold a lock on a folder where the system has such locks; it ends with the process."""
    try:
        import fcntl
    except ImportError:
        yield
        return
    number = os.open(folder / MARK, os.O_RDONLY)
    try:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(number)
        raise UsageError(f"Another process is converting into '{folder}'.") from None
    except OSError:
        pass  # a file system without locks
    try:
        yield
    finally:
        with suppress(OSError):
            os.close(number)
