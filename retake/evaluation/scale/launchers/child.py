"""A worker's process, started and ended by this one."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping

from retake.evaluation.scale.launchers.log import Log
from retake.evaluation.scale.wire import Place

# The end of what a worker wrote is looked at for its last words.
_LAST_BYTES = 4000
# Seconds for what a worker wrote just before it ended to arrive, where what it started itself
# holds the pipe open.
_ARRIVING = 2.0
#: Seconds in which workers that were told to end do so.
GOODBYE = 10
#: What a worker runs.
MODULE = "retake.evaluation.scale.worker"
# A worker computes alone: libraries that find these would look for others.
_RANKS = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "GROUP_RANK", "ROLE_RANK")


class Child:
    """A worker that ends with this process at the latest.

    Args:
        place: whom it works for.
        slot: its number.
        environment: what it has besides this process's.
        module: what it runs.
    """

    def __init__(
        self, place: Place, slot: int, environment: Mapping[str, str], module: str = MODULE
    ) -> None:
        self._killed = False
        self._gone: float | None = None
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, str(slot)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            bufsize=0,
            env={**_alone(os.environ), **environment},
        )
        pipe, said = self._process.stdin, self._process.stdout
        assert pipe is not None
        assert said is not None
        self._log = Log(said)
        # The key goes where no listing of processes shows it. The pipe stays open: its end is the
        # sign that this process is gone.
        with contextlib.suppress(BrokenPipeError):
            pipe.write(f"{place.text}\n".encode())
            pipe.flush()

    @property
    def pid(self) -> int:
        """Its number in the system."""
        return self._process.pid

    def ended(self) -> str | None:
        """Why it is no longer there; None while it is, or while its last words may still come."""
        code = self._process.poll()
        if code is None:
            return None
        if self._killed:
            return "it was ended"
        if code < 0:
            known = {each.value: each.name for each in signal.Signals}
            name = known.get(-code, f"signal {-code}")
            hint = ", as the system does when memory runs out" if name == "SIGKILL" else ""
            return f"it was ended by {name}{hint}"
        self._gone = self._gone or time.monotonic()
        if not self._log.over and time.monotonic() - self._gone < _ARRIVING:
            return None
        said = self.last_words()
        return f"it ended by itself with code {code}" + (f": {said}" if said else "")

    def last_words(self) -> str:
        """The last line that it wrote."""
        lines = self._log.end(_LAST_BYTES).decode("utf-8", "replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "")

    def kill(self) -> None:
        """End it, also where it is stopped or hangs."""
        if self._process.poll() is None:
            self._killed = True
            self._process.kill()

    def close(self, deadline: float = 0.0) -> None:
        """See it end by a moment of `time.monotonic`, else end it."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(max(0.0, deadline - time.monotonic()))
        self.kill()
        self._process.wait()
        if self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()


def _alone(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name not in _RANKS}
