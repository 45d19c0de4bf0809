"""LongVideoBench in miniature, as a user runs it; what answers and submits are processes."""

import json
import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.cli.conftest import Run
from tests.cli.evaluations import lines
from tests.cli.published import accuracies, answers_of, evaluated, figures_of, with_letters
from tests.miniatures import longvideobench


@pytest.fixture(scope="module")
def lvb(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """LongVideoBench in miniature, its videos one tar in parts; do not change it."""
    folder = tmp_path_factory.mktemp("longvideobench")
    longvideobench.make(folder)
    return folder


def test_longvideobench(process: Run, retake: Run, lvb: Path, tmp_path: Path) -> None:
    """The validation split with interleaved subtitles, out of a tar archive in parts."""
    verified = process("data", "verify", "longvideobench", "--root", lvb, "--json")
    assert verified.code == 0, verified.err
    run = tmp_path / "run"
    made = evaluated(process, "longvideobench", lvb, run, "subtitles=interleaved", "--json")
    assert made.code == 0, made.err
    table = pd.read_json(lvb / longvideobench.VAL).set_index("id")
    rows = with_letters(answers_of(run))
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
    refused = retake("submission", run)
    assert (refused.code, "takes no submissions" in refused.err) == (2, True)


def test_longvideobench_with_hidden_answers(
    process: Run, retake: Run, lvb: Path, tmp_path: Path
) -> None:
    """The test split: no scores, and a file of what was said."""
    run = tmp_path / "run"
    made = evaluated(retake, "longvideobench", lvb, run, "split=test")
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
