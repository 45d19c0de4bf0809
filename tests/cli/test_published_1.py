"""Video-MME and LongVideoBench in miniature, as a user runs them: processes, from zip to page."""

import json
import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.cli.conftest import Result, Run
from tests.cli.evaluations import lines
from tests.miniatures import longvideobench, videomme

_LETTER = re.compile("[A-E]")


@pytest.fixture(scope="module")
def mme(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Video-MME in miniature, zipped as on the hub; do not change it."""
    folder = tmp_path_factory.mktemp("videomme")
    videomme.make(folder)
    return folder


@pytest.fixture(scope="module")
def lvb(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """LongVideoBench in miniature, its videos one tar in parts; do not change it."""
    folder = tmp_path_factory.mktemp("longvideobench")
    longvideobench.make(folder)
    return folder


def evaluated(run: Run, name: str, root: Path, folder: Path, *more: str) -> Result:
    """`retake eval NAME` into a folder; what has a "=" in it is the benchmark's option."""
    options = (f"root={root}", *(word for word in more if not word.startswith("-")))
    given = [word for option in options for word in ("--benchmark-option", option)]
    flags = [word for word in more if word.startswith("-")]
    return run("eval", name, *given, "-o", folder, *flags)


def answers_of(folder: Path) -> pd.DataFrame:
    """What was answered, with the first capital from A to E as the letter, read here."""
    rows = pd.DataFrame(lines(folder / "samples.jsonl"))
    found = [_LETTER.search(answer) for answer in rows.answer]
    return rows.assign(letter=[one[0] if one else None for one in found])


def figures_of(folder: Path) -> dict[str, float]:
    """The benchmark's own figures in results.json."""
    results = json.loads((folder / "results.json").read_text())
    assert results["complete"]
    return {each["name"]: each["value"] for each in results["metrics"]}


def accuracies(rows: pd.DataFrame, by: str) -> dict[str, float]:
    """By pandas, from what is right in the table and what was said."""
    rows = rows.assign(right=(rows.letter == rows.truth).astype(float))
    return {"Overall": rows.right.mean(), **rows.groupby(by).right.mean()}


def test_videomme(process: Run, retake: Run, mme: Path, tmp_path: Path) -> None:
    """Verified, answered with the subtitles of the frames, submitted, shown, compared."""
    verified = process("data", "verify", "videomme", "--root", mme, "--json")
    assert verified.code == 0, verified.err
    run = tmp_path / "whole"
    made = evaluated(process, "videomme", mme, run, "subtitles=frames", "--json")
    assert made.code == 0, made.err

    table = pd.read_parquet(mme / videomme.PARQUET).set_index("question_id")
    rows = answers_of(run).set_index("id")
    assert list(rows.index) == list(table.index)
    # The shipped model knows these scenes: what it sees must reach it through all of this.
    rows["truth"], rows["by"] = table.answer, table.duration.str.capitalize()
    expected = accuracies(rows, "by")
    assert figures_of(run) == pytest.approx(expected)
    assert expected["Overall"] > 0.5
    assert rows.prompt["001-1"].startswith("This video's subtitles are listed below:\nline 1 is")
    assert rows.prompt["002-1"].startswith("Select the best answer")
    assert all(".zip/data/" in video for video in rows.video)

    written = process("submission", run, "-o", tmp_path / "given")
    assert written.code == 0, written.err
    given = json.loads((tmp_path / "given" / "output_test_template.json").read_text())
    responses = pd.json_normalize(given, "questions").set_index("question_id").response
    assert responses.to_dict() == rows.answer.to_dict()

    other = tmp_path / "quarter"
    words = ("subtitles=frames", "--keep-ratio=0.25")
    assert evaluated(retake, "videomme", mme, other, *words).code == 0
    compared = process("compare", run, other, "--by", "duration", "--json")
    assert compared.code == 0, compared.err
    assert [each["metrics"][0]["name"] for each in compared.data["runs"]] == ["Overall"] * 2
    shown = process("report", run, other, "-o", tmp_path / "page.html")
    assert shown.code == 0, shown.err
    assert "Animation" in (tmp_path / "page.html").read_text()


def test_protocols_read_the_same_answers_otherwise(retake: Run, mme: Path, tmp_path: Path) -> None:
    """Other prompts and averages by one option; runs of unlike protocols do not mix."""
    folder = tmp_path / "run"
    made = evaluated(retake, "videomme", mme, folder, "protocol=retake")
    assert made.code == 0, made.err
    rows = answers_of(folder)
    assert all("\nOptions:\nA. " in question for question in rows.prompt)
    table = pd.read_parquet(mme / videomme.PARQUET)
    right = (rows.letter == table.answer).groupby(table.duration).mean()
    assert figures_of(folder)["Overall"] == pytest.approx(right.mean())
    refused = evaluated(retake, "videomme", mme, folder, "protocol=lmms-eval", "--resume")
    assert (refused.code, "protocol" in refused.err) == (2, True)


def test_a_missing_zip_fails_its_videos_only(retake: Run, tmp_path: Path) -> None:
    """Noted by video, and told beforehand by verify; the rest is answered."""
    root = tmp_path / "root"
    videomme.make(root)
    (root / "videos_chunked_02.zip").unlink()
    verified = retake("data", "verify", "videomme", "--root", root, "--json")
    assert verified.code == 1
    assert "-mini302_Ab.mp4" in verified.out
    made = evaluated(retake, "videomme", root, tmp_path / "run", "--json")
    assert made.code == 1
    assert len(lines(tmp_path / "run" / "samples.jsonl")) == 9
    failures = lines(tmp_path / "run" / "failures.jsonl")
    assert [Path(each["video"]).name for each in failures] == [
        "-mini302_Ab.mp4",
        "-mini601_Ab.mp4",
        "-mini602_Ab.mp4",
    ]


def test_longvideobench(process: Run, lvb: Path, tmp_path: Path) -> None:
    """The validation split with interleaved subtitles, out of a tar archive in parts."""
    verified = process("data", "verify", "longvideobench", "--root", lvb, "--json")
    assert verified.code == 0, verified.err
    run = tmp_path / "run"
    made = evaluated(process, "longvideobench", lvb, run, "subtitles=interleaved", "--json")
    assert made.code == 0, made.err
    table = pd.read_json(lvb / longvideobench.VAL).set_index("id")
    rows = answers_of(run).set_index("id")
    # The longest video comes first where workers share them; the order of answers is free.
    assert sorted(rows.index) == sorted(table.index)
    rows["truth"] = ["ABCDE"[number] for number in table.correct_choice[rows.index]]
    lengths = {15: "(8, 15] s", 60: "(15, 60] s", 600: "(180, 600] s", 3600: "(900, 3600] s"}
    rows["by"] = table.duration_group.map(lengths)
    assert rows.letter.notna().all()
    expected = accuracies(rows, "by")
    assert figures_of(run) == pytest.approx(expected)
    assert expected["Overall"] > 0.5
    assert re.search(r"\[frame \d+, \d+\.\d s\] line 3 is said\nQ?", rows.prompt["mini3600_Ab_0"])
    assert all(".tar.part.aa/videos/" in video for video in rows.video)
    refused = process("submission", run)
    assert (refused.code, "takes no submissions" in refused.err) == (2, True)


def test_longvideobench_with_hidden_answers(process: Run, lvb: Path, tmp_path: Path) -> None:
    """The test split: no scores, and a file of what was said."""
    run = tmp_path / "run"
    made = evaluated(process, "longvideobench", lvb, run, "split=test")
    assert made.code == 0, made.err
    rows: Any = lines(run / "samples.jsonl")
    assert [each["score"] for each in rows] == [None] * 4
    assert figures_of(run) == {}
    written = process("submission", run)
    assert written.code == 0, written.err
    given = json.loads((run / "longvideobench_test_for_submission.json").read_text())
    assert given == {each["id"]: each["answer"] for each in rows}
    shown = process("report", run)
    assert shown.code == 0, shown.err
