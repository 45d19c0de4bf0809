"""A comparison as a person reads it: all runs side by side, then by kind and length."""

from collections.abc import Iterator, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from retake.core.errors import unknown_name

from . import scores, units
from .report import labelled

_DEFAULT = ("kind", "seconds")
_FEW = 6  # videos with which signs alone can say anything: 2 / 2^6 is below 0.05
_COSTS = (("kv_bytes", "KV cache"), ("prefill_seconds", "Prefill"), ("answer_seconds", "Answer"))


def groups_of(compared: dict[str, Any], wanted: Sequence[str]) -> list[str]:
    """What differences are broken down by.

    Raises:
        UsageError: a group was asked for that no sample is in.
    """
    there = ["kind", *dict.fromkeys(name for pair in compared["pairs"] for name in pair["groups"])]
    for name in wanted:
        if name not in there:
            raise unknown_name("group", name, there)
    return list(wanted) or [name for name in _DEFAULT if name in there]


def show(compared: dict[str, Any], groups: Sequence[str], console: Console) -> None:
    """Print the whole comparison."""
    console.print(labelled(_facts(compared)))
    console.print()
    console.print(_side_by_side(compared["pairs"]))
    if any(run["metrics"] for run in compared["runs"]):
        console.print()
        console.print(_metrics(compared["runs"]))
    for name in groups:
        if any(len(rows_of(pair, name)) > 1 for pair in compared["pairs"]):
            console.print()
            console.print(_broken_down(compared["pairs"], name))
    if any(row["p_corrected"] < scores.SIGNIFICANT for row in _shown_rows(compared, groups)):
        console.print("\n* chance alone would show as much in fewer than one of 20 such tables")
    for note in _notes(compared["pairs"]):
        console.print(Text.assemble(("Note  ", "bold yellow"), note))


def rows_of(pair: dict[str, Any], name: str) -> list[dict[str, Any]]:
    """The rows of one breakdown."""
    rows: list[dict[str, Any]] = pair["kinds"] if name == "kind" else pair["groups"].get(name, [])
    return rows


def _shown_rows(compared: dict[str, Any], groups: Sequence[str]) -> Iterator[dict[str, Any]]:
    for pair in compared["pairs"]:
        yield pair["overall"]
        for name in groups:
            yield from rows_of(pair, name)


def _facts(compared: dict[str, Any]) -> Iterator[tuple[str, str]]:
    baseline = next(run for run in compared["runs"] if run["name"] == compared["baseline"])
    yield "Benchmark", compared["benchmark"]["name"]
    yield "Baseline", baseline["name"]
    overall = baseline["summary"]["overall"]
    yield (
        "",
        f"{scores.accuracy(overall)} of {units.count(overall['questions'])} questions about "
        f"{units.count(overall['videos'])} videos · chance {scores.share(overall['chance'])}",
    )


def _metrics(runs: Sequence[dict[str, Any]]) -> Table:
    """The benchmark's own figures, runs across; a run that has more by now has none."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("Metric")
    for run in runs:
        table.add_column(run["name"], justify="right")
    found = [{metric["name"]: metric for metric in run["metrics"]} for run in runs]
    for name in dict.fromkeys(name for metrics in found for name in metrics):
        held = (metrics.get(name) for metrics in found)
        table.add_row(name, *("–" if metric is None else scores.figure(metric) for metric in held))
    return table


def _side_by_side(pairs: Sequence[dict[str, Any]]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("Run")
    for heading in ("Common", "Accuracy", "Difference", "p (Holm)", "Better", "Worse"):
        table.add_column(heading, justify="right", no_wrap=True)
    costs = [
        (name, label) for name, label in _COSTS if any(name in pair["costs"] for pair in pairs)
    ]
    for _, label in costs:
        table.add_column(label, justify="right", no_wrap=True)
    for pair in pairs:
        whole = pair["overall"]
        table.add_row(
            pair["run"],
            units.count(pair["common"]),
            scores.share(whole["accuracy"]),
            scores.points(whole),
            scores.probability(whole["p_corrected"]),
            str(whole["better"]),
            str(whole["worse"]),
            *(scores.times(pair["costs"].get(name, {}).get("ratio")) for name, _ in costs),
        )
    return table


def _broken_down(pairs: Sequence[dict[str, Any]], name: str) -> Table:
    """Differences of every run, a row a value of the group."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column(scores.heading(name))
    for pair in pairs:
        table.add_column(pair["run"], justify="right", no_wrap=True)
    found = [{scores.level(name, row): row for row in rows_of(pair, name)} for pair in pairs]
    for label in dict.fromkeys(label for rows in found for label in rows):
        cells = (scores.points(rows[label]) if label in rows else "–" for rows in found)
        table.add_row(label, *cells)
    return table


def _notes(pairs: Sequence[dict[str, Any]]) -> Iterator[str]:
    """What to know before trusting the numbers."""
    for pair in pairs:
        for side in ("run", "baseline"):
            if pair[f"only_{side}"]:
                yield (
                    f"{pair[f'only_{side}']} samples are only in {pair[side]}, and left out of its "
                    f"comparison with {pair['run' if side == 'baseline' else 'baseline']}."
                )
        if pair["unmarked"]:
            yield (
                f"{pair['unmarked']} samples that {pair['baseline']} and {pair['run']} share have "
                "no score in both, and are left out."
            )
        if pair["benchmark"]:
            options = "; ".join(
                f"{path}: {one!r} and {other!r}" for path, (one, other) in pair["benchmark"].items()
            )
            yield f"{pair['baseline']} and {pair['run']} differ in the benchmark's {options}."
        if pair["code"]:
            files = ", ".join(pair["code"])
            yield f"{pair['baseline']} and {pair['run']} were run with different code in {files}."
    fewest = min(pair["overall"]["videos"] for pair in pairs)
    if fewest < _FEW:
        yield (
            f"With {fewest} video{'s' if fewest != 1 else ''} no difference can be told from "
            f"chance; it takes {_FEW}."
        )
