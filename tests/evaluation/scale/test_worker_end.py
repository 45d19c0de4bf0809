"""How a worker's process ends where it cannot do so by itself."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

_KEEPER = """
import sys, time
from retake.evaluation.scale.launchers.child import Child
from retake.evaluation.scale.wire import Place
child = Child(Place("127.0.0.1", int(sys.argv[1]), b"k" * 32), 0, {})
print(child.pid, flush=True)
time.sleep(600)
"""


def _runs(pid: int) -> bool:
    """Whether there is such a process, and it is not over."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return "State:\tZ" not in status


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux kills with the parent")
def test_one_whose_threads_do_not_run() -> None:
    """It ends with its keeper all the same."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(60)
        port = str(server.getsockname()[1])
        keeper = subprocess.Popen(
            [sys.executable, "-c", _KEEPER, port], stdout=subprocess.PIPE, text=True
        )
        with keeper:
            assert keeper.stdout is not None
            pid = int(keeper.stdout.readline())
            connection, _ = server.accept()  # it has begun, and waits to be asked for the key
            os.kill(pid, signal.SIGSTOP)
            try:
                assert _runs(pid)
                keeper.kill()
                keeper.wait()
                deadline = time.monotonic() + 20
                while _runs(pid) and time.monotonic() < deadline:
                    time.sleep(0.05)
                assert not _runs(pid)
            finally:
                if _runs(pid):
                    os.kill(pid, signal.SIGKILL)
                connection.close()
