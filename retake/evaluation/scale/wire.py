"""What workers and the process that writes say to each other: JSON messages over TCP.

The idea: one transport for all launchers, on one machine or many. Both ends prove to each other
that they know a random key (the standard library's challenge by HMAC) before a message is read, and
nothing that arrives is ever unpickled. What is sent is not encrypted. A peer that is gone, or whose
machine is, is noticed within minutes also by who only listens.

A message is an object with its `kind`; `docs/scale.md` lists them.
"""

import contextlib
import json
import os
import secrets
import socket
import struct
import threading
from collections.abc import Mapping
from multiprocessing import AuthenticationError
from multiprocessing.connection import Client, Connection
from pathlib import Path
from typing import Any

import attrs

from retake.core.benchmark import Sample
from retake.core.errors import UsageError

#: Changes with every change of what is said.
PROTOCOL = "retake.scale/1"
#: Longer messages are somebody else's. An hour's frames are listed in less than one of them.
MOST_BYTES = 256 * 2**20
# Seconds until a silent machine is asked whether it is there, and between further attempts.
_IDLE, _BETWEEN, _ATTEMPTS = 60, 15, 8
# Seconds in which a peer must take what is sent to it.
_SEND_SECONDS = 60
_TUPLE = "__tuple__"


class LineLostError(Exception):
    """The other end is gone, or does not speak as it should."""


@attrs.frozen
class Place:
    """Where a process listens, and the key that it asks for."""

    host: str
    port: int
    key: bytes = attrs.field(repr=False)

    @classmethod
    def parse(cls, text: str) -> "Place":
        """From what `text` gave."""
        host, port, key = text.strip().rsplit(" ", 2)
        return cls(host, int(port), bytes.fromhex(key))

    @property
    def text(self) -> str:
        """In one line, the key included: not for logs or command lines."""
        return f"{self.host} {self.port} {self.key.hex()}"


def new_key() -> bytes:
    """A key that nobody guesses."""
    return secrets.token_bytes(32)


class Line:
    """One end of a connection: sends and receives whole messages; may be used by many threads."""

    def __init__(self, connection: "Connection[Any, Any]") -> None:
        self._connection = connection
        self._sending = threading.Lock()
        watch_over(connection)

    def send(self, kind: str, **content: Any) -> None:
        """Send a message.

        Raises:
            LineLostError: the other end is gone, or takes nothing.
        """
        raw = json.dumps({"kind": kind, **content}).encode()
        with self._sending:
            try:
                self._connection.send_bytes(raw)
            except (OSError, ValueError) as error:
                raise LineLostError(str(error)) from error

    def receive(self) -> dict[str, Any]:
        """Wait for a message.

        Raises:
            LineLostError: the other end is gone, or what it sent is none.
        """
        try:
            message = json.loads(self._connection.recv_bytes(MOST_BYTES))
        except (OSError, EOFError, ValueError, TypeError) as error:
            # TypeError: closed meanwhile by another thread.
            raise LineLostError(str(error) or type(error).__name__) from error
        if not isinstance(message, dict) or not isinstance(message.get("kind"), str):
            raise LineLostError("what was sent is no message")
        return message

    def close(self) -> None:
        """Hang up; whoever waits for a message at either end is told so."""
        with contextlib.suppress(OSError):
            # Closing alone does not wake a thread of this process that reads.
            with_socket(self._connection, lambda raw: raw.shutdown(socket.SHUT_RDWR))
        self._connection.close()


def connect(place: Place) -> Line:
    """A line to who listens at a place.

    Raises:
        LineLostError: nobody does, or they have another key.
    """
    try:
        return Line(Client((place.host, place.port), family="AF_INET", authkey=place.key))
    except (OSError, EOFError, AuthenticationError) as error:
        raise LineLostError(f"{place.host}:{place.port}: {error}") from error


def watch_over(connection: "Connection[Any, Any]") -> None:
    """Have the system find out when the other machine is gone, and when a peer takes nothing."""

    def options(raw: socket.socket) -> None:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for name, value in (
            ("TCP_KEEPIDLE", _IDLE),
            ("TCP_KEEPINTVL", _BETWEEN),
            ("TCP_KEEPCNT", _ATTEMPTS),
            ("TCP_USER_TIMEOUT", 1000 * (_IDLE + _BETWEEN * _ATTEMPTS)),
        ):
            # Not every system has all of them.
            if hasattr(socket, name):
                raw.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)

    with_socket(connection, options)
    set_seconds(connection, "SO_SNDTIMEO", _SEND_SECONDS)


def set_seconds(connection: "Connection[Any, Any]", name: str, seconds: int) -> None:
    """How long a connection waits for its peer when it sends or receives; 0: for ever."""
    timeval = struct.pack("@ll", seconds, 0)
    given: int | bytes = seconds * 1000 if os.name == "nt" else timeval
    option = getattr(socket, name)
    with_socket(connection, lambda raw: raw.setsockopt(socket.SOL_SOCKET, option, given))


def with_socket(connection: "Connection[Any, Any]", use: Any) -> None:
    """Use the socket behind a connection, which stays the connection's."""
    raw = socket.socket(fileno=connection.fileno())
    try:
        use(raw)
    finally:
        raw.detach()


def from_sample(sample: Sample) -> dict[str, Any]:
    """A sample as plain data that `to_sample` makes the same sample of.

    Raises:
        UsageError: it holds what is no plain data.
    """
    if type(sample) is not Sample:
        raise UsageError(
            f"The sample '{sample.id}' is a {type(sample).__name__}, and only a plain "
            "retake.Sample can be sent to a worker.",
            hint="What a benchmark needs besides goes into its `details`; or --workers 1.",
        )
    data = {field.name: getattr(sample, field.name) for field in attrs.fields(Sample)}
    data["video"] = str(sample.video)
    try:
        return {name: _plain(value) for name, value in data.items()}
    except TypeError as error:
        raise UsageError(
            f"The sample '{sample.id}' cannot be sent to a worker: {error}.",
            hint="Its details must be texts, numbers, lists, tuples, and mappings of them by name.",
        ) from error


def to_sample(data: Mapping[str, Any]) -> Sample:
    """The sample that `from_sample` made data of."""
    found = {name: _whole(value) for name, value in data.items()}
    return Sample(**{**found, "video": Path(found["video"])})


def _plain(value: Any) -> Any:
    """As JSON has it; tuples stay known, since a benchmark may go by them."""
    if isinstance(value, tuple):
        return {_TUPLE: [_plain(each) for each in value]}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    if isinstance(value, Mapping):
        if not all(isinstance(key, str) for key in value) or _TUPLE in value:
            raise TypeError(f"it holds a mapping by other than names ({value!r:.60})")
        return {key: _plain(each) for key, each in value.items()}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"it holds {value!r:.60}")


def _whole(value: Any) -> Any:
    if isinstance(value, list):
        return [_whole(each) for each in value]
    if isinstance(value, dict):
        if value.keys() == {_TUPLE}:
            return tuple(_whole(each) for each in value[_TUPLE])
        return {key: _whole(each) for key, each in value.items()}
    return value
