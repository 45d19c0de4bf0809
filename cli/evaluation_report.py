"""What a run came to, as a person reads it, and as one JSON document."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import attrs
from rich.console import Console
from rich.table import Table
from rich.text import Text

from retake.evaluation.records import RunRecords

from . import scores, units
from .evaluation_progress import told
from .report import EMBEDDED, labelled

FORMAT = "retake.eval/1"
_FAILURES = 5  # shown one by one


def document(run: RunRecords, results: Mapping[str, Any]) -> dict[str, Any]:
    """All of it but the samples, which are in the run's folder, as plain data."""
    return {
        "format": FORMAT,
        "folder": str(run.folder),
        "complete": run.complete,
        "answered": len(run.samples),
        "failed": run.failed,
        "failures": [attrs.asdict(failure) for failure in run.failures],
        "metrics": results["metrics"],
        "summary": results["summary"],
        "run": attrs.asdict(run.header),
        "notes": list(run.notes),
    }


def show(run: RunRecords, results: Mapping[str, Any], console: Console) -> None:
    """Print the whole report."""
    found = results["summary"]
    if results["metrics"]:
        console.print(metrics_table(results["metrics"]))
        console.print()
    if found["overall"] is not None:
        console.print(_accuracies(found))
        console.print()
    console.print(labelled(_rows(run, found["costs"])))
    for warning in _warnings(run, results, found["costs"]):
        console.print(Text.assemble(("Warning  ", "bold yellow"), warning))
    if run.samples:
        console.print(f"\nSee it: retake report {run.folder}", soft_wrap=True)


def metrics_table(metrics: Sequence[Mapping[str, Any]]) -> Table:
    """The benchmark's own figures: shares in per cent, points as they are."""
    table = Table(box=None, padding=(0, 3, 0, 0), header_style="dim")
    table.add_column("Metric")
    table.add_column("Value [95 %]", justify="right", no_wrap=True)
    for each in metrics:
        table.add_row(each["name"], scores.figure(each))
    return table


def _accuracies(found: Mapping[str, Any]) -> Table:
    """Overall, then by everything that samples are broken down by."""
    table = Table(box=None, padding=(0, 3, 0, 0), header_style="dim")
    table.add_column("")
    for heading in ("Accuracy [95 %]", "Questions", "Videos", "Chance"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_row(Text("Overall", "bold"), *_cells(found["overall"], "bold"))
    for name, rows in {"kind": found["kinds"], **found["groups"]}.items():
        if len(rows) > 1:
            table.add_row(Text(scores.heading(name), "cyan"))
            for row in rows:
                table.add_row(f"  {scores.level(name, row)}", *_cells(row))
    return table


def _cells(score: Mapping[str, Any], style: str = "") -> Iterator[Text]:
    yield Text(scores.accuracy(score), style)
    yield Text(units.count(score["questions"]))
    yield Text(units.count(score["videos"]))
    yield Text(scores.share(score["chance"]), "dim")


def _rows(run: RunRecords, costs: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    header, config = run.header, run.header.config
    yield "Run", f"{run.folder} · {_progress(run)}"
    yield "Benchmark", _part({"name": header.benchmark.name, "options": header.benchmark.options})
    if header.limit is not None:
        yield "", f"only the first {units.count(header.limit)} questions"
    model = config["model"]
    yield "Model", EMBEDDED if model["path"] is None else model["path"]
    yield "", " · ".join((model["adapter"], model["dtype"], header.device))
    yield "Selector", _part(config["selector"])
    yield "Compressor", _part(config["compressor"])
    if run.samples:
        yield "Budget", _budget(config["prefill"], costs)
        yield "KV cache", _cache(costs)
        yield "Time", _time(run, costs)
        yield "Speed", _speed(costs)


def _progress(run: RunRecords) -> str:
    total = run.header.samples_total
    answered = f"{units.count(len(run.samples))} of {units.count(total)} questions answered"
    return f"{answered}, {units.count(run.failed)} failed" if run.failed else answered


def _part(part: Mapping[str, Any]) -> str:
    """A part with its options as a person writes them."""
    given = ", ".join(f"{key}={_value(value)}" for key, value in part["options"].items())
    return f"{part['name']} ({given})" if given else str(part["name"])


def _value(value: Any) -> str:
    if isinstance(value, Mapping) and {"name", "options"} <= value.keys():
        return _part(value)
    if isinstance(value, Sequence) and not isinstance(value, str):
        return f"[{', '.join(map(_value, value))}]"
    return f"{value:g}" if isinstance(value, float) else str(value) or "''"


def _budget(rules: Mapping[str, Any], costs: Mapping[str, Any]) -> str:
    held = f"{units.count(costs['cache_tokens']['max'])} tokens at most with the question"
    if rules["keep_ratio"] is not None:
        got = costs["achieved_ratio"]["mean"]
        return f"keep ratio {rules['keep_ratio']:g} asked, {got:.3g} achieved; {held}"
    if rules["budget"] is not None:
        return f"{units.count(rules['budget'])} tokens asked; {held}"
    return f"none; {held}"


def _cache(costs: Mapping[str, Any]) -> str:
    full, kept = (costs[name]["mean"] for name in ("kv_bytes_full", "kv_bytes"))
    share = units.percent(kept, full)
    return f"{units.memory(round(full))} → {units.memory(round(kept))} ({share}; means)"


def _time(run: RunRecords, costs: Mapping[str, Any]) -> str:
    spent = {name: each["total"] for name, each in costs["seconds"].items()}
    answering = spent.pop("answer", 0.0)
    # One encoding serves all questions about a video, and stands in the costs of each watch.
    each = ", each as if it decoded and encoded alone" if _anew(run) else ""
    return (
        f"{units.seconds(sum(spent.values()))} watching ({units.count(costs['watches'])} times"
        f"{each}), {units.seconds(answering)} answering"
    )


def _anew(run: RunRecords) -> bool:
    """Whether videos were watched anew for each question."""
    return any(video.question is not None for video in run.videos)


def _speed(costs: Mapping[str, Any]) -> str:
    first, further = costs["first_token_seconds"], costs["token_seconds"]
    tpot = f", {units.seconds(further['mean'])} a further token (TPOT)" if further else ""
    return f"{units.seconds(first['mean'])} from question to first token (TTFT){tpot} (means)"


def _unmarked(results: Mapping[str, Any]) -> str:
    """What became of answers without a score."""
    count, judged = results["summary"]["unmarked"], results["judged"]
    are = "1 answer has" if count == 1 else f"{units.count(count)} answers have"
    if judged:
        by = ", ".join(f"{units.count(each['answers'])} by {each['model']}" for each in judged)
        return f"{are} no score of their own: judged were {by}."
    nothing = results["parsed"]["nothing"]
    unread = f" Nothing could be read from {units.count(nothing)} of all." if nothing else ""
    return (
        f"{are} no score: what is right is hidden (`retake submission` writes what the "
        "benchmark's server takes), a judge must say (`retake judge`), or what could not be read "
        f"is left out.{unread}"
    )


def _warnings(
    run: RunRecords, results: Mapping[str, Any], costs: Mapping[str, Any]
) -> Iterator[str]:
    for failure in run.failures[:_FAILURES]:
        yield told(failure)
    if len(run.failures) > _FAILURES:
        yield f"{len(run.failures) - _FAILURES} more videos failed (failures.jsonl has them)."
    if run.failures:
        yield "--resume tries them again; the numbers above are without them."
    elif not run.complete:
        yield "The run is not complete; --resume goes on with it."
    if results["metrics_trouble"]:
        yield f"The benchmark's own figures: {results['metrics_trouble']}"
    if results["summary"]["unmarked"]:
        yield _unmarked(results)
    if costs["over_budget"]:
        yield (
            f"{units.count(costs['over_budget'])} questions did not fit in the budget; reserve "
            "more with --reserve."
        )
