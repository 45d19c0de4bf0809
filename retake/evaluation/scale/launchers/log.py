"""What a worker writes: a file without a name, of which only the end is kept.

The idea: a library that warns with every frame would fill the disk within days. So a thread looks
at the file now and then, and cuts it to its end where it has grown. What the worker writes at that
very moment may be lost.
"""

import contextlib
import os
import tempfile
import threading
from typing import IO

#: Bytes from which the file is cut, and that are left of it.
MOST_BYTES, KEPT_BYTES = 4 * 2**20, 64 * 2**10
# Seconds between two looks.
_BETWEEN = 5.0


class Log:
    """A file that another process appends to.

    Args:
        between: seconds between two looks at how long it is.
    """

    def __init__(self, between: float = _BETWEEN) -> None:
        self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - closed in `close`
        self._between = between
        self._reading = threading.Lock()
        self._over = threading.Event()
        self._watch = threading.Thread(target=self._look, daemon=True)
        if os.name != "nt":  # which has no such flag: there it grows
            _append(self._file)
            self._watch.start()

    def fileno(self) -> int:
        """The descriptor."""
        return self._file.fileno()

    @property
    def size(self) -> int:
        """Bytes that are there."""
        return os.fstat(self.fileno()).st_size

    def end(self, count: int) -> bytes:
        """The last bytes, so many at most."""
        with self._reading:
            self._file.seek(max(0, self.size - count))
            found = self._file.read(count)
            self._file.seek(0, os.SEEK_END)
            return found

    def close(self) -> None:
        """Forget all of it."""
        self._over.set()
        if self._watch.is_alive():
            self._watch.join()
        self._file.close()

    def _look(self) -> None:
        while not self._over.wait(self._between):
            # Where the disk is full, what a worker said is the least of it.
            with contextlib.suppress(OSError):
                self._cut()

    def _cut(self) -> None:
        if self.size > MOST_BYTES:
            kept = self.end(KEPT_BYTES)
            self._file.truncate(0)
            self._file.write(kept)


def _append(file: IO[bytes]) -> None:
    """What is written comes where the file ends, also once it was cut."""
    import fcntl

    flags = fcntl.fcntl(file, fcntl.F_GETFL)
    fcntl.fcntl(file, fcntl.F_SETFL, flags | os.O_APPEND)
