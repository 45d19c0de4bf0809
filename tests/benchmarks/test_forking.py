"""A fork that stands for a fresh process: what it says, how it ends, how it is weighed."""

import json
import os
import subprocess
import sys
import time

import pytest

from benchmarks import harness
from benchmarks.forking import Forked

MIB = 2**20


def _tell() -> None:
    print(json.dumps({"words": sys.argv[1:], "pid": os.getpid()}))
    print("by the way", file=sys.stderr)


def test_it_says_what_its_program_says() -> None:
    """In a process of its own, with its own words; both streams apart."""
    process = Forked(_tell, ["one", "two"])
    printed, errors = process.communicate(timeout=60)
    assert json.loads(printed) == {"words": ["one", "two"], "pid": process.pid}
    assert errors == "by the way\n"
    assert process.returncode == 0
    assert process.pid != os.getpid()


@pytest.mark.parametrize(
    ("end", "code", "said"),
    [
        (SystemExit(3), 3, ""),
        (SystemExit(None), 0, ""),
        (SystemExit("no such luck"), 1, "no such luck"),
        (ValueError("odd"), 1, "ValueError: odd"),
        (KeyboardInterrupt(), 1, "KeyboardInterrupt"),
    ],
)
def test_it_ends_as_a_process_would(end: BaseException, code: int, said: str) -> None:
    """With the exit code, and the last words, of what its program raised."""

    def program() -> None:
        raise end

    process = Forked(program, [])
    _, errors = process.communicate(timeout=60)
    assert process.returncode == code
    assert said in errors


def test_it_is_not_waited_for_beyond_a_limit() -> None:
    """And is ended then."""
    process = Forked(lambda: time.sleep(600), [])
    with pytest.raises(subprocess.TimeoutExpired):
        process.communicate(timeout=0.05)
    process.kill()
    assert process.returncode == -9


def test_it_is_weighed() -> None:
    """What it holds beyond what its parent holds counts; a failure says why."""

    def holding(mib: int) -> None:
        held = bytearray(b"1") * (mib << 20)
        time.sleep(0.3)
        print(len(held))

    small, large = (
        harness.weighed(Forked(lambda: holding(mib), []), time.perf_counter())  # noqa: B023
        for mib in (1, 101)
    )
    assert large.reply == 101 * MIB
    assert 80 * MIB < large.peak_bytes - small.peak_bytes < 120 * MIB
    with pytest.raises(RuntimeError, match="no such luck"):
        harness.weighed(Forked(lambda: sys.exit("no such luck"), ["x"]), time.perf_counter())
