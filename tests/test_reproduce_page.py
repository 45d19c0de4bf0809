"""Every command of docs/reproduce.md is one that the command line takes, and its numbers add up."""

import re
import shlex
from math import sqrt
from pathlib import Path

import click
import pytest
from retake_cli.benchmarks import find_benchmark
from retake_cli.main import cli

from retake import presets
from retake.core.config import RunConfig, structure
from tests.cli.conftest import Run, retake  # noqa: F401

_PAGE = Path(__file__).parents[1] / "docs" / "reproduce.md"
_TEXT = _PAGE.read_text(encoding="utf-8")
# How torchrun starts a command line.
_RANKS = ["torchrun", "--nproc-per-node", "8", "-m", "retake_cli"]
# Questions, and for MLVU, whose score is a mean over tasks, those of each.
_QUESTIONS = {"VideoMME": 2700, "LongVideoBench": 1337, "LVBench": 1549}
_TASKS = (263, 200, 355, 352, 539, 259, 206)
_VIDEOS = {"VideoMME": 900, "MLVU": 1242, "LongVideoBench": 752, "LVBench": 103}
_CORRELATION = 0.1


def _commands() -> list[list[str]]:
    """The words of every command in a block of shell, without `retake` itself."""
    found = []
    for block in re.findall(r"```bash\n(.*?)```", _TEXT, re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            if words[: len(_RANKS)] == _RANKS:
                found.append(words[len(_RANKS) :])
            elif words:
                assert words[0] == "retake", line
                found.append(words[1:])
    return found


_COMMANDS = _commands()
_EVALUATIONS = [words for words in _COMMANDS if words[0] == "eval"]


def _named(words: list[str]) -> str:
    return " ".join(words)[:160]


@pytest.fixture
def somewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which the page's relative paths are."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _there(words: list[str], folder: Path) -> list[str]:
    """The words, with folders of the page's names below the test's own."""
    moved = [re.sub(r"(^|=)/(data|models)/", rf"\1{folder}/\2/", word) for word in words]
    for word in moved:
        path = Path(word.rpartition("=")[2])
        if path.is_relative_to(folder) or word.startswith("runs/"):
            path.mkdir(parents=True, exist_ok=True)
    return moved


@pytest.mark.parametrize("words", _COMMANDS, ids=_named)
def test_the_command_line_takes_it(words: list[str], somewhere: Path) -> None:
    """Commands, options and the kinds of their values exist."""
    command: click.Command = cli
    left = _there(words, somewhere)
    context = click.Context(cli)
    while isinstance(command, click.Group):
        name, command, left = command.resolve_command(context, left)  # type: ignore[assignment]
        assert command is not None, name
        context = click.Context(command, parent=context, info_name=name)
    # Reads the words, checks them, and runs nothing.
    command.make_context(words[0], left)


@pytest.mark.parametrize("words", _EVALUATIONS, ids=_named)
def test_an_evaluation_has_its_settings(
    words: list[str],
    somewhere: Path,
    retake: Run,  # noqa: F811
) -> None:
    """Preset and flags make a configuration; the benchmark has the options that it is given."""
    shown = retake(*_there(words, somewhere), "--show-config")
    assert shown.code == 0, shown.err
    preset = words[words.index("--preset") + 1]
    config = structure(RunConfig, presets.load(preset), "configuration key")
    assert f"max_frames: {config.video.max_frames}" in shown.out
    pairs = [words[at + 1] for at, word in enumerate(words) if word == "--benchmark-option"]
    name, benchmark = find_benchmark(words[1], pairs)
    assert preset.partition("/")[2].removesuffix("-baseline") == name
    assert getattr(benchmark, "root") == dict(pair.split("=") for pair in pairs)["root"]  # noqa: B009


def test_every_row_has_its_commands() -> None:
    """The full cache and ReTaKe, for both models on all four benchmarks."""
    used = {words[words.index("--preset") + 1] for words in _EVALUATIONS}
    assert used == {name for name in presets.names() if not name.startswith("qwen2.5-vl/")}


def _rows() -> list[list[str]]:
    lines = [line for line in _TEXT.splitlines() if "**not run** |" in line and "-VL" in line]
    lines += [line for line in _TEXT.splitlines() if line.startswith("| LLaVA-Video-7B |")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


@pytest.mark.parametrize("row", _rows(), ids=lambda row: f"{row[0]} {row[1]}")
def test_noise_is_that_of_so_many_questions(row: list[str]) -> None:
    """The intervals on the page follow from the score and the number of questions."""
    benchmark, before, after, gain = row[1], float(row[3]), float(row[4]), float(row[5])
    assert after - before == pytest.approx(gain, abs=0.051)
    score = after / 100
    if benchmark == "MLVU":
        spread = sqrt(score * (1 - score) * sum(1 / count for count in _TASKS)) / len(_TASKS)
    else:
        spread = sqrt(score * (1 - score) / _QUESTIONS[benchmark])
    each = _QUESTIONS.get(benchmark, sum(_TASKS)) / _VIDEOS[benchmark]
    clustered = spread * sqrt(1 + (each - 1) * _CORRELATION)
    assert float(row[6]) == pytest.approx(196 * spread, abs=0.051)
    assert float(row[7]) == pytest.approx(196 * clustered, abs=0.051)


def test_the_table_is_the_papers() -> None:
    """Eight rows, with the paper's scores."""
    scores = [tuple(row[3:5]) for row in _rows()]
    assert scores == [
        ("63.3", "63.9"),
        ("64.8", "69.8"),
        ("55.6", "57.7"),
        ("42.4", "47.8"),
        ("62.2", "64.0"),
        ("64.9", "67.8"),
        ("58.2", "59.7"),
        ("43.3", "48.5"),
    ]
    assert sum(_TASKS) == 2174
