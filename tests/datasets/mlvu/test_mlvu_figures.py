"""MLVU's figures recomputed with pandas, and its submissions."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import attrs
import numpy as np
import pandas as pd
import pytest

from retake.core.benchmark import Marked
from tests.datasets.mlvu.asking import answered, benchmark, rows_of


def frame_of(marked: Sequence[Marked], split: str = "dev") -> pd.DataFrame:
    """What was answered, read anew by pandas: a letter before a bracket, or alone.

    The script of the test split, whose prompt ends with "(", reads nothing behind another.
    """
    frame = pd.DataFrame([attrs.asdict(one) for one in marked])
    opened = r"\(?" if split == "dev" else ""
    before = frame.said.str.extract(rf"^{opened}([A-F])(?:\)|$)", expand=False)
    aspects = pd.json_normalize(list(frame.aspects))
    return frame.assign(correct=(before == frame.expected).astype(float)).join(aspects)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("split", ["dev", "test"])
def test_metrics_are_those_of_pandas(made: Callable[..., Path], split: str, seed: int) -> None:
    """M-Avg: the mean over tasks. G-Avg: the mean over both tasks of their two aspects' sum."""
    root = made() if split == "dev" else made(split="test", truth="yes")
    made_it = benchmark(root, split=split, tasks="all")
    marked = answered(made_it, made_it.samples(), seed)
    frame = frame_of(marked, split)
    choice = frame[~frame.kind.isin(["sub_scene", "summary"])]
    captions, summaries = frame[frame.kind == "sub_scene"], frame[frame.kind == "summary"]
    expected = {
        "M-Avg": choice.groupby("kind").correct.mean().mean(),
        "G-Avg": np.mean(
            [
                captions.accuracy.mean() + captions.relevance.mean(),
                summaries.completeness.mean() + summaries.reliability.mean(),
            ]
        ),
        "SSC": (captions.accuracy + captions.relevance).mean(),
        "VS": (summaries.completeness + summaries.reliability).mean(),
        "SSC accuracy": captions.accuracy.mean(),
        "SSC relevance": captions.relevance.mean(),
        "VS completeness": summaries.completeness.mean(),
        "VS reliability": summaries.reliability.mean(),
    }
    found = made_it.metrics(marked)
    assert list(found) == list(expected)
    assert found == pytest.approx(expected)


def test_the_leaderboards_own_arithmetic(made: Callable[..., Path]) -> None:
    """A published row: SSC 5.93 and VS 3.83 are G-Avg 4.88 (JUNJIE99/MLVU, issue 15)."""
    made_it = benchmark(made(), tasks="generation")
    scores = {"sub_scene": ("accuracy", 2.93, "relevance", 3.0)}
    scores["summary"] = ("completeness", 2.0, "reliability", 1.83)
    marked = []
    for one in answered(made_it, made_it.samples()):
        first, high, second, low = scores[one.kind]
        marked.append(attrs.evolve(one, aspects={first: high, second: low}))
    found = made_it.metrics(marked)
    assert (round(found["SSC"], 2), round(found["VS"], 2)) == (5.93, 3.83)
    assert round(found["G-Avg"], 2) == 4.88


def test_metrics_of_what_is_there(made: Callable[..., Path]) -> None:
    """No figure is made up for tasks that nobody answered or judged."""
    made_it = benchmark(made(), tasks="all")
    marked = answered(made_it, made_it.samples())
    assert list(made_it.metrics([one for one in marked if one.options])) == ["M-Avg"]
    captions = [one for one in marked if one.kind == "sub_scene"]
    assert list(made_it.metrics(captions)) == ["SSC", "SSC accuracy", "SSC relevance"]
    assert made_it.metrics([attrs.evolve(one, aspects={}) for one in captions]) == {}
    assert made_it.metrics([]) == {}


def test_the_scripts_other_average(made: Callable[..., Path]) -> None:
    """The scripts print "Avg" over questions; the papers report the mean over tasks."""
    made_it = benchmark(made(), average="questions")
    marked = answered(made_it, made_it.samples())
    assert made_it.metrics(marked)["M-Avg"] == pytest.approx(frame_of(marked).correct.mean())


def test_a_submission_to_the_test_server(made: Callable[..., Path]) -> None:
    """The three fields of the official test_res.json, in its names; "" where none was read."""
    made_it = benchmark(made(split="test"), split="test")
    samples = made_it.samples()
    marked = answered(made_it, samples)
    files = made_it.submission(marked)
    assert list(files) == ["test_res.json"]
    written = pd.DataFrame(json.loads(files["test_res.json"]))
    asked = pd.DataFrame(rows_of(made(split="test"), "test_multi_choice_tasks.json"))
    assert list(written) == ["question_id", "question_type", "option"]
    both = written.merge(asked, on="question_id", suffixes=("", "_asked"), validate="1:1")
    assert len(both) == len(asked) == len(samples)
    assert (both.question_type == both.question_type_asked).all()
    assert list(written.option) == [one.parsed or "" for one in marked]
    assert {"", "needleQA"} <= {*written.option, *written.question_type}


def test_what_was_written_for_the_judges_scripts(made: Callable[..., Path]) -> None:
    """The four fields that the official scripts read, with the question as it is published."""
    made_it = benchmark(made(), tasks="all")
    marked = answered(made_it, made_it.samples())
    files = made_it.submission(marked)
    assert sorted(files) == ["subplot_all.json", "summary_all.json"]
    for name, source in (("subplot", "8_sub_scene"), ("summary", "9_summary")):
        rows = rows_of(made(), f"MLVU/json/{source}.json")
        said = {one.id: one.said for one in marked}
        assert json.loads(files[f"{name}_all.json"]) == [
            {
                "video_name": row["video"],
                "Q": row["question"],
                "A": row["answer"],
                "pred": said[f"{source}/{number}"],
            }
            for number, row in enumerate(rows)
        ]


def test_choices_of_the_dev_split_go_nowhere(made: Callable[..., Path]) -> None:
    made_it = benchmark(made())
    assert made_it.submission(answered(made_it, made_it.samples())) == {}
