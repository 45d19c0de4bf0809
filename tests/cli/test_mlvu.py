"""MLVU in miniature, as a user runs it, from download to page.

What verifies, answers, judges and submits are processes; pages and comparisons are made here.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from tests.cli.conftest import Run
from tests.cli.evaluations import lines
from tests.cli.published import answers_of, evaluated, figures_of
from tests.evaluation.judging.server import Answered, Request, Server, says
from tests.miniatures import mlvu


@pytest.fixture(scope="module")
def dev(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MLVU's dev split in miniature; do not change it."""
    folder = tmp_path_factory.mktemp("mlvu")
    mlvu.make(folder)
    return folder


@pytest.fixture
def judging(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Server]:
    """A judge that gives four and three for captions, five and two for summaries."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-0123")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    server = Server(_replies)
    yield server
    server.close()


def _replies(request: Request) -> Answered:
    if "##COMPLETENESS" in request.body["messages"][0]["content"]:
        return says("Fair. {'score_completeness': 5, 'score_reliability': 2, 'total_score': 7}")
    return says('```json\n{"score_accuracy": 4, "score_relevance": 3, "total_score": 7}\n```')


def letters_in(answers: "pd.Series[str]") -> "pd.Series[str]":
    """Read here: all of these rules read a letter that stands alone or before a bracket."""
    return answers.str.extract(r"^\s*\(?([A-F])(?:\)|\s*$)", expand=False)


def test_mlvu(process: Run, retake: Run, dev: Path, tmp_path: Path) -> None:
    """Verified, chosen from, compared with a quarter of the cache, shown."""
    verified = process("data", "verify", "mlvu", "--root", dev, "--json")
    assert verified.code == 0, verified.err
    run = tmp_path / "whole"
    made = evaluated(process, "mlvu", dev, run, "--json")
    assert made.code == 0, made.err

    rows = answers_of(run)
    truth = {
        f"{file}/{number}": "ABCD"[row["candidates"].index(row["answer"])]
        for file in mlvu.DEV
        for number, row in enumerate(json.loads((dev / f"MLVU/json/{file}.json").read_text()))
        if "candidates" in row
    }
    assert rows.expected.to_dict() == truth
    right = (letters_in(rows.answer) == rows.expected).astype(float)
    assert figures_of(run) == pytest.approx({"M-Avg": right.groupby(rows.kind).mean().mean()})
    # The shipped model knows these scenes: what it sees must reach it through all of this.
    assert right.mean() > 0.4
    assert all(question.endswith("\nBest Option: (") for question in rows.prompt)

    refused = retake("submission", run)
    assert (refused.code, "takes no submissions" in refused.err) == (2, True)
    other = tmp_path / "quarter"
    assert evaluated(retake, "mlvu", dev, other, "--keep-ratio=0.25").code == 0
    compared = retake("compare", run, other, "--json")
    assert compared.code == 0, compared.err
    assert [each["metrics"][0]["name"] for each in compared.data["runs"]] == ["M-Avg"] * 2
    shown = retake("report", run, other, "-o", tmp_path / "page.html")
    assert shown.code == 0, shown.err
    assert "topic_reasoning" in (tmp_path / "page.html").read_text()


def test_mlvu_written_and_judged(
    process: Run, retake: Run, dev: Path, judging: Server, tmp_path: Path
) -> None:
    """Captions and summaries: no score before the judge, G-Avg after it, files for the scripts."""
    run = tmp_path / "run"
    made = evaluated(retake, "mlvu", dev, run, "tasks=generation", "--max-new-tokens=6")
    assert made.code == 0, made.err
    rows = answers_of(run)
    assert list(rows.score.isna()) == [True] * 4
    assert figures_of(run) == {}
    judged = process("judge", run, "--model", "judge", "--base-url", judging.url)
    assert judged.code == 0, judged.err
    assert figures_of(run) == {
        "G-Avg": 7,
        "SSC": 7,
        "VS": 7,
        "SSC accuracy": 4,
        "SSC relevance": 3,
        "VS completeness": 5,
        "VS reliability": 2,
    }
    asked = [request.text for request in judging.requests]
    assert len(asked) == 4
    for said in rows.answer:
        assert any(f"Respondent's Answer: {said}\n" in text for text in asked)
    written = process("submission", run, "-o", tmp_path / "given")
    assert written.code == 0, written.err
    given = json.loads((tmp_path / "given" / "subplot_all.json").read_text())
    published = json.loads((dev / "MLVU/json/8_sub_scene.json").read_text())
    assert [(one["Q"], one["A"]) for one in given] == [
        (one["question"], one["answer"]) for one in published
    ]


def test_mlvu_with_hidden_answers(retake: Run, tmp_path: Path) -> None:
    """The test split: six options, no scores, and the file that the server takes."""
    root, run = tmp_path / "root", tmp_path / "run"
    mlvu.make(root, split="test")
    words = ("split=test", "extraction=lenient")
    made = evaluated(retake, "mlvu", root, run, *words)
    assert made.code == 0, made.err
    rows = answers_of(run)
    assert rows.score.isna().all()
    assert figures_of(run) == {}
    assert any("\n(F) " in question for question in rows.prompt)
    written = retake("submission", run)
    assert written.code == 0, written.err
    given = pd.DataFrame(json.loads((run / "test_res.json").read_text())).set_index("question_id")
    asked = pd.DataFrame(json.loads((root / "test_multi_choice_tasks.json").read_text()))
    asked = asked.set_index("question_id")
    assert set(given.index) == set(asked.index)
    assert given.question_type.to_dict() == asked.question_type.to_dict()
    assert given.option.to_dict() == rows.parsed.fillna("").to_dict()
    assert given.option.isin(list("ABCDEF")).mean() > 0.5
    shown = retake("report", run)
    assert shown.code == 0, shown.err


def test_a_missing_video_fails_its_questions_only(retake: Run, tmp_path: Path) -> None:
    """Told beforehand by verify; the rest is answered, and another run asks only for it."""
    root, run = tmp_path / "root", tmp_path / "run"
    mlvu.make(root, layout="hub")
    (root / "needle_32.mp4").rename(tmp_path / "away.mp4")
    verified = retake("data", "verify", "mlvu", "--root", root, "--json")
    assert verified.code == 1
    assert "needle_32.mp4" in verified.out
    assert evaluated(retake, "mlvu", root, run, "--json").code == 1
    assert len(lines(run / "samples.jsonl")) == 12
    [failure] = lines(run / "failures.jsonl")
    assert (Path(failure["video"]).name, failure["samples"]) == (
        "needle_32.mp4",
        ["needle/0", "needle/1"],
    )
    (tmp_path / "away.mp4").rename(root / "mlvu" / "needle_32.mp4")
    again = evaluated(retake, "mlvu", root, run, "--resume")
    assert re.search(r"M-Avg|complete", again.out), again.err
