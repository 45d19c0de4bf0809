"""What workers write is kept to its end."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from retake.evaluation.scale.launchers.log import KEPT_BYTES, Log
from tests.evaluation.scale.waiting import until

_TALKS = """
import sys
for number in range(30_000):
    print(f"line {number}")
sys.stdout.flush()
print("the last line", file=sys.stderr)
"""
# It ends, while what it started goes on holding what it wrote into.
_LEAVES = """
import subprocess, sys
print("gone", flush=True)
subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"])
"""


@contextmanager
def _started(code: str) -> Iterator[tuple[subprocess.Popen[bytes], Log]]:
    with subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        bufsize=0,
    ) as process:
        assert process.stdout is not None
        yield process, Log(process.stdout)


def test_a_long_log_keeps_its_end() -> None:
    """Far more than a pipe holds comes through, and of it the last bytes are there, unbroken."""
    said = "".join(f"line {number}\n" for number in range(30_000)) + "the last line\n"
    assert len(said) > 4 * KEPT_BYTES
    with _started(_TALKS) as (process, log):
        assert process.wait(60) == 0
        until(lambda: log.over)
        assert log.end(24) == said.encode()[-24:]
        assert log.end(10 * KEPT_BYTES) == said.encode()[-KEPT_BYTES:]


def test_a_short_one_is_whole() -> None:
    """Nothing is left out, and what was to be read is closed."""
    with _started("print('all of it')") as (process, log):
        until(lambda: log.over)
        assert log.end(1000) == b"all of it\n"
        assert process.stdout is not None
        assert process.stdout.closed


def test_what_a_worker_left_behind_writes_too() -> None:
    """It is over when that is gone as well; what was said is there before."""
    with _started(_LEAVES) as (process, log):
        assert process.wait(60) == 0
        until(lambda: log.end(10))
        assert log.end(10) == b"gone\n"
        assert not log.over
        assert process.stdin is not None
        process.stdin.close()  # for which the one left behind waits
        until(lambda: log.over)
