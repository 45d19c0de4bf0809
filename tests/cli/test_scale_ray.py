"""`retake eval --launcher ray` on Ray's local cluster, with workers killed and stopped."""

import importlib.util
from pathlib import Path

import pytest
from retake_cli.main import main

from retake.evaluation.records import read_run
from tests.cli import scaling

pytestmark = [
    pytest.mark.timeout(1500),
    pytest.mark.skipif(
        importlib.util.find_spec("ray") is None, reason="ray is not installed (retake[ray])"
    ),
]


def test_killed_and_hanging_workers(scenes: Path, tmp_path: Path) -> None:
    """Of four workers one is killed and one stopped: complete, and the same to the token."""
    whole, folder = tmp_path / "whole", tmp_path / "run"
    assert main([*scaling.line(scenes, whole), "--json"]) == 0
    asked = ("--launcher", "ray", "--workers", "4", "--hang-timeout", scaling.HANG)
    words = scaling.line(scenes, folder, *asked, seconds=1.5)
    with scaling.start(words, folder, RAY_ADDRESS="local") as running:
        killed, stopped = running.disturb()
        code, _, err = running.end()
    assert code == 0, err
    scaling.assert_same(folder, whole)
    assert f"Worker {killed + 1} on" in err
    assert "it was ended by SIGKILL" in err
    assert f"Worker {stopped + 1} on" in err
    found = read_run(folder)
    assert found.complete
    workers = [each for each in found.sessions if each.worker is not None]
    assert scaling.gone([each.pid for each in workers if each.pid])
