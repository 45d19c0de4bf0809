"""Runs of the benchmark in `essays.py`, as `retake eval` would have left them."""

from pathlib import Path
from typing import Any

import attrs

from retake.evaluation.records import BenchmarkRecord, RunRecords
from tests.evaluation import made
from tests.evaluation.judging.essays import Essays

BENCHMARK = f"{Path(__file__).with_name('essays.py')}:Essays"


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
