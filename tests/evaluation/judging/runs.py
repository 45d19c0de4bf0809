"""Runs of the benchmark in `essays.py`, as `retake eval` would have left them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs

from retake.evaluation.judging.judging import Asked, Judged, judge_run
from retake.evaluation.judging.records import Judge
from retake.evaluation.records import BenchmarkRecord, RunRecords, read_run
from tests.evaluation import made
from tests.evaluation.judging.essays import Essays
from tests.evaluation.judging.server import Server

BENCHMARK = f"{Path(__file__).with_name('essays.py')}:Essays"

JUDGE = Judge("judge")
#: The samples of `essays_run` that are for a judge.
ESSAYS = ["q000", "q001", "q002", "q004", "q005", "q006", "q008", "q009", "q010"]

Serve = Callable[..., Server]
Quickly = Callable[..., Asked]


def judged(folder: Path, asked: Asked, benchmark: Essays | None = None, **more: Any) -> Judged:
    """Judge a run."""
    judge = more.pop("judge", JUDGE)
    return judge_run(read_run(folder), benchmark or Essays(), judge, asked, **more)


def essays_run(
    folder: Path, *, count: int = 12, answered: int | None = None, **options: Any
) -> Path:
    """A run's folder: of every four samples three are essays.

    Args:
        folder: where; it is made.
        count: samples of the benchmark.
        answered: the first so many; None: all.
        options: others of the benchmark.
    """
    benchmark = Essays(count=count, **options)
    header = {
        "benchmark": BenchmarkRecord(BENCHMARK, attrs.asdict(benchmark)),
        "samples_total": count,
    }
    plan = made.run(folder.name, lambda number: 0.0, count=count, header=header)
    records = [
        attrs.evolve(
            made.sample(number, 1.0),
            id=sample.id,
            kind=sample.kind,
            video=str(sample.video),
            question=sample.question,
            options=sample.options,
            expected=sample.answer,
            answer=said(sample.id) if sample.kind == "essay" else "red",
            score=benchmark.mark(sample, "red"),
            chance=sample.chance,
            groups={},
        )
        for number, sample in enumerate(benchmark.samples())
    ]
    run = RunRecords(plan.folder, plan.header, plan.videos, tuple(records[:answered]))
    return made.write(run, folder)


def said(sample: str) -> str:
    """What the model answered."""
    return f"In {sample} a woman writes."
