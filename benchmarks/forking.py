"""A process that is a fork of this one: what `--quick` starts where a result starts a fresh one.

A fresh process spends seconds importing torch and transformers before it does anything; a fork has
what its parent has imported. It also has its parent's memory, so nothing that is weighed or timed
for a result may be one.
"""

import os
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence

_LOOK_SECONDS = 0.01
# Longest a process may take.
_LIMIT_SECONDS = 3600


class Forked:
    """A program that runs in a fork of this process; waited for as `subprocess.Popen` is.

    Args:
        program: its `main`, without arguments.
        arguments: what it finds in `sys.argv` behind its name.
    """

    def __init__(self, program: Callable[[], object], arguments: Sequence[str]) -> None:
        self.args = list(arguments)
        self.returncode: int | None = None
        self._streams = tempfile.TemporaryFile(), tempfile.TemporaryFile()  # noqa: SIM115
        sys.stdout.flush()
        sys.stderr.flush()
        self.pid = os.fork()
        if self.pid == 0:
            self._become(program)

    def communicate(self, timeout: float) -> tuple[str, str]:
        """Wait for its end: what it printed, and what it said of errors.

        Raises:
            subprocess.TimeoutExpired: it goes on after so many seconds.
        """
        until = time.monotonic() + timeout
        while self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.returncode = os.waitstatus_to_exitcode(status)
            elif time.monotonic() > until:
                raise subprocess.TimeoutExpired(self.args, timeout)
            else:
                time.sleep(_LOOK_SECONDS)
        texts = []
        for stream in self._streams:
            with stream:
                stream.seek(0)
                texts.append(stream.read().decode())
        return texts[0], texts[1]

    def kill(self) -> None:
        """End it."""
        if self.returncode is None:
            os.kill(self.pid, 9)
            _, status = os.waitpid(self.pid, 0)
            self.returncode = os.waitstatus_to_exitcode(status)
        for stream in self._streams:
            stream.close()

    def _become(self, program: Callable[[], object]) -> None:
        """Be the program from here on; does not return."""
        code = 1
        try:
            for number, stream in enumerate(self._streams, start=1):
                os.dup2(stream.fileno(), number)
            # Its parent's may lead elsewhere.
            sys.stdout, sys.stderr = (
                open(number, "w", closefd=False)  # noqa: SIM115
                for number in (1, 2)
            )
            sys.argv = [sys.argv[0], *self.args]
            _one_thread()
            program()
            code = 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(end.code is not None)
            if isinstance(end.code, str):
                print(end.code, file=sys.stderr)
        except BaseException:  # noqa: BLE001
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)


def finished(process: subprocess.Popen[str] | Forked) -> tuple[str, str]:
    """Wait for a process, fresh or forked: what it printed, and what it said of errors.

    It does not outlive the waiting, which ends after an hour.
    """
    try:
        return process.communicate(timeout=_LIMIT_SECONDS)
    except BaseException:
        process.kill()
        raise


def _one_thread() -> None:
    """The threads of a parent that computed are not in its fork, which would wait for them."""
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)
