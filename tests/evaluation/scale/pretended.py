"""Workers that are threads and have no model: for what the process that writes does about them."""

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import attrs

import retake
from retake.core.plain import plain
from retake.evaluation.folder import RunFolder
from retake.evaluation.keeping import watched
from retake.evaluation.records import Failure, RunHeader, SampleRecord
from retake.evaluation.scale.crew import Worker
from retake.evaluation.scale.launchers.launcher import Launcher
from retake.evaluation.scale.messages import About
from retake.evaluation.scale.wire import PROTOCOL, Line, LineLostError, Place, connect, to_sample
from tests.evaluation import making

HEADER = making.header()


def about(**changes: Any) -> About:
    """What a worker says of itself that agrees with the made-up header."""
    made = About(
        host="here",
        pid=1,
        device="cpu",
        threads=1,
        config=plain(HEADER.config),
        fingerprint=HEADER.fingerprint,
        versions=dict(HEADER.versions),
        code=dict(HEADER.code),
    )
    return attrs.evolve(made, **changes)


class Pretended:
    """A worker's side of the line, step by step."""

    def __init__(self, line: Line, slot: int) -> None:
        self.line = line
        self.slot = slot
        self.pending: list[retake.Sample] = []
        self.watch = 0

    def begin(self, **changes: Any) -> None:
        """Come in and say that the model is there."""
        self.line.send("hello", slot=self.slot, host="here", pid=1, protocol=PROTOCOL)
        assert self.line.receive()["kind"] == "task"
        self.line.send("ready", about=attrs.asdict(about(**changes)))

    def job(self) -> bool:
        """Take a video, and watch it; False where it is over."""
        message = self.line.receive()
        if message["kind"] == "end":
            return False
        samples = [to_sample(each) for each in message["samples"]]
        self.pending = [each for each in samples if each.id not in message["answered"]]
        record = attrs.asdict(watched(samples[0].video, None, making.memory()))
        self.watch = self.ask("watch", record=plain(record))["watch"]
        return True

    def answer(self, count: int | None = None) -> None:
        """Answer so many of the questions that are left."""
        for _ in range(len(self.pending) if count is None else count):
            record = attrs.asdict(making.answered(self.pending.pop(0), self.watch))
            self.ask("sample", record=plain(record))

    def ask(self, kind: str, **content: Any) -> dict[str, Any]:
        """Send something and have it kept."""
        self.line.send(kind, **content)
        reply = self.line.receive()
        assert reply["kind"] == "kept"
        return reply

    def rest(self) -> None:
        """Do all that there is to do."""
        while self.job():
            self.answer()
            self.line.send("done")


Life = Callable[[Pretended], None]


def whole(worker: Pretended) -> None:
    """A worker with which nothing goes wrong."""
    worker.begin()
    worker.rest()


class PretendedLauncher(Launcher):
    """Starts threads; the lives of each slot's workers, one after another, are given.

    Args:
        lives: of each slot; the last goes for all that come after it.
    """

    def __init__(self, *lives: Sequence[Life]) -> None:
        self.slots = len(lives)
        self.lives = [list(each) for each in lives]
        self.started = [0] * self.slots
        self.killed = [0] * self.slots
        self.threads: dict[int, threading.Thread] = {}
        self.lines: dict[int, Line] = {}
        self.failed: list[BaseException] = []

    def start(self, slot: int, place: Place) -> None:
        lives = self.lives[slot]
        life = lives[min(self.started[slot], len(lives) - 1)]
        self.started[slot] += 1
        self.threads[slot] = threading.Thread(target=self._live, args=(slot, place, life))
        self.threads[slot].start()

    def ended(self, slot: int) -> str | None:
        return None if self.threads[slot].is_alive() else "it died"

    def kill(self, slot: int) -> None:
        self.killed[slot] += 1
        if slot in self.lines:
            self.lines[slot].close()

    def close(self) -> None:
        for thread in self.threads.values():
            thread.join(timeout=20)
            assert not thread.is_alive()
        assert not self.failed

    def _live(self, slot: int, place: Place, life: Life) -> None:
        try:
            line = self.lines[slot] = connect(place)
        except LineLostError:
            # Started again as the others ended the run: nobody listens any more.
            return
        try:
            life(Pretended(line, slot))
        except LineLostError:
            return
        except BaseException as error:
            self.failed.append(error)
            raise
        finally:
            line.close()


@attrs.define
class Seen:
    """Notes what it is told."""

    samples: list[SampleRecord] = attrs.field(factory=list)
    failures: list[Failure] = attrs.field(factory=list)
    said: list[str] = attrs.field(factory=list)

    def sample(self, record: SampleRecord) -> None:
        self.samples.append(record)

    def failure(self, failure: Failure) -> None:
        self.failures.append(failure)

    def say(self, text: str) -> None:
        self.said.append(text)

    def crew(self, workers: Sequence[Worker]) -> None:
        assert workers


def opening(
    folder: Path, samples: Sequence[retake.Sample], **header: Any
) -> Callable[[About], RunFolder]:
    """Opens a made-up run."""
    made: RunHeader = making.header(list(samples), **header)
    return lambda about: RunFolder(folder, made, resume=True)
