"""A sweep as a person reads it: methods by keep ratios, overall and for each length."""

from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from retake.evaluation.sweep_folder import SweepRecords, document

from . import scores, units
from .report import labelled

_SHARED = " ="


def show(sweep: SweepRecords, console: Console) -> None:
    """Print the whole report."""
    found = document(sweep)
    cells = found["cells"]
    console.print(labelled(_facts(sweep, found)))
    console.print()
    console.print(_table("All", cells, lambda summary: summary["overall"]))
    lengths = {
        scores.level("seconds", row): row["seconds"]
        for cell in cells
        for row in _rows(cell["summary"])
    }
    for label, seconds in sorted(lengths.items(), key=lambda each: each[1]):
        if len(lengths) > 1:
            console.print()
            console.print(_table(f"Length {label}", cells, _at(seconds)))
    for note in _notes(cells):
        console.print(Text.assemble(("Note  ", "bold yellow"), note))
    console.print(f"\nSee it: retake report {sweep.folder}", soft_wrap=True)


def _facts(sweep: SweepRecords, found: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    cells, total = found["cells"], found["samples_total"]
    runs = {cell["folder"]: cell for cell in cells}.values()
    answered = sum(cell["answered"] for cell in runs)
    yield "Sweep", str(sweep.folder)
    yield (
        "",
        f"{units.count(len(cells))} cells in {units.count(len(runs))} runs · "
        f"{units.count(answered)} of {units.count(total * len(runs))} answers",
    )
    yield "Benchmark", f"{found['benchmark']['name']}, {units.count(total)} questions"
    chances = [cell["summary"]["overall"]["chance"] for cell in runs if _begun(cell)]
    if chances:
        yield "Chance", scores.share(chances[0])


def _table(title: str, cells: list[dict[str, Any]], score_of: Any) -> Table:
    """Methods in rows, limits in columns."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column(title)
    limits = list(dict.fromkeys(_limit(cell) for cell in cells))
    for limit in limits:
        table.add_column(limit, justify="right", no_wrap=True)
    several = len({cell["positions"] for cell in cells}) > 1
    rows: dict[str, dict[str, dict[str, Any]]] = {}
    for cell in cells:
        label = f"{cell['method']} · {cell['positions']}" if several else cell["method"]
        rows.setdefault(label, {})[_limit(cell)] = cell
    for label, row in rows.items():
        table.add_row(label, *(_cell(row.get(limit), score_of) for limit in limits))
    return table


def _limit(cell: Mapping[str, Any]) -> str:
    if cell["keep_ratio"] is not None:
        return f"keep {cell['keep_ratio']:g}"
    return "accuracy" if cell["budget"] is None else f"{units.count(cell['budget'])} tokens"


def _cell(cell: Mapping[str, Any] | None, score_of: Any) -> Text:
    if cell is None:
        return Text("")
    if not _begun(cell):
        return Text("failed" if cell["failure"] else "–", "red" if cell["failure"] else "dim")
    score = score_of(cell["summary"])
    text = scores.accuracy(score)
    if cell["same_as"] is not None:
        return Text(f"{text}{_SHARED}", "dim")
    return Text(f"{text} *" if cell["failure"] else text)


def _at(seconds: float) -> Any:
    def score(summary: Mapping[str, Any]) -> Any:
        rows = summary["groups"].get("seconds", [])
        return next((row for row in rows if row["seconds"] == seconds), None)

    return score


def _rows(summary: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    return summary["groups"].get("seconds", []) if summary else []


def _begun(cell: Mapping[str, Any]) -> bool:
    return cell["summary"] is not None and cell["summary"]["overall"] is not None


def _notes(cells: list[dict[str, Any]]) -> Iterator[str]:
    shared = [cell for cell in cells if cell["same_as"] is not None]
    if shared:
        reasons = dict.fromkeys(cell["note"] for cell in shared)
        yield f"= is the run of another cell: {'; '.join(reasons)}."
    for cell in cells:
        if cell["failure"] and cell["same_as"] is None:
            yield f"{cell['name']} was given up: {cell['failure']}"
        if cell["failed"] and cell["same_as"] is None:
            yield f"{cell['name']}: {units.count(cell['failed'])} questions could not be answered."
    if any(cell["failure"] or cell["failed"] for cell in cells):
        yield "--resume tries what failed again."
