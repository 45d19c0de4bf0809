"""`retake eval --launcher torchrun` under the real torchrun, on CPUs."""

import sys
from pathlib import Path

import pytest
from retake_cli.main import main

from retake.evaluation.records import read_run
from tests.cli import scaling
from tests.cli.conftest import Run

pytestmark = pytest.mark.timeout(1500)


def test_killed_and_hanging_workers(scenes: Path, tmp_path: Path) -> None:
    """Two ranks, the worker of one killed, that of the other stopped: the same to the token."""
    whole, folder = tmp_path / "whole", tmp_path / "run"
    assert main([*scaling.line(scenes, whole), "--json"]) == 0
    asked = ("--launcher", "torchrun", "--hang-timeout", scaling.HANG)
    words = scaling.line(scenes, folder, *asked, seconds=1.5)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command = [*torchrun, "--nproc-per-node", "2", "-m", "retake_cli", *words]
    with scaling.start_program(command, folder) as running:
        killed, stopped = running.disturb()
        assert {killed, stopped} == {0, 1}
        code, out, err = running.end()
    assert code == 0, err
    scaling.assert_same(folder, whole)
    assert "it was ended by SIGKILL" in err
    assert f"Worker {stopped + 1} on" in err
    assert out.count("Overall") == 1  # only rank 0 prints
    found = read_run(folder)
    assert found.complete
    assert found.sessions[0].worker is None
    workers = [each for each in found.sessions if each.worker is not None]
    assert {each.worker for each in workers} == {0, 1}
    assert scaling.gone([each.pid for each in workers if each.pid])


def test_without_the_variables(
    retake: Run, scenes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is said which are missing, and who sets them; no folder is made."""
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SLURM_PROCID", "1")
    monkeypatch.setenv("SLURM_NTASKS", "2")
    monkeypatch.setenv("SLURM_LOCALID", "1")
    result = retake(*scaling.line(scenes, tmp_path / "run"), "--launcher", "torchrun")
    assert result.code == 2
    assert "needs MASTER_ADDR, MASTER_PORT in the environment" in result.err
    assert "SLURM" in result.err
    assert not (tmp_path / "run").exists()
