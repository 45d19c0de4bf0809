"""`retake data make scenes -o FOLDER`: the benchmark's videos, made ahead by one command."""

import shlex
from pathlib import Path

import pytest

from retake.datasets.scenes.benchmark import Scenes
from tests.cli.conftest import Run

WORDS = ("data", "make", "scenes", "--size", "48", "--lengths", "5,8", "--videos", "1")


def test_a_folder_is_what_the_benchmark_asks_for(retake: Run, tmp_path: Path) -> None:
    """The benchmark with the same options makes nothing more, and the report is of it."""
    folder = tmp_path / "set"
    made = retake(*WORDS, "-o", folder, "--seeds", "2", "--needles", "1,2", "--json")
    assert made.code == 0, made.err
    files = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    benchmark = Scenes(root=folder, lengths=(5, 8), videos=1, seeds=2, needles=(1, 2), size=48)
    videos = [video.clip for video in benchmark.make()]
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == files
    assert [each["path"] for each in made.data["videos"]] == [str(clip.path) for clip in videos]
    assert [each["seconds"] for each in made.data["videos"]] == [5.0, 5.0, 8.0, 8.0]
    assert made.data["options"]["seeds"] == [0, 1]


def test_the_command_to_go_on_with(retake: Run, tmp_path: Path) -> None:
    """What to evaluate with names every option that is not the default."""
    made = retake(*WORDS, "-o", tmp_path, "--needle-seconds", "1")
    assert made.code == 0, made.err
    assert "5.0 s  1 video" in made.out
    words = shlex.split(made.out.splitlines()[-1])
    assert words[1:4] == ["retake", "eval", "scenes"]
    options = {word.partition("=")[0]: word.partition("=")[2] for word in words if "=" in word}
    assert options == {
        "root": str(tmp_path),
        "lengths": "[5.0,8.0]",
        "videos": "1",
        "needle_seconds": "[1.0,1.0]",
        "size": "48",
    }


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("-o", "set", "--minutes", "1"), "--lengths"),
        (("-o", "set", "--seed", "0"), "--seeds"),
        (("-o", "set", "--force"), "--force"),
        (("-o", "a.mp4", "--lengths", "5"), "--lengths is for a folder"),
        (("-o", "a.mp4", "--needles", "1,2"), "'1,2' is not a whole number"),
        (("-o", "set", "--lengths", "5,x"), "lengths must be numbers, got [5, 'x']"),
        (("-o", "set", "--lengths", "abc"), "lengths must be numbers, got 'abc'"),
        (("-o", "set", "--lengths", "nan"), "lengths must be numbers, got 'nan'"),
        (("-o", "set", "--seeds", "-1"), "seeds must be how many, at least 1, or a list"),
        (("-o", "set", "--seeds", "0"), "such as [0, 7], got 0"),
        (("-o", "set", "--seeds", "1,1"), "each once, got [1, 1]"),
        (("-o", "set", "--lengths", "1"), "from 4"),
        (("-o", "set", "--needles", "9"), "needles"),
        (("-o", "set", "--background", "loud"), "calm"),
    ],
)
def test_what_does_not_fit_is_refused(
    retake: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], says: str
) -> None:
    """A wrong request, named, and nothing is made."""
    monkeypatch.chdir(tmp_path)
    result = retake("data", "make", "scenes", *words)
    assert (result.code, result.out) == (2, "")
    assert says in result.err
    assert not list(tmp_path.iterdir())


def test_a_folder_of_other_options_is_refused(retake: Run, tmp_path: Path) -> None:
    """And says what differs."""
    assert retake(*WORDS, "-o", tmp_path).code == 0
    result = retake(*WORDS, "-o", tmp_path, "--needles", "1")
    assert result.code == 2
    assert "needles is [1, 4], not [1, 1]" in result.err
