"""`retake eval --workers`: real processes, killed and stopped; the results are those of one."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from retake_cli.main import main

from retake.evaluation.records import read_run
from tests.cli import scaling
from tests.cli.conftest import Run

# Each process imports torch, which on a busy machine takes its time.
pytestmark = pytest.mark.timeout(1500)


@pytest.fixture(scope="module")
def whole(scenes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run of one process; do not change it."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    assert main([*scaling.line(scenes, folder), "--json"]) == 0
    return folder


def test_killed_and_hanging_workers(scenes: Path, whole: Path, tmp_path: Path) -> None:
    """Of four workers one is killed and one stopped: complete, and the same to the token."""
    folder = tmp_path / "run"
    words = scaling.line(
        scenes, folder, "--workers", "4", "--hang-timeout", scaling.HANG, seconds=1.5
    )
    with scaling.start(words, folder) as running:
        killed, stopped = running.disturb()
        code, _, err = running.end()
    assert code == 0, err
    scaling.assert_same(folder, whole)
    assert f"Worker {killed + 1} on" in err
    assert "it was ended by SIGKILL" in err
    assert f"Worker {stopped + 1} on" in err
    assert "it said nothing for" in err
    found = read_run(folder)
    assert found.complete
    workers = [each for each in found.sessions if each.worker is not None]
    assert len(workers) >= 4
    assert all(each.threads == 1 and each.host and each.versions["torch"] for each in workers)
    assert scaling.gone([each.pid for each in workers if each.pid])


def test_the_end_of_who_writes(scenes: Path, whole: Path, tmp_path: Path) -> None:
    """kill -9, then SIGTERM: no worker is left; what is answered is kept, and gone on with."""
    folder = tmp_path / "run"
    words = scaling.line(scenes, folder, "--workers", "2", "--resume", seconds=1.0)
    for number in (signal.SIGKILL, signal.SIGTERM):
        with scaling.start(words, folder) as running:
            before = len(running.journal("samples.jsonl"))
            seen = len(running.journal("sessions.jsonl"))
            running.until(_more(running, before))
            pids = [each["pid"] for each in running.journal("sessions.jsonl")[seen:] if each["pid"]]
            os.kill(running.process.pid, number)
            code, _, err = running.end()
        assert code in (-number, 128 + number), err
        assert pids
        assert scaling.gone(pids)
    kept = scaling.lines_of(folder, "samples.jsonl")
    assert 2 <= len(kept) < 16
    with scaling.start(words, folder) as running:
        code, _, err = running.end()
    assert code == 0, err
    assert scaling.lines_of(folder, "samples.jsonl")[: len(kept)] == kept
    scaling.assert_same(folder, whole)


def _more(running: scaling.Running, before: int) -> Callable[[], bool]:
    return lambda: len(running.journal("samples.jsonl")) > before


def test_what_does_not_go_together(retake: Run, scenes: Path, tmp_path: Path) -> None:
    """Is refused before anything is started."""
    words = scaling.line(scenes, tmp_path / "run")
    result = retake(*words, "--workers", "0")
    assert result.code == 2
    assert "'0' is neither a number from 1 nor auto" in result.err
    result = retake(*words, "--ray-address", "auto")
    assert result.code == 2
    assert "--ray-address is for --launcher ray" in result.err
    result = retake(*words, "--launcher", "torchrun", "--workers", "2")
    assert result.code == 2
    assert "as many workers as there are ranks" in result.err
