"""The command line under test: run in this process, or as the process a user starts."""

import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import attrs
import pytest
from retake_cli.main import main

from retake.datasets.scenes import Clip, make_clip
from retake.datasets.scenes.benchmark import Scenes
from tests.cli.evaluations import SAME, line
from tests.cli.forking import Started


@attrs.frozen
class Result:
    """What a command left: its exit code, and what it wrote where."""

    code: int
    out: str
    err: str

    @property
    def data(self) -> Any:
        """Stdout as the one JSON document that it must be."""
        return json.loads(self.out)


Run = Callable[..., Result]


@pytest.fixture
def retake() -> Run:
    """Run `retake WORDS...` in this process; quick, and what most tests need."""

    def run(*words: str | Path) -> Result:
        out, err = io.StringIO(), io.StringIO()
        with redirect_stdout(out), redirect_stderr(err):
            code = main([str(word) for word in words])
        return Result(code, out.getvalue(), err.getvalue())

    return run


@pytest.fixture
def process() -> Run:
    """Run `retake WORDS...` as a process of its own."""

    def run(*words: str | Path, stdin: str = "", **environment: str) -> Result:
        started = Started(words, stdin=subprocess.PIPE, **{"COLUMNS": "100", **environment})
        try:
            out, err = started.communicate(stdin, timeout=240)
        except subprocess.TimeoutExpired:
            started.kill()
            raise
        return Result(started.wait(), out, err)

    return run


@pytest.fixture
def executed() -> Run:
    """Run `python -m retake_cli WORDS...`: as `process`, and with all that starting takes."""

    def run(*words: str | Path, stdin: str = "", **environment: str) -> Result:
        done = subprocess.run(
            [sys.executable, "-m", "retake_cli", *map(str, words)],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=240,
            env={**os.environ, "COLUMNS": "100", **environment},
            check=False,
        )
        return Result(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture(scope="session")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Clip:
    """A synthetic clip of 12 seconds with its sidecar; do not change its files."""
    path = tmp_path_factory.mktemp("scene") / "scene.mp4"
    return make_clip(path, seconds=12, seed=1, size=64)


@pytest.fixture
def watched(retake: Run, scene: Clip, checkpoint: Path) -> Run:
    """`retake run` on the scene with the tiny model, and whatever words a test adds."""

    def run(*words: str | Path) -> Result:
        return retake("run", scene.path, "--model", checkpoint, "--max-new-tokens", "3", *words)

    return run


@pytest.fixture(scope="session")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four short videos of the scenes benchmark; do not change them."""
    root = tmp_path_factory.mktemp("scenes") / "videos"
    Scenes(root=str(root), lengths=(8, 16), videos=2, size=64).make()
    return root


@pytest.fixture(scope="session")
def done(scenes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A complete run of the first six questions; do not change it."""
    folder = tmp_path_factory.mktemp("done") / "run"
    words = line(scenes, folder, *SAME, "--json")
    assert main([str(word) for word in words]) == 0
    return folder


@pytest.fixture
def run(done: Path, tmp_path: Path) -> Path:
    """A copy of that run, of which the last two answers are missing."""
    folder = tmp_path / "run"
    shutil.copytree(done, folder)
    path = folder / "samples.jsonl"
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:4]))
    return folder
