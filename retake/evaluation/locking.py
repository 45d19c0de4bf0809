"""One writer a folder: a lock that the system takes back when its process ends, however it ends."""

import os
import platform
from pathlib import Path
from types import TracebackType
from typing import Self

from retake.core.errors import RunFolderError

LOCK = ".lock"


class FolderLock:
    """Holds a folder for this process alone, against others on the same machine.

    The file stays when the lock is given back: it is the lock on it that counts, so one left by
    a process that was killed is no obstacle.

    Args:
        folder: of a run.
        name: of the lock; whoever writes other files of it takes another.
        doing: what its holder does to the run, as a participle.

    Raises:
        RunFolderError: another process holds it, or the system refuses.
    """

    def __init__(self, folder: Path, name: str = LOCK, doing: str = "written") -> None:
        self._doing = doing
        path = folder / name
        try:
            self._number = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise RunFolderError(f"Cannot write in '{folder}': {error.strerror}.") from error
        try:
            _lock(self._number)
        except OSError as error:
            refusal = self._refusal(folder, error)
            self.release()
            raise refusal from None
        self._say_who()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self.release()

    def release(self) -> None:
        """Give the folder back."""
        if self._number >= 0:
            os.close(self._number)
            self._number = -1

    def _refusal(self, folder: Path, error: OSError) -> RunFolderError:
        if not isinstance(error, BlockingIOError | PermissionError):
            return RunFolderError(
                f"Cannot lock '{folder}' against a second writer: {error.strerror}.",
                hint="Some network file systems know no locks; choose a folder on another.",
            )
        holder = os.read(self._number, 200).decode("utf-8", "replace").strip()
        return RunFolderError(
            f"The run '{folder}' is being {self._doing} by another process "
            f"({holder or 'unknown'}).",
            hint="Wait for its end, or end it. Meanwhile `retake report` and `retake compare` can "
            "read the run.",
        )

    def _say_who(self) -> None:
        """Leave word of who holds it, for whoever is refused; nothing depends on it."""
        try:
            os.ftruncate(self._number, 0)
            os.write(self._number, f"process {os.getpid()} on {platform.node()}\n".encode())
        except OSError:  # a full disk: the lock holds without it
            return


if os.name == "nt":
    import msvcrt

    # A byte that nobody writes, far behind the text: locked bytes cannot be read there.
    _FAR = 1 << 30

    def _lock(number: int) -> None:
        os.lseek(number, _FAR, os.SEEK_SET)
        msvcrt.locking(number, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
        os.lseek(number, 0, os.SEEK_SET)

else:
    import fcntl

    def _lock(number: int) -> None:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
