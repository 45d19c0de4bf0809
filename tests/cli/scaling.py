"""Runs with many workers, which tests begin, disturb, and compare with what one process does."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import attrs

from tests.cli.evaluations import compressions, lines, timeless
from tests.cli.forking import Started

SLOW = f"{Path(__file__).with_name('slow.py')}:Slow"
#: As long as a worker takes that was caught at work, and the machine is busy.
HANG = "25"
_ONE_THREAD = {"OMP_NUM_THREADS": "1"}


def line(scenes: Path, folder: Path, *more: str | Path, seconds: float = 0.0) -> list[str]:
    """The words of the command on the slow benchmark."""
    given = (f"root={scenes}", f"seconds={seconds}")
    words = [word for option in given for word in ("--benchmark-option", option)]
    return [
        str(word) for word in ("eval", SLOW, *words, "--keep-ratio", "0.5", "-o", folder, *more)
    ]


@attrs.define
class Running:
    """A run as a process, whose workers can be found.

    Attributes:
        process: that writes, or starts who writes.
        folder: of the run.
    """

    process: "subprocess.Popen[str] | Started"
    folder: Path

    def journal(self, name: str) -> list[dict[str, Any]]:
        """The whole lines of a journal; none where there is none yet."""
        try:
            raw = (self.folder / name).read_text()
        except FileNotFoundError:
            return []
        return [json.loads(each) for each in raw.splitlines(keepends=True) if each.endswith("\n")]

    def pids(self) -> dict[int, int]:
        """The process of the newest worker of each slot."""
        sessions = self.journal("sessions.jsonl")
        return {each["worker"]: each["pid"] for each in sessions if each["worker"] is not None}

    def at_work(self) -> dict[int, int]:
        """The processes of workers that are in the middle of a video, by slot."""
        watches = {each["watch"]: each["worker"] for each in self.journal("videos.jsonl")}
        answered: dict[int, int] = {}
        for sample in self.journal("samples.jsonl"):
            answered[sample["watch"]] = answered.get(sample["watch"], 0) + 1
        newest = {worker: watch for watch, worker in watches.items()}
        pids = self.pids()
        return {
            worker: pids[worker]
            for worker, watch in newest.items()
            if 1 <= answered.get(watch, 0) <= 2 and _there(pids[worker])
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            self.process.communicate(timeout=60)

    def until(self, met: Callable[[], Any], seconds: float = 600) -> Any:
        """Wait for something while the run goes on."""
        deadline = time.monotonic() + seconds
        while not (found := met()):
            assert self.process.poll() is None, self.process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.02)
        return found

    def disturb(self, stop: bool = True) -> tuple[int, int]:
        """kill -9 a worker at work, and stop another one; their slots."""
        killed, pid = self.until(lambda: next(iter(self.at_work().items()), None))
        os.kill(pid, signal.SIGKILL)
        if not stop:
            return killed, -1

        def other() -> tuple[int, int] | None:
            found = self.at_work().items()
            return next(((slot, pid) for slot, pid in found if slot != killed), None)

        stopped, pid = self.until(other)
        os.kill(pid, signal.SIGSTOP)
        return killed, stopped

    def end(self, seconds: float = 400) -> tuple[int, str, str]:
        """Its exit code, and what it wrote."""
        out, err = self.process.communicate(timeout=seconds)
        return self.process.returncode, out, err


def start(words: Sequence[str], folder: Path, **environment: str) -> Running:
    """Start `retake WORDS...`."""
    return Running(Started(words, **environment), folder)


def start_program(words: Sequence[str], folder: Path, **environment: str) -> Running:
    """Start a process; `words` begin with the program."""
    process = subprocess.Popen(
        list(words),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **_ONE_THREAD, **environment},
        cwd=Path(__file__).parents[2],
    )
    return Running(process, folder)


def assert_same(folder: Path, whole: Path) -> None:
    """A run has the samples and kept tokens of another, in whatever order."""

    def by_id(run: Path) -> dict[str, Any]:
        found = timeless(run)
        assert len({each["id"] for each in found}) == len(found)
        return {each["id"]: each for each in found}

    assert by_id(folder) == by_id(whole)
    assert compressions(folder) == compressions(whole)
    assert lines_of(folder, "failures.jsonl") == []


def lines_of(folder: Path, name: str) -> list[dict[str, Any]]:
    """A journal's lines; none where there is none."""
    return lines(folder / name) if (folder / name).exists() else []


def gone(pids: Sequence[int], seconds: float = 30) -> bool:
    """Whether processes end within seconds."""
    deadline = time.monotonic() + seconds
    while any(_there(pid) for pid in pids):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def _there(pid: int) -> bool:
    """Whether a process is there, and no mere entry of one that has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
