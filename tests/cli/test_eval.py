"""`retake eval`: real runs of the shipped model, killed, resumed and reported."""

import hashlib
import json
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from retake.evaluation.records import read_run
from tests.cli.conftest import Run
from tests.cli.evaluations import SAME, compressions, line, lines, timeless
from tests.cli.forking import Started


def numbers(data: dict[str, Any]) -> dict[str, Any]:
    """The accuracies of a run's document."""
    return {key: data["summary"][key] for key in ("overall", "kinds", "groups", "crossed")}


def kill_after(words: list[str | Path], folder: Path, count: int) -> None:
    """Start a run as a process, and kill -9 it once so many samples are on the disk."""
    path = folder / "samples.jsonl"
    with Started(words, stdout=subprocess.DEVNULL) as running:
        deadline = time.monotonic() + 120
        while not path.exists() or path.read_bytes().count(b"\n") < count:
            assert running.poll() is None, running.communicate()[1]
            assert time.monotonic() < deadline
            time.sleep(0.002)
        running.send_signal(signal.SIGKILL)
    assert running.returncode == -signal.SIGKILL


@pytest.mark.parametrize(
    ("given", "cut"),
    [
        (("--budget", "40", "--batch", "3"), True),
        (("--selector", "topk-sim(colours)", "--keep-ratio", "0.5"), False),
    ],
    ids=["budget-batch-half-written", "question-aware"],
)
def test_killed_and_resumed(
    retake: Run, process: Run, scenes: Path, tmp_path: Path, given: tuple[str, ...], cut: bool
) -> None:
    """kill -9, twice: then the samples and numbers of a run that nothing interrupted."""
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    expected = retake(*line(scenes, whole, *given, "--json"))
    assert expected.code == 0, expected.err
    words = line(scenes, killed, *given, "--resume")
    total = expected.data["run"]["samples_total"]
    for count in (4, total // 2):
        kill_after(words, killed, count)
        before = lines(killed / "samples.jsonl") if not cut else _cut(killed / "samples.jsonl")
        assert len(before) < total
    resumed = process(*words, "--json")
    assert resumed.code == 0, resumed.err
    assert lines(killed / "samples.jsonl")[: len(before)] == before
    assert timeless(killed) == timeless(whole)
    assert compressions(killed) == compressions(whole)
    assert numbers(resumed.data) == numbers(expected.data)
    assert resumed.data["complete"]
    said = "samples.jsonl: the last line was half-written and was dropped"
    assert (said in resumed.err) == cut
    assert read_run(killed).sessions[-1].repaired == ((said,) if cut else ())


def _cut(path: Path) -> list[dict[str, Any]]:
    """Take half of a journal's last line away, and return what is whole."""
    content = path.read_bytes()
    last = content.splitlines(keepends=True)[-1]
    path.write_bytes(content[: -len(last) // 2])
    return [json.loads(each) for each in content.splitlines()[:-1]]


def test_results_carry_all_that_decided_them(done: Path, scenes: Path) -> None:
    """Configuration, versions, seed, frames and what the budget came to."""
    found = read_run(done)
    assert found.complete
    header = found.header
    assert header.benchmark.name == "scenes"
    assert header.benchmark.options["root"] == str(scenes)
    assert header.benchmark.options["depths"] == [0.1, 0.3, 0.5, 0.7, 0.9]
    assert header.config["prefill"]["keep_ratio"] == 0.5
    assert header.config["model"]["dtype"] == "float32"
    assert header.config["generate"]["max_new_tokens"] == 32
    assert header.config["compressor"]["options"]["pivot_score"] == "first"
    assert header.config["seed"] == 0
    assert header.versions["torch"]
    assert header.limit == 6
    [video] = found.videos
    assert video.frames is not None
    assert video.frames.timestamps[:3] == (0.0, 0.5, 1.0)
    assert video.compression.achieved_ratio == 0.5
    assert [sample.achieved_ratio for sample in found.samples] == [0.5] * 6
    assert all(sample.id.startswith("8s-seed0-000/") for sample in found.samples)


def test_report_and_document(retake: Run, done: Path, scenes: Path, monkeypatch: Any) -> None:
    """A complete run is shown again without a model; people and scripts get the same numbers."""
    monkeypatch.setattr("retake.api.from_config", lambda *_: pytest.fail("it was loaded"))
    data = retake(*line(scenes, done, *SAME, "--resume", "--json")).data
    assert (data["format"], data["complete"], data["answered"]) == ("retake.eval/1", True, 6)
    assert data["run"]["config"]["prefill"]["keep_ratio"] == 0.5
    overall = data["summary"]["overall"]
    assert overall["questions"] == 6
    assert overall["accuracy"] == sum(each["score"] for each in lines(done / "samples.jsonl")) / 6
    shown = retake(*line(scenes, done, *SAME, "--resume"))
    assert (shown.code, shown.err) == (0, "")
    # Lines break where the folder's name makes them.
    text = " ".join(shown.out.split())
    for words in (
        f"{100 * overall['accuracy']:.1f}".removesuffix(".0"),
        "6 of 6 questions answered",
        "keep ratio 0.5 asked, 0.5 achieved",
        "only the first 6 questions",
        f"retake report {done}",
    ):
        assert words in text


def test_resumed(retake: Run, run: Path, done: Path, scenes: Path) -> None:
    """What is missing is answered as it would have been."""
    result = retake(*line(scenes, run, *SAME, "--resume"))
    assert (result.code, result.err) == (0, "")
    assert timeless(run) == timeless(done)


def test_resuming_where_there_is_no_run(retake: Run, tmp_path: Path, scenes: Path) -> None:
    """Begins one, and says so: a script may always say --resume."""
    result = retake(*line(scenes, tmp_path / "run", *SAME, "--resume", "--json"))
    assert result.code == 0
    assert "There was no run" in result.err
    assert result.data["complete"]


_MINE = '''
import attrs
import retake
from pathlib import Path


@attrs.frozen
class Mine(retake.Benchmark):
    """Every video of a folder, asked the same.

    Attributes:
        folder: of the videos.
        stop: interrupt when that is asked about.
    """

    folder: str
    stop: str = ""

    def samples(self):
        return [
            retake.Sample(f"{video.stem}/{number}", video, f"Did it flash? {number}", "no", "sort")
            for video in sorted(Path(self.folder).glob("*.mp4"))
            for number in range(2)
        ]

    def mark(self, sample, answer):
        if sample.id == self.stop:
            raise KeyboardInterrupt
        return answer == sample.answer
'''


@pytest.fixture
def mine(scenes: Path, tmp_path: Path) -> Path:
    """A benchmark in a file of one's own, of three videos, the second of them broken."""
    (tmp_path / "mine.py").write_text(_MINE)
    videos = tmp_path / "videos"
    videos.mkdir()
    whole = sorted(scenes.glob("*.mp4"))
    for name, video in zip("abc", whole, strict=False):
        shutil.copy(video, videos / f"{name}.mp4")
    (videos / "b.mp4").write_bytes(whole[1].read_bytes()[:3000])
    return tmp_path


def own(mine: Path, *more: str) -> list[str | Path]:
    """The command on that benchmark."""
    reference = f"{mine / 'mine.py'}:Mine:folder={mine / 'videos'}"
    return ["eval", reference, "-o", mine / "run", *more]


def test_a_broken_video_among_others(retake: Run, mine: Path) -> None:
    """It is named and the others are answered; exit code 1. Mended, --resume answers it too."""
    result = retake(*own(mine))
    assert result.code == 1
    assert f"{mine / 'videos' / 'b.mp4'}" in result.err
    assert result.err.startswith("Failed: ")
    assert "4 of 6 questions answered, 2 failed" in result.out
    assert "--resume tries them again" in " ".join(result.out.split())
    [failure] = read_run(mine / "run").failures
    assert failure.samples == ("b/0", "b/1")
    again = retake(*own(mine, "--resume", "--json"))
    assert again.code == 1
    assert [each["samples"] for each in again.data["failures"]] == [["b/0", "b/1"]]
    shutil.copy(mine / "videos" / "a.mp4", mine / "videos" / "b.mp4")
    mended = retake(*own(mine, "--resume", "--json"))
    assert (mended.code, mended.data["complete"], mended.data["failures"]) == (0, True, [])
    assert [each["id"] for each in lines(mine / "run" / "samples.jsonl")] == [
        *("a/0", "a/1", "c/0", "c/1", "b/0", "b/1")
    ]


def test_failing_fast(retake: Run, mine: Path) -> None:
    """The first failure ends the run, which can be gone on with."""
    result = retake(*own(mine, "--fail-fast"))
    assert result.code == 1
    assert len(read_run(mine / "run").samples) == 2
    assert f"{mine / 'videos' / 'b.mp4'}" in result.err
    (mine / "videos" / "b.mp4").unlink()
    shutil.copy(mine / "videos" / "a.mp4", mine / "videos" / "b.mp4")
    assert retake(*own(mine, "--resume")).code == 0


def test_interrupted(retake: Run, mine: Path) -> None:
    """Ctrl-C: exit code 130; what is answered is kept, and how to go on is said."""
    words = own(mine, "--benchmark-option", "stop=c/1")
    result = retake(*words)
    assert result.code == 130
    said = result.err.splitlines()
    assert said[-2].startswith("3 of 6 samples are answered and kept in ")
    assert said[-1] == "interrupted"
    assert len(read_run(mine / "run").samples) == 3


def test_a_video_that_changed(retake: Run, mine: Path) -> None:
    """A run does not mix answers about two videos under one name."""
    assert retake(*own(mine, "--benchmark-option", "stop=a/1")).code == 130
    shutil.copy(mine / "videos" / "c.mp4", mine / "videos" / "a.mp4")
    result = retake(*own(mine, "--benchmark-option", "stop=a/1", "--resume"))
    assert result.code == 1
    assert "its content has changed" in result.err


def test_code_that_changed(retake: Run, process: Run, mine: Path) -> None:
    """Answers of two versions of a benchmark, or of a part, are not mixed."""
    assert retake(*own(mine, "--benchmark-option", "stop=a/1")).code == 130
    header = json.loads((mine / "run" / "run.json").read_text())
    file = mine / "mine.py"
    assert header["code"] == {str(file): hashlib.sha256(file.read_bytes()).hexdigest()}
    file.write_text(_MINE.replace("return answer ==", "return answer !="))
    # A process of its own: this one has the file as it was.
    result = process(*own(mine, "--benchmark-option", "stop=a/1", "--resume"))
    assert result.code == 2
    assert f"the code in {file}: was {header['code'][str(file)][:8]}, is" in result.err


_LIMITED = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (4_000, 4_000))"


def test_full_disk(retake: Run, scenes: Path, tmp_path: Path, done: Path) -> None:
    """The reason is named, what was written before is whole, and --resume goes on with it."""
    words = [str(word) for word in line(scenes, tmp_path / "run", *SAME)]
    running = Started(words, before=_LIMITED)
    _, err = running.communicate(timeout=120)
    assert running.returncode == 1, err
    assert "samples.jsonl': File too large." in err
    assert "--resume goes on from there" in err
    found = read_run(tmp_path / "run")
    assert 0 < len(found.samples) < 6
    assert found.notes == ()
    assert retake(*words, "--resume").code == 0
    assert timeless(tmp_path / "run") == timeless(done)


def test_show_config(retake: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As for `run`, but for answers being short; nothing is made."""
    monkeypatch.chdir(tmp_path)
    shown = yaml.safe_load(retake("eval", "--show-config", "--keep-ratio", "0.3").out)
    assert shown["generate"]["max_new_tokens"] == 32
    shown["generate"]["max_new_tokens"] = 128
    assert shown == yaml.safe_load(retake("run", "--show-config", "--keep-ratio", "0.3").out)
    (tmp_path / "c.yaml").write_text("generate: {max_new_tokens: 7}\n")
    shown = yaml.safe_load(retake("eval", "--show-config", "--config", "c.yaml").out)
    assert shown["generate"]["max_new_tokens"] == 7
    assert [path.name for path in tmp_path.iterdir()] == ["c.yaml"]
