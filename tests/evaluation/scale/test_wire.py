"""What goes over the wire comes out as it went in, and strangers are not heard."""

import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest

from retake.core.errors import UsageError, WorkerError
from retake.evaluation.scale.hub import Event, Hub
from retake.evaluation.scale.wire import (
    Line,
    LineLostError,
    Place,
    connect,
    from_sample,
    to_sample,
)
from tests.evaluation import making


@pytest.fixture
def hub() -> Iterator[Hub]:
    """One that listens."""
    with Hub() as made:
        yield made


def _heard(hub: Hub, count: int) -> list[Event]:
    """So many events, which come within seconds."""
    found: list[Event] = []
    deadline = time.monotonic() + 20
    while len(found) < count and time.monotonic() < deadline:
        found += hub.events(0.1)
    assert len(found) == count
    return found


def test_messages_both_ways(hub: Hub) -> None:
    """Each line by its number, in order; hanging up is an event."""
    lines = [connect(hub.place) for _ in range(3)]
    for number, line in enumerate(lines):
        line.send("hello", slot=number, text="½ \ud83d", real=0.1 + 0.2)
    events = _heard(hub, 3)
    assert len({event.line for event in events}) == 3
    assert all(event.message is not None for event in events)
    messages = [event.message for event in events if event.message]
    assert sorted(each["slot"] for each in messages) == [0, 1, 2]
    assert {each["text"] for each in messages} == {"½ \ud83d"}
    assert {each["real"] for each in messages} == {0.1 + 0.2}
    for event in events:
        assert event.message is not None
        hub.send(event.line, "task", of=event.message["slot"])
    assert [line.receive() for line in lines] == [{"kind": "task", "of": n} for n in range(3)]
    lines[messages[0]["slot"]].close()
    [gone] = _heard(hub, 1)
    assert (gone.line, gone.message) == (events[0].line, None)
    hub.send(gone.line, "too late")
    hub.drop(events[1].line)
    with pytest.raises(LineLostError):
        lines[messages[1]["slot"]].receive()
    for line in lines:
        line.close()


def test_another_key_is_refused(hub: Hub) -> None:
    """And the hub goes on listening."""
    stranger = attrs.evolve(hub.place, key=b"x" * 32)
    with pytest.raises(LineLostError):
        connect(stranger)
    line = connect(hub.place)
    line.send("hello")
    assert [event.message for event in _heard(hub, 1)] == [{"kind": "hello"}]
    line.close()


def test_who_says_nothing_holds_nobody_up(hub: Hub) -> None:
    """A stranger that connects and waits is no obstacle to others."""
    with socket.create_connection((hub.place.host, hub.place.port)):
        line = connect(hub.place)
        line.send("hello")
        assert [event.message for event in _heard(hub, 1)] == [{"kind": "hello"}]
        line.close()


def test_strangers_are_few_and_do_not_stay(hub: Hub) -> None:
    """Many that say nothing use nothing up: the oldest make room for who knows the key."""
    hub._strangers._moment = 0.2
    before = threading.active_count()
    address = (hub.place.host, hub.place.port)
    strangers = [socket.create_connection(address) for _ in range(100)]
    try:
        line = connect(hub.place)
        line.send("hello")
        assert [event.message for event in _heard(hub, 1)] == [{"kind": "hello"}]
        # A thread that asks and one that minds the time for each, and that of the line.
        assert threading.active_count() - before <= 2 * 64 + 1
        strangers[0].settimeout(20)
        assert b"CHALLENGE" in strangers[0].recv(1000)
        assert strangers[0].recv(1000) == b""
        line.close()
    finally:
        for each in strangers:
            each.close()


def test_an_answer_in_small_pieces_is_late(hub: Hub) -> None:
    """There is one deadline for all of it."""
    hub._strangers._seconds = 0.5
    with socket.create_connection((hub.place.host, hub.place.port), timeout=20) as stranger:
        assert b"CHALLENGE" in stranger.recv(1000)
        stranger.sendall(b"\0\0\0\xc8")  # so many bytes will follow
        began = time.monotonic()
        with pytest.raises(OSError):  # noqa: PT011 - the system has several for it
            _drip(stranger)
        assert time.monotonic() - began < 8


def _drip(stranger: socket.socket) -> None:
    for _ in range(199):
        stranger.sendall(b"x")
        time.sleep(0.05)


def test_many_that_know_the_key(hub: Hub) -> None:
    """All are heard, however many come at once."""
    lines: list[Line] = []
    threads = [
        threading.Thread(target=lambda: lines.append(connect(hub.place))) for _ in range(150)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    for line in lines:
        line.send("hello")
    assert len(lines) == len(_heard(hub, 150)) == 150
    for line in lines:
        line.close()


@pytest.mark.parametrize(
    ("host", "resolved", "bound"),
    [
        ("node-1", "127.0.1.1", "0.0.0.0"),
        ("localhost", "127.0.0.1", "127.0.0.1"),
        ("127.0.0.1", "127.0.0.1", "127.0.0.1"),
    ],
)
def test_a_name_that_leads_only_here(
    monkeypatch: pytest.MonkeyPatch, host: str, resolved: str, bound: str
) -> None:
    """Where this machine's name is one of its loopback addresses, others reach it all the same."""
    monkeypatch.setattr(socket, "gethostbyname", lambda name: resolved)
    with Hub(host) as hub:
        assert hub._listener.address[0] == bound
        assert hub.place.host == host


@pytest.mark.parametrize("raw", [b"no json", b"[1]", b"{}", b'{"kind": 1}', b"\xff\xfe"])
def test_what_is_no_message_ends_the_line(hub: Hub, raw: bytes) -> None:
    """It is not guessed what was meant."""
    line = connect(hub.place)
    line._connection.send_bytes(raw)
    assert [event.message for event in _heard(hub, 1)] == [None]
    line.close()


def test_a_large_message_to_who_reads_late(hub: Hub) -> None:
    """Arrives whole."""
    line = connect(hub.place)
    big = "x" * 5_000_000
    sender = threading.Thread(target=line.send, args=("big",), kwargs={"text": big})
    sender.start()
    [event] = _heard(hub, 1)
    sender.join(timeout=20)
    assert event.message == {"kind": "big", "text": big}
    line.close()


def test_closing_wakes_who_waits() -> None:
    """A thread that waits for a message is told that there will be none."""
    with Hub() as hub:
        line = connect(hub.place)
        lost: list[BaseException] = []

        def wait() -> None:
            try:
                line.receive()
            except LineLostError as error:
                lost.append(error)

        waiting = threading.Thread(target=wait)
        waiting.start()
        time.sleep(0.1)
    waiting.join(timeout=20)
    assert not waiting.is_alive()
    assert len(lost) == 1
    with pytest.raises(LineLostError):
        line.send("too late", text="x" * 10_000_000)
    line.close()
    with pytest.raises(LineLostError):
        connect(hub.place)


def test_a_place_in_a_line() -> None:
    """As it is handed to a process; the key is in no representation."""
    place = Place("node-1", 1234, bytes(range(32)))
    assert Place.parse(f"{place.text}\n") == place
    assert place.key.hex() not in repr(place)


def test_a_host_that_is_not_here() -> None:
    """The system's reason is given where even all addresses cannot be had."""
    with Hub("localhost") as hub:
        assert hub.place.host == "localhost"
        connect(hub.place).close()


def test_samples() -> None:
    """Tuples stay tuples, and texts texts, whatever they hold."""
    sample = attrs.evolve(
        making.samples()[0],
        answer=None,
        groups={"seconds": 64, "depth": 0.1, "kinds": ("a", "b")},
        seconds=12.5,
        details={
            "subtitles": "a.srt",
            "pair": (1, ("x", None)),
            "rows": [[1.0, True], {"deep": (2,)}],
            "text": "\ud83d __tuple__",
        },
    )
    again = to_sample(_through(from_sample(sample)))
    assert again == sample
    assert isinstance(again.video, Path)
    assert isinstance(again.groups["seconds"], int)
    assert again.details["pair"] == (1, ("x", None))


def _through(data: Any) -> Any:
    """As the other end has it."""
    with Hub() as hub:
        line = connect(hub.place)
        line.send("sample", data=data)
        [event] = _heard(hub, 1)
        line.close()
    assert event.message is not None
    return event.message["data"]


@pytest.mark.parametrize("details", [{"file": Path("a")}, {"by": {1: 2}}, {"set": {1}}])
def test_samples_that_cannot_be_sent(details: dict[str, Any]) -> None:
    """Said, instead of arriving as something else."""
    sample = attrs.evolve(making.samples()[0], details=details)
    with pytest.raises(UsageError, match=r"'v0-q0' cannot be sent to a worker"):
        from_sample(sample)


def test_listening_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the reason."""

    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(99, "Cannot assign requested address")

    monkeypatch.setattr("retake.evaluation.scale.hub.Listener", refuse)
    with pytest.raises(WorkerError, match="as 'nowhere': Cannot assign requested address"):
        Hub("nowhere")


def test_lines_know_when_a_machine_is_gone(hub: Hub) -> None:
    """The system asks now and then, and gives a peer that takes nothing a minute."""
    line: Line = connect(hub.place)
    raw = socket.socket(fileno=line._connection.fileno())
    try:
        assert raw.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        assert raw.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 60
    finally:
        raw.detach()
    line.close()
