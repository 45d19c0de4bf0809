"""LVBench in miniature, as a user runs it, from download to page.

What verifies, answers and submits are processes; the page and the comparison are made here.
"""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.cli.conftest import Run
from tests.cli.published import answers_of, evaluated, figures_of
from tests.miniatures import lvbench


@pytest.fixture(scope="module")
def hours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """LVBench in miniature, its videos one zip in parts; do not change it."""
    folder = tmp_path_factory.mktemp("lvbench")
    lvbench.make(folder, videos="parts")
    return folder


def test_lvbench(process: Run, retake: Run, hours: Path, tmp_path: Path) -> None:
    """Out of a zip in parts; what the official script would make of its answers."""
    verified = process("data", "verify", "lvbench", "--root", hours, "--json")
    assert verified.code == 0, verified.err
    run = tmp_path / "whole"
    made = evaluated(process, "lvbench", hours, run, "--json")
    assert made.code == 0, made.err
    rows = answers_of(run)
    assert all(".zip.001/all_videos/" in video for video in rows.video)

    written = process("submission", run, "-o", tmp_path / "given")
    assert written.code == 0, written.err
    answers = json.loads((tmp_path / "given" / "answers.json").read_text())
    videos = pd.read_json(hours / lvbench.ANNOTATIONS, lines=True, dtype=False)
    table = pd.json_normalize(list(videos.explode("qa").qa)).set_index("uid")
    assert set(answers) == set(table.index) == set(rows.index)
    table["right"] = (table.answer == pd.Series(answers)).astype(float)
    by_category = table.explode("question_type").groupby("question_type").right.mean()
    expected = {
        "Overall": table.right.mean(),
        **{lvbench.SHORT[name]: value for name, value in by_category.items()},
    }
    assert len(expected) == 7
    assert figures_of(run) == pytest.approx(expected)
    result = json.loads((tmp_path / "given" / "result.json").read_text())
    assert result == pytest.approx(expected)
    assert expected["Overall"] > 0.4
    first = rows.answer.str.extract(r"([A-F])", expand=False)
    assert np.mean([answers[uid] in (letter, "") for uid, letter in first.items()]) == 1

    other = tmp_path / "quarter"
    assert evaluated(retake, "lvbench", hours, other, "--keep-ratio=0.25").code == 0
    compared = retake("compare", run, other, "--by", "capability", "--json")
    assert compared.code == 0, compared.err
    assert [each["metrics"][0]["name"] for each in compared.data["runs"]] == ["Overall"] * 2
    shown = retake("report", run, other, "-o", tmp_path / "page.html")
    assert shown.code == 0, shown.err
    assert "temporal grounding" in (tmp_path / "page.html").read_text()
