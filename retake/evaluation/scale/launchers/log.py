"""What a worker writes: a pipe that is read as it comes, of which only the end is kept.

The idea: a library that warns with every frame would fill a disk within days, and a pipe that
nobody reads would stop the worker. So a thread reads it for as long as anybody may write, and
forgets all but the last bytes. Nothing within them is lost, whenever it was written: a worker's
last line says why it ended.
"""

import contextlib
import threading
from typing import IO

#: Bytes that are kept.
KEPT_BYTES = 64 * 2**10


class Log:
    """The end of what another process writes.

    Args:
        pipe: what it writes into, to be read without a buffer. It is read, and stays open, until
            all who may write are gone: also what a worker started and left behind.
    """

    def __init__(self, pipe: IO[bytes]) -> None:
        self._pipe = pipe
        self._kept = bytearray()
        self._changing = threading.Lock()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def end(self, count: int) -> bytes:
        """The last bytes that came, so many at most (`KEPT_BYTES` are there)."""
        with self._changing:
            return bytes(self._kept[-count:])

    @property
    def over(self) -> bool:
        """Whether all has come that ever will: nobody is left who may write."""
        return not self._reader.is_alive()

    def _read(self) -> None:
        # A pipe that breaks has come to its end as well.
        with contextlib.suppress(OSError), self._pipe:
            while came := self._pipe.read(KEPT_BYTES):
                with self._changing:
                    self._kept += came
                    del self._kept[:-KEPT_BYTES]
