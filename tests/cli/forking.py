"""`retake` as a process of its own, without the seconds in which torch and transformers load.

A server imports everything once; each process is a fork of it, which takes the words, the
environment and the streams that a test gives, and from there on does what `python -m retake_cli`
does. Some tests start that instead, so that it is tried as well.
"""

import atexit
import functools
import gc
import importlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import warnings
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

_ROOT = Path(__file__).parents[2]
#: What processes of the tests import besides the commands.
_LIBRARIES = (
    "retake.evaluation.judging",
    "retake.evaluation.scale.coordinator",
    "retake.models.embedded",
    "transformers.models.qwen2.tokenization_qwen2",
    "transformers.models.qwen2_vl.image_processing_pil_qwen2_vl",
    "transformers.models.qwen2_vl.modeling_qwen2_vl",
)
_BIGGEST = 1 << 17  # bytes of a request


class Started:
    """A process that was started; what it takes and gives is text.

    Args:
        words: behind `retake`.
        stdin, stdout, stderr: as `subprocess.Popen` has them; pipes unless told otherwise.
        new_session: whether it leaves the session of the tests.
        before: Python that it runs first, in which something is made other than it is.
        environment: over that of the tests.
    """

    def __init__(
        self,
        words: Sequence[str | Path],
        *,
        stdin: int = subprocess.DEVNULL,
        stdout: int = subprocess.PIPE,
        stderr: int = subprocess.PIPE,
        new_session: bool = False,
        before: str = "",
        **environment: str,
    ) -> None:
        self.args = [str(word) for word in words]
        self.returncode: int | None = None
        theirs: list[int] = []
        self.stdin = self._stream(stdin, theirs, "w")
        self.stdout = self._stream(stdout, theirs, "r")
        self.stderr = self._stream(stderr, theirs, "r")
        self._status, status = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        request = {
            "words": self.args,
            "environment": {**os.environ, "OMP_NUM_THREADS": "1", **environment},
            "folder": os.getcwd(),
            "new_session": new_session,
            "before": before,
        }
        with status:
            raw = json.dumps(request).encode()
            socket.send_fds(_server(), [raw], [*theirs, status.fileno()])
        for each, given in zip(theirs, (stdin, stdout, stderr), strict=True):
            if each != given:
                os.close(each)
        self.pid = int(self._status.recv(32))

    def _stream(self, given: int, theirs: list[int], mode: str) -> IO[str] | None:
        """Our end of one of its streams; the file that it is given goes to `theirs`."""
        if given == subprocess.DEVNULL:
            theirs.append(os.open(os.devnull, os.O_RDWR))
            return None
        if given != subprocess.PIPE:
            theirs.append(given)
            return None
        reads, writes = os.pipe()
        theirs.append(reads if mode == "w" else writes)
        return open(writes if mode == "w" else reads, mode, encoding="utf-8")

    def poll(self) -> int | None:
        """Its exit code, minus the signal that ended it; None while it goes on."""
        if self.returncode is None and select.select([self._status], [], [], 0)[0]:
            self._ended()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its exit code.

        Raises:
            subprocess.TimeoutExpired: it goes on after so many seconds.
        """
        if self.returncode is None:
            if not select.select([self._status], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(self.args, timeout or 0.0)
            self._ended()
        assert self.returncode is not None
        return self.returncode

    def communicate(self, input: str = "", timeout: float | None = None) -> tuple[str, str]:
        """Send text, read all that comes, and wait for the end.

        Raises:
            subprocess.TimeoutExpired: it goes on after so many seconds.
        """
        texts = ["", ""]

        def read(place: int, stream: IO[str]) -> None:
            texts[place] = stream.read()

        streams = [each for each in enumerate((self.stdout, self.stderr)) if each[1] is not None]
        readers = [threading.Thread(target=read, args=each, daemon=True) for each in streams]
        for reader in readers:
            reader.start()
        if self.stdin is not None:
            try:
                self.stdin.write(input)
                self.stdin.close()
            except BrokenPipeError:
                pass  # it reads nothing
        self.wait(timeout)
        for reader in readers:
            reader.join(timeout)
        self.close()
        return texts[0], texts[1]

    def send_signal(self, number: int) -> None:
        """Send it a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Ask it to end."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it."""
        self.send_signal(signal.SIGKILL)

    def close(self) -> None:
        """Close our ends."""
        self._status.close()
        for stream in (self.stdin, self.stdout, self.stderr):
            if stream is not None:
                stream.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        if kind is not None:
            self.kill()
        self.wait()
        self.close()

    def _ended(self) -> None:
        self.returncode = int(self._status.recv(32))


@functools.cache
def _server() -> socket.socket:
    """The line to this process's server, which is started when it is first asked for."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.cli.forking", str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            cwd=_ROOT,
            stdin=subprocess.DEVNULL,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )

    def end() -> None:
        ours.close()
        process.wait()

    atexit.register(end)
    return ours


def _serve(requests: socket.socket) -> None:
    """Fork for each request until nobody is left to ask."""
    from retake_cli import main

    with warnings.catch_warnings():
        main.quiet_libraries()
        commands = [module for module, _ in main._COMMANDS.values()]
        for name in (*commands, "retake.api", *_LIBRARIES):
            importlib.import_module(name)
    gc.collect()
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        raw, files, _, _ = socket.recv_fds(requests, _BIGGEST, 4)
        if not raw:
            return
        if os.fork() == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            requests.close()
            _keep(json.loads(raw), files)
        for each in files:
            os.close(each)


def _keep(request: dict[str, Any], files: list[int]) -> None:
    """Start the process, and tell its number, and how it ended; returns in that process only."""
    status = socket.socket(fileno=files.pop())
    pid = os.fork()
    if pid == 0:
        status.close()
        _become(request, files)
    for each in (0, 1, 2, *files):
        os.close(each)
    try:
        status.send(str(pid).encode())
        _, ended = os.waitpid(pid, 0)
        status.send(str(os.waitstatus_to_exitcode(ended)).encode())
    finally:
        # Whoever asked may be gone.
        os._exit(0)


def _become(request: dict[str, Any], files: list[int]) -> None:
    """Be `python -m retake_cli` from here on; does not return."""
    import torch
    from retake_cli.main import run

    if request["new_session"]:
        os.setsid()
    for number, given in enumerate(files):
        os.dup2(given, number)
        os.close(given)
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    # On the same descriptors, what was decided as the server started.
    sys.stdout.reconfigure(line_buffering=os.isatty(1))
    sys.argv = ["retake", *request["words"]]
    exec(request["before"], {})
    run()


if __name__ == "__main__":
    _serve(socket.socket(fileno=int(sys.argv[1])))
