"""The part of a report that compares runs question by question."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from retake.evaluation.report.document import Cell, Folded, Note, Section, Table, section
from retake.evaluation.report.wording import MISSING, fixed, percent, words


def differences(compared: Mapping[str, Any] | None, names: Mapping[str, str]) -> Iterator[Section]:
    """Every run against the baseline; nothing where runs were not compared.

    Args:
        compared: as `retake.evaluation.compare` has it.
        names: what to call each run, by its name there.
    """
    if compared is None:
        return
    baseline = names.get(compared["baseline"], compared["baseline"])
    pairs = [(names.get(pair["run"], pair["run"]), pair) for pair in compared["pairs"]]
    caption = (
        f"Each run against {baseline}, on the questions that both answered. A difference is in "
        "percentage points, with its 95 % interval; p is how often one as large comes by chance, "
        "corrected for as many comparisons."
    )
    table = Table(
        caption,
        ("Run", "Difference", "95 % interval", "Accuracy", "Baseline", "Better", "Worse",
         "Questions", "p, corrected", "p", "McNemar's p"),
        tuple(_row(name, pair["overall"]) for name, pair in pairs),
    )  # fmt: skip
    kinds = list(dict.fromkeys(row["kind"] for _, pair in pairs for row in pair["kinds"]))
    yield from section(
        "differences",
        "Differences",
        Note(f"Paired, question by question. The baseline is {baseline}."),
        table,
        Folded("By kind of question", (_by_kind(pairs, kinds),)) if len(kinds) > 1 else None,
    )


def _row(name: str, found: Mapping[str, Any]) -> tuple[Cell, ...]:
    sure = found["low"] > 0 or found["high"] < 0
    return (
        Cell(name),
        Cell(points(found["difference"]), strong=sure),
        Cell(f"{points(found['low'])} … {points(found['high'])}"),
        Cell(percent(found["accuracy"])),
        Cell(percent(found["baseline_accuracy"])),
        Cell(f"{found['better']:,}"),
        Cell(f"{found['worse']:,}"),
        Cell(f"{found['questions']:,}"),
        Cell(chance_text(found["p_corrected"])),
        Cell(chance_text(found["p"])),
        Cell(chance_text(found["p_mcnemar"])),
    )


def _by_kind(pairs: Sequence[tuple[str, Mapping[str, Any]]], kinds: Sequence[str]) -> Table:
    rows = []
    for name, pair in pairs:
        found = {row["kind"]: row for row in pair["kinds"]}
        rows.append((Cell(name), *(_difference(found.get(kind)) for kind in kinds)))
    caption = "Differences in percentage points, with 95 % intervals; bold: the interval is off 0."
    return Table(caption, ("Run", *map(words, kinds)), tuple(rows))


def _difference(found: Mapping[str, Any] | None) -> Cell:
    if found is None:
        return Cell(MISSING)
    sure = found["low"] > 0 or found["high"] < 0
    between = f"{points(found['low'])} … {points(found['high'])}"
    return Cell(points(found["difference"]), between, sure)


def points(difference: float) -> str:
    """A difference of accuracies in percentage points, with its sign."""
    rounded = round(100 * difference, 1)
    return f"{rounded:+.1f}".replace("-", "−") if rounded else "0.0"


def chance_text(p: float | None) -> str:
    """A p value: "0.032", "<0.001"."""
    if p is None:
        return MISSING
    return "<0.001" if p < 0.001 else fixed(p)
