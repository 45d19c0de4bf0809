"""A worker: a process with a loaded model, which answers what it is sent and sends what it finds.

The idea: it knows no run's folder. Passes, samples and failures go to the process that writes, and
nothing further is asked until that has them on the disk. A thread of its own listens meanwhile, so
that the worker ends at once when it is told to, or when the other end or its keeper is gone, also
in the middle of a computation. On Linux the system sees to the last also where no thread of
the worker runs: one that is stopped, or in code that does not let go of the interpreter.

Started as `python -m retake.evaluation.scale.worker SLOT`, with the place on the first line of its
standard input, which stays open for as long as the worker is wanted.
"""

import ctypes
import os
import platform
import queue
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from retake.evaluation.scale.wire import PROTOCOL, Line, LineLostError, Place, connect, to_sample

# Seconds between two messages about how far a stage is.
_PROGRESS_SECONDS = 0.5
# PR_SET_PDEATHSIG of <linux/prctl.h>.
_SET_DEATH_SIGNAL = 1
#: Makes what answers: as `working.Working`.
Load = Callable[[Mapping[str, Any], "Worker"], Any]
#: Exit codes: nobody wants it any more; it was never wanted; something unexpected happened.
ABANDONED, UNREACHED, BROKEN = 3, 4, 5


class Worker:
    """Loads the model and does what it is sent, until it is told to end.

    Args:
        line: to the process that writes.
        slot: its number among the workers.
        load: makes what answers, given the task; by default a model.
    """

    def __init__(self, line: Line, slot: int, load: Load | None = None) -> None:
        self._load = load
        self._line = line
        self._slot = slot
        self._inbox: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._told: tuple[str, float] = ("", 0.0)

    def run(self) -> None:
        """Do all that is asked."""
        threading.Thread(target=self._listen, daemon=True).start()
        self._line.send(
            "hello", slot=self._slot, host=platform.node(), pid=os.getpid(), protocol=PROTOCOL
        )
        task = self._expect("task")
        # What takes seconds comes after the first word, so that it is known to be there.
        from retake.core.errors import RetakeError
        from retake.evaluation.scale.working import Working

        try:
            self.progress("load", 0, 0)
            working = (self._load or Working)(task, self)
            self._line.send("ready", about=working.about())
            while (message := self._inbox.get())["kind"] == "job":
                samples = [to_sample(data) for data in message["samples"]]
                working.answer(samples, set(message["answered"]))
                self._line.send("done")
        except RetakeError as error:
            kind = type(error).__name__
            trouble = {"kind": kind, "message": error.message, "hint": error.hint}
            self._line.send("refused", trouble=trouble)
            self._inbox.get()  # until it is heard

    def progress(self, stage: str, done: int, total: int) -> None:
        """Say how far it is, now and then: also the sign that it is alive."""
        now = time.monotonic()
        known, when = self._told
        if stage != known or now - when >= _PROGRESS_SECONDS:
            self._told = (stage, now)
            self._line.send("progress", stage=stage, done=done, total=total)

    def hand_over(self, kind: str, **content: Any) -> dict[str, Any]:
        """Send something, and wait until it is kept."""
        self._line.send(kind, **content)
        return self._expect("kept")

    def _expect(self, kind: str) -> dict[str, Any]:
        message = self._inbox.get()
        if message["kind"] != kind:
            leave(ABANDONED)
        return message

    def _listen(self) -> None:
        try:
            while True:
                message = self._line.receive()
                if message["kind"] == "end":
                    leave(0)
                self._inbox.put(message)
        except LineLostError:
            leave(ABANDONED)


def leave(code: int) -> None:
    """End this process now, whatever its other threads compute."""
    sys.stderr.flush()
    os._exit(code)


def work(place: Place, slot: int, load: Load | None = None) -> int:
    """Work for who listens at a place; an exit code."""
    try:
        line = connect(place)
    except LineLostError as error:
        print(f"nobody to work for: {error}", file=sys.stderr)
        return UNREACHED
    try:
        Worker(line, slot, load).run()
    except LineLostError:
        return ABANDONED
    except Exception as error:  # noqa: BLE001 - said to who can give the work to another
        traceback.print_exc()
        _tell(line, error)
        return BROKEN
    return 0


def _tell(line: Line, error: Exception) -> None:
    first = (str(error).strip().splitlines() or [""])[0]
    try:
        line.send("broken", reason=f"{type(error).__name__}: {first}" if first else repr(error))
    except LineLostError:
        return


def _end_with_keeper() -> None:
    """End when whoever started this process is gone: its end of the pipe is then closed."""
    while sys.stdin.readline():
        pass
    leave(ABANDONED)


def _be_killed_with_keeper() -> None:
    """Have Linux kill this process when whoever started it is gone, also where no thread runs."""
    if sys.platform != "linux":
        return
    keeper = os.getppid()
    # Where the system refuses, the end of the pipe is the only sign.
    ctypes.CDLL(None).prctl(_SET_DEATH_SIGNAL, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != keeper:
        leave(ABANDONED)


def main(words: Sequence[str], load: Load | None = None) -> int:
    """The process of a worker; `load` as in `Worker`."""
    _be_killed_with_keeper()
    # Ctrl-C reaches all processes of a terminal; the one that writes decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    place = Place.parse(sys.stdin.readline())
    threading.Thread(target=_end_with_keeper, daemon=True).start()
    return work(place, int(words[0]), load)


if __name__ == "__main__":
    leave(main(sys.argv[1:]))
