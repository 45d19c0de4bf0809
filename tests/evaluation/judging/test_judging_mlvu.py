"""MLVU's writing tasks from their answers to G-Avg: what its rubrics ask, and what comes of it."""

from collections.abc import Callable
from pathlib import Path

import attrs
import pytest

from retake.datasets.mlvu.benchmark import MLVU
from retake.evaluation.judging.judging import Asked, judge_run
from retake.evaluation.judging.records import Judge
from retake.evaluation.records import BenchmarkRecord, RunRecords, read_run
from retake.evaluation.remaking import benchmark_of
from retake.evaluation.results import write_results
from tests.evaluation import made
from tests.evaluation.judging.server import Answered, Request, Server, says
from tests.miniatures import mlvu

pytestmark = pytest.mark.usefixtures("key")


def written(root: Path, folder: Path) -> Path:
    """A run of MLVU's dev split whose every answer is "A star."."""
    benchmark = MLVU(root=str(root), tasks="all")
    samples = benchmark.samples()
    header = {
        "benchmark": BenchmarkRecord("mlvu", attrs.asdict(benchmark)),
        "samples_total": len(samples),
    }
    plan = made.run("run", lambda number: 0.0, count=len(samples), header=header)
    records = [
        attrs.evolve(
            made.sample(number, 1.0),
            id=sample.id,
            kind=sample.kind,
            video=str(sample.video),
            question=sample.question,
            options=sample.options,
            expected=sample.answer,
            answer="A star.",
            score=benchmark.mark(sample, "A star."),
            groups={},
        )
        for number, sample in enumerate(samples)
    ]
    return made.write(RunRecords(plan.folder, plan.header, plan.videos, tuple(records)), folder)


def script(request: Request) -> Answered:
    """As gpt-4-turbo replies: thinking aloud, then a dict as Python writes it."""
    rubric = request.body["messages"][0]["content"]
    # The first of each kind gets the best marks, the others less.
    best = request.number in (1, 2)
    if "score_completeness" in rubric:
        first, second = (5, 5) if best else (2, 3)
        names = ("score_completeness", "score_reliability")
    else:
        first, second = (4, 5) if best else (1, 2)
        names = ("score_accuracy", "score_relevance")
    return says(
        f"The respondent {{mostly}} fails.\n```json\n{{'{names[0]}': {first}, "
        f"'{names[1]}': {second}, 'total_score': {first + second}}}\n```"
    )


def test_from_answers_to_g_avg(
    tmp_path: Path, serve: Callable[..., Server], quickly: Callable[..., Asked]
) -> None:
    """G-Avg is the mean over both tasks of the mean sum of two aspects, as MLVU defines it."""
    mlvu.make(tmp_path / "MLVU")
    folder = written(tmp_path / "MLVU", tmp_path / "run")
    run = read_run(folder)
    benchmark = benchmark_of(run)
    asked = quickly(serve(script))
    found = judge_run(run, benchmark, Judge("gpt-4-turbo"), asked)
    kinds = {sample.id: sample.kind for sample in run.samples}
    by_kind: dict[str, list[float]] = {}
    for name, judgement in found.judgements.items():
        by_kind.setdefault(kinds[name], []).append(sum(judgement.aspects.values()))
    assert {kind: len(sums) for kind, sums in by_kind.items()} == {"sub_scene": 2, "summary": 2}
    means = [sum(sums) / len(sums) for sums in by_kind.values()]
    metrics = {each["name"]: each["value"] for each in write_results(run, benchmark)["metrics"]}
    assert metrics["G-Avg"] == pytest.approx(sum(means) / 2)
    assert "M-Avg" in metrics
    assert len({each.rubric_sha256 for each in found.judgements.values()}) == 2
    assert found.failures == {}
