"""Connections of which it is not known yet whether they know the key: few, and not for long.

The idea: each costs a thread and a descriptor, which whoever reaches the port could use up. So
only so many are asked at a time; the next one waits, in the system's queue, until one has answered,
or until the oldest has had its moment and is hung up on.
"""

import contextlib
import socket
import threading
import time
from multiprocessing import AuthenticationError
from multiprocessing.connection import Connection, answer_challenge, deliver_challenge
from typing import Any

from retake.evaluation.scale.wire import with_socket


class Strangers:
    """Asks who connects for the key.

    Args:
        most: how many are asked at a time.
        seconds: in which one must have shown that it knows the key.
        moment: seconds that each has also where others wait.
    """

    def __init__(self, most: int = 64, seconds: float = 30.0, moment: float = 2.0) -> None:
        self._most = most
        self._seconds = seconds
        self._moment = moment
        self._since: dict[Connection[Any, Any], float] = {}  # the oldest first
        self._room = threading.Condition()
        self._closed = False

    def enter(self, connection: "Connection[Any, Any]") -> None:
        """Count one more, once there is room; before `knows`, and not in a thread of its own."""
        with self._room:
            while len(self._since) >= self._most and not self._closed:
                oldest, since = next(iter(self._since.items()))
                left = since + self._moment - time.monotonic()
                if left > 0:
                    self._room.wait(left)
                else:
                    self._hang_up(oldest)
            self._since[connection] = time.monotonic()
            if self._closed:
                self._hang_up(connection)

    def knows(self, connection: "Connection[Any, Any]", key: bytes) -> bool:
        """Whether one that has entered knows the key; it leaves, and stays open."""
        # One deadline for all of it: each word of an answer may come just in time.
        timer = threading.Timer(self._seconds, self._late, (connection,))
        timer.daemon = True
        timer.start()
        try:
            deliver_challenge(connection, key)
            answer_challenge(connection, key)
            shown = True
        except (OSError, EOFError, AuthenticationError):
            shown = False
        finally:
            timer.cancel()
            with self._room:
                left = self._since.pop(connection, None) is not None
                self._room.notify_all()
        return shown and left

    def close(self) -> None:
        """Hang up on all."""
        with self._room:
            self._closed = True
            for connection in list(self._since):
                self._hang_up(connection)
            self._room.notify_all()

    def _late(self, connection: "Connection[Any, Any]") -> None:
        with self._room:
            if connection in self._since:
                self._hang_up(connection)

    def _hang_up(self, connection: "Connection[Any, Any]") -> None:
        """Wake its thread, which closes it: until then nothing else has its descriptor."""
        del self._since[connection]
        with contextlib.suppress(OSError):
            with_socket(connection, lambda raw: raw.shutdown(socket.SHUT_RDWR))
