"""What a run comes to: results.json, a benchmark's own figures, hidden answers, submissions."""

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Run
from tests.cli.evaluations import line, lines

_QUIZ = """
from pathlib import Path
import json
import attrs
import retake


@attrs.frozen
class Quiz(retake.Benchmark):
    \"\"\"Videos asked two things each; what is right is partly hidden.\"\"\"

    folder: str
    hidden: bool = False

    def samples(self):
        found = []
        for number, name in enumerate(("8s-seed0-000", "8s-seed0-001", "16s-seed0-000")):
            video = Path(self.folder) / f"{name}.mp4"
            for kind in ("flash", "still"):
                answer = None if self.hidden and number == 0 else "yes"
                groups = {"topics": ("all", kind), "seconds": 8.0 * number}
                found.append(retake.Sample(
                    f"{name}/{kind}", video, f"Did it {kind}?", answer, kind, ("yes", "no"), groups,
                ))
        return found

    def parse(self, sample, answer):
        return answer.lower().strip(".") or None

    def mark(self, sample, answer):
        return None if sample.answer is None else self.parse(sample, answer) == sample.answer

    def metrics(self, marked):
        known = [each.score for each in marked if each.score is not None]
        return {"Right": sum(known) / len(known), "Points": 1.0 + sum(known)} if known else {}

    @property
    def scales(self):
        return {"Points": (1, float("inf"))}

    def submission(self, marked):
        return {"answers.json": json.dumps({each.id: each.parsed for each in marked})}
"""


@pytest.fixture
def quiz(tmp_path: Path, scenes: Path) -> str:
    """The benchmark above, as the command line takes it."""
    (tmp_path / "quiz.py").write_text(_QUIZ)
    return f"{tmp_path / 'quiz.py'}:Quiz:folder={scenes}"


def test_results_say_all(retake: Run, quiz: str, tmp_path: Path) -> None:
    """Figures with intervals, scores, configuration, and what machine and code it was."""
    folder = tmp_path / "run"
    made = retake("eval", quiz, "-o", folder, "--keep-ratio", "0.5")
    assert made.code == 0, made.err
    results = json.loads((folder / "results.json").read_text())
    scores = [sample["score"] for sample in lines(folder / "samples.jsonl")]
    assert results["format"] == "retake.results/1"
    assert [metric["name"] for metric in results["metrics"]] == ["Right", "Points"]
    right, points = results["metrics"]
    assert right["value"] == sum(scores) / 6 == results["summary"]["overall"]["accuracy"]
    assert points["value"] == 1 + sum(scores)
    assert right["low"] <= right["value"] <= right["high"]
    topics = results["summary"]["groups"]["topics"]
    assert [(row["topics"], row["questions"]) for row in topics] == [
        ("all", 6),
        ("flash", 3),
        ("still", 3),
    ]
    run = results["run"]
    assert run["fingerprint"]
    assert run["hardware"]["cores"] >= 1
    assert run["config"]["prefill"]["keep_ratio"] == 0.5
    assert results["parsed"] == {"read": 6, "nothing": 0, "unknown": 0}
    assert len(results["sessions"]) == 1
    assert "Right" in made.out
    assert f"{100 * right['value']:.1f} %" in made.out or right["value"] in (0, 1)


def test_compare_and_report_show_them(retake: Run, quiz: str, tmp_path: Path) -> None:
    """Side by side; of a run that went on since, none."""
    folders = [tmp_path / name for name in ("half", "whole")]
    for folder, ratio in zip(folders, ("0.5", "1"), strict=True):
        assert retake("eval", quiz, "-o", folder, "--keep-ratio", ratio).code == 0
    compared = retake("compare", *folders)
    assert compared.code == 0, compared.err
    assert "Points" in compared.out
    runs = retake("compare", *folders, "--json").data["runs"]
    assert [[each["name"] for each in run["metrics"]] for run in runs] == [["Right", "Points"]] * 2
    assert retake("report", *folders, "--markdown", tmp_path / "r.md").code == 0
    assert "Points" in (tmp_path / "r.md").read_text()
    samples = folders[0] / "samples.jsonl"
    samples.write_bytes(b"".join(samples.read_bytes().splitlines(keepends=True)[:4]))
    runs = retake("compare", *folders, "--json").data["runs"]
    assert [len(run["metrics"]) for run in runs] == [0, 2]


def test_hidden_answers_are_submitted(retake: Run, quiz: str, tmp_path: Path) -> None:
    """They have no score, the others have, and the benchmark's server gets them all."""
    folder = tmp_path / "run"
    made = retake("eval", f"{quiz},hidden=true", "-o", folder)
    assert made.code == 0, made.err
    assert "2 answers have no score" in " ".join(made.out.split())
    results = json.loads((folder / "results.json").read_text())
    assert results["summary"]["unmarked"] == 2
    assert results["summary"]["overall"]["questions"] == 4
    written = retake("submission", folder, "-o", tmp_path / "given")
    assert written.code == 0, written.err
    answers = json.loads((tmp_path / "given" / "answers.json").read_text())
    assert answers == {s["id"]: s["parsed"] for s in lines(folder / "samples.jsonl")}
    assert len(answers) == 6


def test_submissions_take_whole_runs(retake: Run, quiz: str, tmp_path: Path) -> None:
    """A part is refused unless it is asked for."""
    folder = tmp_path / "run"
    assert retake("eval", quiz, "-o", folder).code == 0
    samples = folder / "samples.jsonl"
    samples.write_bytes(b"".join(samples.read_bytes().splitlines(keepends=True)[:4]))
    refused = retake("submission", folder)
    assert (refused.code, "4 of 6 answers" in refused.err) == (2, True)
    assert retake("submission", folder, "--partial").code == 0
    assert len(json.loads((folder / "answers.json").read_text())) == 4


def test_no_submissions_to_scenes(retake: Run, done: Path, tmp_path: Path) -> None:
    """Its answers are known."""
    refused = retake("submission", done, "-o", tmp_path / "given")
    assert (refused.code, "takes no submissions" in refused.err) == (2, True)
    assert not (tmp_path / "given").exists()


def test_a_benchmark_that_is_gone(retake: Run, quiz: str, tmp_path: Path) -> None:
    """What a run is of is made again from its file."""
    folder = tmp_path / "run"
    assert retake("eval", quiz, "-o", folder).code == 0
    path = folder / "run.json"
    path.write_text(path.read_text().replace("quiz.py", "gone.py"))
    refused = retake("submission", folder)
    assert refused.code == 2
    assert "cannot be made again" in refused.err


def test_watching_for_each_question_changes_no_answer(
    retake: Run, scenes: Path, tmp_path: Path
) -> None:
    """It only takes longer; the two cannot be one run."""
    given = ("--limit", "4", "--budget", "40")
    once, each = tmp_path / "once", tmp_path / "each"
    assert retake(*line(scenes, once, *given)).code == 0
    assert retake(*line(scenes, each, *given, "--watch-each")).code == 0
    assert len(lines(once / "videos.jsonl")) == 1
    assert len(lines(each / "videos.jsonl")) == 4
    kept = ("id", "answer", "score", "cache_tokens", "kv_bytes")
    assert _only(each, kept) == _only(once, kept)
    refused = retake(*line(scenes, once, *given, "--watch-each", "--resume"))
    assert (refused.code, "--watch-each" in refused.err) == (2, True)


def test_videos_are_read_out_of_archives(
    retake: Run, quiz: str, scenes: Path, tmp_path: Path
) -> None:
    """The same answers, under the name that the benchmark gives the video."""
    with zipfile.ZipFile(tmp_path / "videos.zip", "w") as archive:
        for video in sorted(scenes.glob("*.mp4")):
            archive.write(video, f"data/{video.name}")
    packed = quiz.replace(str(scenes), str(tmp_path / "videos.zip" / "data"))
    plain, zipped = tmp_path / "plain", tmp_path / "zipped"
    assert retake("eval", quiz, "-o", plain).code == 0
    made = retake("eval", packed, "-o", zipped)
    assert made.code == 0, made.err
    assert _only(zipped, ("id", "answer")) == _only(plain, ("id", "answer"))
    [first, *_] = lines(zipped / "videos.jsonl")
    assert (
        first["source"]["path"]
        == first["video"]
        == str(tmp_path / "videos.zip" / "data" / "8s-seed0-000.mp4")
    )
    assert first["source"]["sha256"] == lines(plain / "videos.jsonl")[0]["source"]["sha256"]


def _only(folder: Path, names: tuple[str, ...]) -> list[tuple[Any, ...]]:
    return [tuple(each[name] for name in names) for each in lines(folder / "samples.jsonl")]


def test_how_long_answers_may_be(retake: Run, tmp_path: Path) -> None:
    """As the benchmark says; below what a preset or a flag says."""
    (tmp_path / "quiz.py").write_text(
        _QUIZ.replace(
            "    def samples",
            "    @property\n    def answer_tokens(self):\n        return 7\n\n    def samples",
        )
    )
    words = ("eval", f"{tmp_path / 'quiz.py'}:Quiz:folder=x", "--show-config")
    assert "max_new_tokens: 7\n" in retake(*words).out
    assert "max_new_tokens: 9\n" in retake(*words, "--max-new-tokens", "9").out
    assert "max_new_tokens: 128\n" in retake(*words, "--preset", "qwen2-vl/mlvu").out
    assert "max_new_tokens: 32\n" in retake("eval", "scenes", "--show-config").out


@pytest.mark.parametrize(
    "content",
    [
        '{"half',
        "[]",
        '{"format": "retake.results/1"}',
        '{"format": "retake.results/1", "metrics": null}',
    ],
)
def test_results_that_are_damaged(retake: Run, quiz: str, tmp_path: Path, content: str) -> None:
    """They hold nothing that the run does not: left out, and written anew."""
    folder, other = tmp_path / "run", tmp_path / "other"
    for each in (folder, other):
        assert retake("eval", quiz, "-o", each).code == 0
    path = folder / "results.json"
    whole = json.loads(path.read_text())
    path.write_text(content)
    assert retake("compare", folder, other).code == 0
    assert retake("report", folder).code == 0
    again = retake("eval", quiz, "-o", folder, "--resume", "--json")
    assert again.code == 0, again.err
    found = json.loads(path.read_text())
    assert found["metrics"] == whole["metrics"] == again.data["metrics"]


def test_figures_that_fail_do_not_take_the_answers_with_them(
    retake: Run, quiz: str, tmp_path: Path
) -> None:
    """The outcome is shown and written, with the reason."""
    source = (tmp_path / "quiz.py").read_text()
    (tmp_path / "quiz.py").write_text(
        source.replace('return {"Right"', 'return {"Right": 1 / 0}, {"R"')
    )
    made = retake("eval", quiz, "-o", tmp_path / "run")
    assert made.code == 0, made.err
    assert "Quiz.metrics() failed: ZeroDivisionError" in " ".join(made.out.split())
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    assert results["metrics"] == []
    assert "ZeroDivisionError" in results["metrics_trouble"]
    assert results["summary"]["overall"]["questions"] == 6


@pytest.mark.parametrize("name", ["samples.jsonl", "run.json", "..", "a/b", ""])
def test_submissions_do_not_overwrite_a_run(
    retake: Run, quiz: str, tmp_path: Path, name: str
) -> None:
    """A benchmark that names its file as one of the run's is refused."""
    source = (tmp_path / "quiz.py").read_text()
    (tmp_path / "quiz.py").write_text(source.replace('"answers.json"', repr(name)))
    folder = tmp_path / "run"
    assert retake("eval", quiz, "-o", folder).code == 0
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    refused = retake("submission", folder)
    assert (refused.code, "none of a run's own" in refused.err) == (2, True)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
