"""Video-MME in miniature, as a user runs it, from zip to page.

What verifies, answers, submits, compares and shows is a process once; what is tried besides is not.
"""

import json
from pathlib import Path

import pandas as pd
import pytest

from tests.cli.conftest import Run
from tests.cli.evaluations import lines
from tests.cli.published import accuracies, answers_of, evaluated, figures_of, with_letters
from tests.miniatures import videomme


@pytest.fixture(scope="module")
def mme(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Video-MME in miniature, zipped as on the hub; do not change it."""
    folder = tmp_path_factory.mktemp("videomme")
    videomme.make(folder)
    return folder


def test_videomme(process: Run, retake: Run, mme: Path, tmp_path: Path) -> None:
    """Verified, answered with the subtitles of the frames, submitted, shown, compared."""
    verified = process("data", "verify", "videomme", "--root", mme, "--json")
    assert verified.code == 0, verified.err
    run = tmp_path / "whole"
    made = evaluated(process, "videomme", mme, run, "subtitles=frames", "--json")
    assert made.code == 0, made.err

    table = pd.read_parquet(mme / videomme.PARQUET).set_index("question_id")
    rows = with_letters(answers_of(run))
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
    rows = with_letters(answers_of(folder))
    assert all("\nOptions:\nA. " in question for question in rows.prompt)
    table = pd.read_parquet(mme / videomme.PARQUET).set_index("question_id")
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
