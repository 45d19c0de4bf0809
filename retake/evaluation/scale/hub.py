"""Where many lines come together: everything that is said, in one queue.

The idea: a thread waits for connections, and each connection has one that waits for messages. So
a peer that stops in the middle of a word, or a stranger who connects and says nothing, holds up
nobody else; and whoever works through the queue finds all that has come in meanwhile.
"""

import contextlib
import queue
import socket
import threading
import time
from multiprocessing.connection import Connection, Listener
from types import TracebackType
from typing import Any, Self

import attrs

from retake.core.errors import WorkerError
from retake.evaluation.scale.strangers import Strangers
from retake.evaluation.scale.wire import Line, LineLostError, Place, new_key

_BACKLOG = 512
# Seconds until it is tried again to accept who connects, where the system refused.
_REFUSED = 0.1


@attrs.frozen
class Event:
    """Something that came in.

    Attributes:
        line: the number of the connection.
        message: what was said; None where the line is lost.
    """

    line: int
    message: dict[str, Any] | None


class Hub:
    """Listens, and hears whoever knows the key; a context manager.

    Args:
        host: by which name or address this machine is reached; on others than those of it, it
            listens on all of its addresses.

    Raises:
        WorkerError: the system refuses.
    """

    def __init__(self, host: str = "127.0.0.1") -> None:
        self._listener = _listen(host)
        port = self._listener.address[1]
        self.place = Place(host, int(port), new_key())
        self._events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._lines: dict[int, Line] = {}
        self._lock = threading.Lock()
        self._strangers = Strangers()
        self._count = 0
        self._closed = False
        self._door = threading.Thread(target=self._accept, daemon=True)
        self._door.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self.close()

    def events(self, seconds: float) -> list[Event]:
        """All that has come in; waits so long for something."""
        try:
            found = [self._events.get(timeout=seconds)]
        except queue.Empty:
            return []
        while True:
            try:
                found.append(self._events.get_nowait())
            except queue.Empty:
                return found

    def send(self, number: int, kind: str, **content: Any) -> None:
        """Say something; where the line is lost, that is heard as an event."""
        line = self._lines.get(number)
        if line is None:
            return
        try:
            line.send(kind, **content)
        except LineLostError:
            line.close()  # its reader notices

    def drop(self, number: int) -> None:
        """Hang up; nothing that is heard of the line from now on means anything."""
        with self._lock:
            line = self._lines.pop(number, None)
        if line is not None:
            line.close()

    def close(self) -> None:
        """Hang up on everybody."""
        with self._lock:
            self._closed = True
            numbers = list(self._lines)
        self._strangers.close()
        for number in numbers:
            self.drop(number)
        # Closing a listener does not wake who waits at it; a call does.
        host, port = self._listener.address
        here = "127.0.0.1" if host == "0.0.0.0" else host
        with contextlib.suppress(OSError):
            socket.create_connection((here, port), timeout=5).close()
        self._door.join(timeout=5)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                connection = self._listener.accept()
            except OSError:
                if self._closed:
                    return
                # It was gone before it was there, or there are too many open files.
                time.sleep(_REFUSED)
                continue
            if self._closed:
                connection.close()
                return
            self._strangers.enter(connection)
            threading.Thread(target=self._hear, args=(connection,), daemon=True).start()

    def _hear(self, connection: "Connection[Any, Any]") -> None:
        """All that one line says, once it has shown that it knows the key."""
        try:
            line = Line(connection) if self._strangers.knows(connection, self.place.key) else None
        except OSError:
            line = None
        if line is None:
            connection.close()
            return
        with self._lock:
            if self._closed:
                line.close()
                return
            self._count += 1
            number = self._count
            self._lines[number] = line
        try:
            while True:
                self._events.put(Event(number, line.receive()))
        except LineLostError:
            self._events.put(Event(number, None))
            self.drop(number)


def _listen(host: str) -> Listener:
    reason: OSError | None = None
    for address in ("0.0.0.0",) if _misleads(host) else (host, "0.0.0.0"):
        try:
            return Listener((address, 0), family="AF_INET", backlog=_BACKLOG)
        except OSError as error:
            reason = reason or error
    raise WorkerError(
        f"Cannot listen for workers as '{host}': {reason and reason.strerror}.",
        hint="Is that a name or an address of this machine?",
    )


def _misleads(host: str) -> bool:
    """Whether a name is this machine's only to itself: some systems have it as 127.0.1.1."""
    if host == "localhost" or host.startswith("127."):
        return False
    try:
        return socket.gethostbyname(host).startswith("127.")
    except OSError:
        return False
