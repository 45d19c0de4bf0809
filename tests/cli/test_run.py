"""`retake run`: answers, the report, the JSON document, and where options come from."""

import io
import sys
from pathlib import Path
from typing import get_args

import pytest
import yaml
from retake_cli.options import FLAGS
from retake_cli.questions import Asked, find_video

import retake as library
from retake.core.errors import UsageError
from retake.datasets.scenes import Clip
from tests.cli.conftest import Run
from tests.video.broken import make_corrupt
from tests.video.make import make_video

MINE = '''\
import retake
from attrs import frozen


@frozen
class Mine(retake.KVCompressor):
    """Keep the keys of smallest norm."""

    def score(self, chunk):
        return -chunk.keys.norm(dim=-1).mean(dim=0)
'''


def shown(retake: Run, *words: str | Path) -> dict:
    """The configuration that `--show-config` prints."""
    result = retake("run", "--show-config", *words)
    assert result.code == 0, result.err
    return yaml.safe_load(result.out)


def test_report_shows_answer_and_costs(watched: Run) -> None:
    """A question of one's own: the answer, and what it rests on."""
    result = watched("What is it?", "--keep-ratio", "0.5")
    assert result.code == 0, result.err
    for words in ("What is it?", "h264", "Tokens", "KV cache", "prefill"):
        assert words in result.out
    assert "keep ratio 0.5 asked" in result.out
    assert result.err == ""


def test_known_questions_are_asked_and_marked(watched: Run, scene: Clip) -> None:
    """Without a question, a scene clip is asked its own, beside the true answers."""
    result = watched()
    assert result.code == 0, result.err
    assert f"of {len(scene.questions)} right" in result.out
    assert scene.questions[0].answer in result.out


@pytest.mark.parametrize("width", [60, 100, 200])
def test_report_fits_the_terminal(
    watched: Run, monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    """Nothing sticks out, and nothing is cut off."""
    monkeypatch.setenv("COLUMNS", str(width))
    lines = watched().out.splitlines()
    assert max(map(len, lines)) <= width
    assert not any("…" in line for line in lines)


def test_question_over_budget_is_warned_about(watched: Run) -> None:
    """A question that was not reserved for is answered, and the excess is said."""
    words = ("What is it?", "--budget", "80", "--reserve", "0")
    assert "exceeds the budget of 80" in watched(*words).out
    data = watched(*words, "--json").data
    assert data["answers"][0]["over_budget"] > 0
    assert len(data["warnings"]) == 1


def test_unreadable_frames_are_reported(retake: Run, checkpoint: Path, tmp_path: Path) -> None:
    """Frames left out are counted in the report and listed in the document."""
    damaged = make_corrupt(tmp_path / "bad.mp4", make_video(tmp_path / "ok.mp4"), [14, 15, 16])
    words = ("run", damaged, "Which?", "--model", checkpoint, "--max-new-tokens", "2")
    words = (*words, "--fps", "24", "--on-bad-frame", "report")
    assert "could not be decoded" in " ".join(retake(*words).out.split())
    assert retake(*words, "--json").data["frames"]["unreadable"][0]["reason"]


def test_json_document(watched: Run, scene: Clip, checkpoint: Path) -> None:
    """All that a script may rely on is there, and adds up."""
    data = watched("--json", "--budget", "250", "--seed", "7").data
    assert set(data) >= {
        "format",
        "answers",
        "video",
        "frames",
        "compression",
        "costs",
        "model",
        "config",
        "seed",
        "versions",
        "command",
        "warnings",
    }
    assert data["format"] == "retake.run/1"
    assert data["seed"] == 7
    assert data["config"]["prefill"]["budget"] == 250
    assert data["model"]["path"] == str(checkpoint)
    assert data["model"]["embedded"] is False
    assert [each["expected"] for each in data["answers"]] == [q.answer for q in scene.questions]
    assert all(isinstance(each["correct"], bool) for each in data["answers"])
    frames = data["frames"]
    assert len(frames["indices"]) == len(frames["timestamps"]) == frames["count"] == 24
    assert all(0 < kept <= 250 for kept in data["compression"]["tokens_kept"])
    stages = [cost["name"] for cost in data["costs"]]
    assert stages == ["load", "open", "decode", "encode", "select", "prefill", "answer"]


def test_json_is_the_same_twice(watched: Run) -> None:
    """Same input, seed and options: same kept tokens, same answer."""
    one, two = (watched("Which?", "--json", "--keep-ratio", "0.3").data for _ in range(2))
    for key in ("config", "frames", "compression", "video"):
        assert one[key] == two[key]
    assert one["answers"][0]["token_ids"] == two["answers"][0]["token_ids"]


def test_compressor_of_a_user_file(watched: Run, tmp_path: Path, monkeypatch) -> None:
    """The README's ten lines, as they stand there."""
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text(MINE)
    result = watched("Which?", "--compressor", "./mine.py:Mine", "--keep-ratio", "0.25", "--json")
    assert result.code == 0, result.err
    assert result.data["config"]["compressor"]["name"] == "./mine.py:Mine"
    assert result.data["compression"]["achieved_ratio"] == pytest.approx(0.25, abs=0.02)


def test_readme_shows_the_file_tested_here() -> None:
    """The README's example is the one that works."""
    readme = Path(__file__).parents[2] / "README.md"
    assert MINE in readme.read_text(encoding="utf-8")


def test_questions_from_file_and_stdin(watched: Run, tmp_path: Path, monkeypatch) -> None:
    """A file holds one question a line; "-" takes all of stdin as one."""
    (tmp_path / "q.txt").write_text("First?\n\nSecond?\n")
    monkeypatch.setattr(sys, "stdin", io.StringIO("Which?\n(A) this (B) that\n"))
    data = watched("-", "--questions", tmp_path / "q.txt", "--json").data
    asked = [each["question"] for each in data["answers"]]
    assert asked == ["Which?\n(A) this (B) that", "First?", "Second?"]


def test_later_layers_win(retake: Run, tmp_path: Path) -> None:
    """Defaults, then the preset, then files in order, then flags."""
    one, two = tmp_path / "one.yaml", tmp_path / "two.yaml"
    one.write_text("video: {fps: 1, max_frames: 10}\nseed: 3\n")
    two.write_text("video: {fps: 0.5}\nselector: uniform\n")
    words = ("--preset", "qwen2-vl/mlvu", "--config", one, "--config", two)
    config = shown(retake, *words, "--max-frames", "20")
    assert config["video"]["fps"] == 0.5
    assert config["video"]["max_frames"] == 20
    assert config["video"]["long_side"] == 448
    assert config["seed"] == 3
    assert config["prefill"]["budget"] == 32_000
    assert config["selector"] == {"name": "uniform", "options": {"keep_ratio": 0.5}}


def test_shown_configuration_is_one_to_run_with(retake: Run, tmp_path: Path) -> None:
    """What --show-config prints is what --config takes."""
    words = ("--keep-ratio", "0.3", "--selector", "dpselect:window=5")
    config = shown(retake, *words)
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(config))
    assert shown(retake, "--config", tmp_path / "c.yaml") == config


@pytest.mark.parametrize(
    ("given", "budget", "ratio"),
    [
        ((), 32_000, None),
        (("--keep-ratio", "0.5"), None, 0.5),
        (("--preset", "qwen2-vl/mlvu", "--keep-ratio", "0.5"), None, 0.5),
        (("--set", "prefill.keep_ratio=0.5", "--preset", "qwen2-vl/lvbench"), None, 0.5),
        (("--compressor", "none"), None, None),
    ],
)
def test_budget_or_ratio(retake: Run, given: tuple, budget: int | None, ratio: float | None):
    """One replaces the other, wherever the other came from."""
    prefill = shown(retake, *given)["prefill"]
    assert (prefill["budget"], prefill["keep_ratio"]) == (budget, ratio)


@pytest.mark.parametrize(
    "words",
    [
        ("--selector", "dpselect:keep_ratio=0.5,window=5"),
        ("--selector", "dpselect", "--selector-option", "keep_ratio=0.5", "--set",
         "selector.options.window=5"),
        ("--selector-option", "keep_ratio=0.5", "--selector-option", "window=5"),
    ],
)  # fmt: skip
def test_options_of_parts(retake: Run, words: tuple) -> None:
    """Three ways to say the same."""
    selector = shown(retake, *words)["selector"]
    assert selector["name"] == "dpselect"
    assert (selector["options"]["keep_ratio"], selector["options"]["window"]) == (0.5, 5)


def test_every_flag_sets_an_existing_key() -> None:
    """The table of flags and the configuration do not drift apart."""
    import attrs

    for flag in FLAGS:
        cls = library.RunConfig
        *parents, last = flag.path.split(".")
        for name in parents:
            cls = getattr(attrs.fields(attrs.resolve_types(cls)), name).type
        field = getattr(attrs.fields(attrs.resolve_types(cls)), last)
        if "Literal" in str(field.type):
            assert flag.metavar == f"[{'|'.join(get_args(field.type))}]"


@pytest.mark.parametrize(
    ("answer", "correct"),
    [
        ("B", True),
        ("(B) green", True),
        ("B. green", True),
        ("green", True),
        ("Green.", True),
        ("A", False),
        ("Because", False),
        ("", False),
    ],
)
def test_correct_answers(answer: str, correct: bool) -> None:
    """By letter or in words."""
    assert Asked("?", expected="green", letter="B").correct(answer) is correct
    assert Asked("?").correct(answer) is None


def test_clip_names_are_checked() -> None:
    """A bundled clip that is none is refused; a path is taken as it is."""
    assert find_video("some/video.mp4") == Path("some/video.mp4")
    with pytest.raises(UsageError, match="bundled clip"):
        find_video("clip:there-is-none")


@pytest.mark.parametrize("way", ["process", "executed"])
def test_process_keeps_stdout_for_the_document(
    way: str, request: pytest.FixtureRequest, scene: Clip, checkpoint: Path
) -> None:
    """As a real process: JSON alone on stdout, nothing on stderr off a terminal."""
    result = request.getfixturevalue(way)(
        "run", scene.path, "Which?", "--model", checkpoint, "--json"
    )
    assert result.code == 0, result.err
    assert len(result.data["answers"]) == 1
    assert result.err == ""
