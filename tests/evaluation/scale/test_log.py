"""What workers write is kept to its end."""

import subprocess
import sys
import time

import pytest

from retake.evaluation.scale.launchers import log as module
from retake.evaluation.scale.launchers.log import Log

_TALKS = """
import sys, time
for number in range(3000):
    print(f"line {number}", file=sys.stderr)
sys.stdin.readline()
print("the last line", file=sys.stderr)
"""


def test_a_long_log_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its end stays, and what is written later comes right after it."""
    monkeypatch.setattr(module, "MOST_BYTES", 10_000)
    monkeypatch.setattr(module, "KEPT_BYTES", 1_000)
    log = Log(between=0.02)
    try:
        with subprocess.Popen(
            [sys.executable, "-c", _TALKS], stdin=subprocess.PIPE, stderr=log.fileno()
        ) as process:
            deadline = time.monotonic() + 60
            while not (log.end(10) == b"line 2999\n" and log.size <= 10_000):
                assert time.monotonic() < deadline
                time.sleep(0.02)
            process.communicate(b"go\n")
        assert log.size <= 10_100
        assert log.end(24) == b"line 2999\nthe last line\n"
        assert b"\0" not in log.end(20_000)
    finally:
        log.close()


def test_a_short_one_is_whole() -> None:
    """Nothing is left out."""
    log = Log(between=0.02)
    try:
        subprocess.run(
            [sys.executable, "-c", "print('all of it')"], stdout=log.fileno(), check=True
        )
        assert log.end(1000) == b"all of it\n"
    finally:
        log.close()
