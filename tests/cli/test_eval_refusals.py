"""What `retake eval` refuses: wrong requests, other runs and damaged ones; nothing is touched."""

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from retake.evaluation.locking import FolderLock
from retake.evaluation.records import read_run
from retake.models.embedded import checkpoint_path
from tests.cli.conftest import Run
from tests.cli.evaluations import SAME, SHORT, line, timeless


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (SAME, ("holds a run already", "--resume")),
        (
            ("--limit", "6", "--keep-ratio", "0.25", "--resume"),
            ("prefill.keep_ratio: was 0.5, is 0.25",),
        ),
        (
            (*SAME, "--resume", "--selector", "uniform", "--max-new-tokens", "5"),
            ("selector.name: was dpselect, is uniform", "max_new_tokens: was 32, is 5"),
        ),
        (("--limit", "7", "--keep-ratio", "0.5", "--resume"), ("--limit: was 6, is 7",)),
        ((*SAME, "--batch", "2", "--resume"), ("--batch: was 1, is 2",)),
        (
            (*SAME, "--resume", "--benchmark-option", "answers=letters"),
            ("benchmark option answers: was words, is letters", "the samples: was 6 ("),
        ),
    ],
)
def test_another_run_is_not_mixed_in(
    retake: Run, run: Path, scenes: Path, monkeypatch: Any, given: tuple, says: tuple
) -> None:
    """Refused before a model is loaded, every difference named, nothing touched."""
    monkeypatch.setattr("retake.api.from_config", lambda *_: pytest.fail("it was loaded"))
    before = {path.name: path.read_bytes() for path in run.iterdir()}
    result = retake(*line(scenes, run, *given))
    assert result.code == 2
    for words in says:
        assert words in result.err
    assert {path.name: path.read_bytes() for path in run.iterdir()} == before


def test_another_model_is_not_mixed_in(
    retake: Run, run: Path, done: Path, scenes: Path, checkpoint: Path
) -> None:
    """Its fingerprint tells, wherever it is kept; also where nothing is left to be answered."""
    for folder in (run, done):
        result = retake(*line(scenes, folder, *SAME, "--resume", "--model", checkpoint))
        assert result.code == 2
        assert "the model's fingerprint: was " in result.err


def test_another_model_in_the_same_place(
    retake: Run, scenes: Path, checkpoint: Path, tmp_path: Path, monkeypatch: Any
) -> None:
    """Files younger than a complete run have it compared; else it is shown without a model."""
    place = shutil.copytree(checkpoint_path(), tmp_path / "model")
    for file in place.iterdir():
        os.utime(file, (1e9, 1e9))
    words = line(scenes, tmp_path / "run", "--limit", "1", "--model", place)
    assert retake(*words).code == 0
    with monkeypatch.context() as patched:
        patched.setattr("retake.api.from_config", lambda *_: pytest.fail("it was loaded"))
        assert retake(*words, "--resume").code == 0
    shutil.rmtree(place)
    shutil.copytree(checkpoint, place)
    for file in place.iterdir():
        os.utime(file, (4e9, 4e9))
    result = retake(*words, "--resume")
    assert result.code == 2
    assert "the model's fingerprint: was " in result.err


def test_the_same_file_otherwise_written(
    retake: Run, scenes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A benchmark and a compressor are the same by whatever path."""
    (tmp_path / "own.py").write_text(_OWN.format(scenes=str(scenes)))
    monkeypatch.chdir(tmp_path)
    for where in ("./own.py", "own.py", f"{tmp_path}/own.py"):
        words = ("eval", f"{where}:Own", "--compressor", f"{where}:Mine", "-o", "run", "--resume")
        result = retake(*words, "--keep-ratio", "0.5", "--max-new-tokens", "4")
        assert result.code == 0, result.err
    assert len(read_run(tmp_path / "run").samples) == 1


_OWN = """
import pathlib
import retake


class Own(retake.Benchmark):
    def samples(self):
        video = sorted(pathlib.Path({scenes!r}).glob("*.mp4"))[0]
        return [retake.Sample("a", video, "Did it flash?", "no", "sort")]

    def mark(self, sample, answer):
        return 1.0


class Mine(retake.KVCompressor):
    def score(self, chunk):
        return -chunk.positions[0].float()
"""


def test_the_same_model_elsewhere(
    retake: Run, run: Path, done: Path, scenes: Path, tmp_path: Path
) -> None:
    """A copy of the shipped checkpoint is the shipped model."""
    copy = shutil.copytree(checkpoint_path(), tmp_path / "copy")
    assert retake(*line(scenes, run, *SAME, "--resume", "--model", copy)).code == 0
    assert timeless(run) == timeless(done)


def test_two_writers(retake: Run, run: Path, scenes: Path) -> None:
    """The second is refused; reading meanwhile is not."""
    with FolderLock(run):
        result = retake(*line(scenes, run, *SAME, "--resume"))
        assert len(read_run(run).samples) == 4
    assert result.code == 1
    assert "is being written by another process" in result.err
    assert retake(*line(scenes, run, *SAME, "--resume")).code == 0


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "its run.json is missing"),
        (b'{"format": "retake.ru', "is damaged: it is not JSON"),
        (b'{"format": "retake.run-folder/9"}', "newer retake"),
    ],
)
def test_run_json_is_not_as_it_was(
    retake: Run, run: Path, scenes: Path, content: bytes | None, says: str
) -> None:
    """What was run cannot be told, so nothing is added to it."""
    path = run / "run.json"
    path.unlink() if content is None else path.write_bytes(content)
    result = retake(*line(scenes, run, *SAME, "--resume"))
    assert result.code == 1
    assert says in result.err


def test_damaged_sample(retake: Run, run: Path, scenes: Path) -> None:
    """The file and the line are named."""
    path = run / "samples.jsonl"
    content = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([content[0], content[0], *content[2:]]))
    result = retake(*line(scenes, run, *SAME, "--resume"))
    assert result.code == 1
    assert f"'{path}' is damaged in line 2" in result.err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ((), ("Missing argument 'BENCHMARK'", "scenes")),
        (("scenes",), ("Missing option '-o FOLDER'",)),
        (("scnes", "-o", "run"), ("Unknown benchmark 'scnes'", "Did you mean 'scenes'?")),
        (("scenes:lenghts=[8]", "-o", "run"), ("lenghts", "Did you mean 'lengths'?")),
        (
            ("scenes", "--benchmark-option", "videos", "-o", "run"),
            ("--benchmark-option takes KEY=VALUE, got 'videos'",),
        ),
        (("scenes", "--benchmark-option", "videos=many", "-o", "run"), ("many",)),
        (("scenes", "--limit", "0", "-o", "run"), ("--limit", "x>=1")),
        (("scenes", "--batch", "0", "-o", "run"), ("--batch", "x>=1")),
        (("scenes", "-o", "none/run"), ("there is no folder 'none'",)),
        (("scenes", "-o", "file"), ("'file' is a file",)),
        (("scenes", "-o", "."), ("holds other things (file)",)),
        (("scenes", "-o", "/proc/run"), ("Cannot make the folder '/proc/run'",)),
        (("scenes", "--keep-ratio", "0.5", "--compressor", "none", "-o", "run"), ("keep_ratio",)),
        (("none.py:Mine", "-o", "run"), ("There is no file 'none.py'",)),
    ],
)
def test_bad_usage(
    retake: Run,
    scenes: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: tuple,
    says: tuple,
) -> None:
    """Refused with what is allowed, and nothing is left behind."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path.parent / "cache"))
    (tmp_path / "file").write_text("")
    options = [f"root={scenes}", *SHORT] if "/proc/run" in words else []
    given = [word for option in options for word in ("--benchmark-option", option)]
    result = retake("eval", *words, *given)
    assert result.code == 2
    for each in says:
        assert each in result.err
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
