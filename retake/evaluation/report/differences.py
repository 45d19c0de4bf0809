"""The part of a report that compares runs question by question."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from retake.evaluation.report.document import Cell, Folded, Section, Table, section
from retake.evaluation.report.scales import share_text
from retake.evaluation.report.views import RunView, ratios, reference
from retake.evaluation.report.wording import MISSING, fixed, percent, words
from retake.evaluation.statistics import SIGNIFICANT

Pair = Mapping[str, Any]

_BOLD = (
    f"Bold: p, corrected for as many comparisons as are made, is below {SIGNIFICANT:g}; the "
    "intervals are not corrected."
)


def differences(
    views: Sequence[RunView], order: Sequence[str], compared: Mapping[str, Any] | None
) -> Iterator[Section]:
    """Every run against the baseline; nothing where runs were not compared.

    Args:
        views: the runs.
        order: of their methods.
        compared: as `retake.evaluation.compare` has it.
    """
    if compared is None:
        return
    pairs = _by_view(views, compared)
    rows = sorted(
        (each for each in views if id(each) in pairs),
        key=lambda each: (order.index(each.method), -(each.ratio or 0)),
    )
    baseline = _called(views, compared)
    about = (
        f"Each run against {baseline}, on the questions that both answered, in percentage points "
        f"with 95 % intervals. {_BOLD}"
    )
    same = _of_baseline(views, compared)
    matrix = _matrix(about, rows, order, pairs, same) if len(ratios(rows)) > 1 else None
    details = _details(baseline, [(_title(each, rows), pairs[id(each)]) for each in rows])
    kinds = _by_kind(rows, pairs)
    yield from section(
        "differences",
        f"Differences from {baseline}",
        matrix,
        Folded("Every comparison", (details,)) if matrix is not None else details,
        Folded("By kind of question", (kinds,)) if kinds is not None else None,
    )


def _by_view(views: Sequence[RunView], compared: Mapping[str, Any]) -> dict[int, Pair]:
    """Each run's comparison, by the identity of its view; cells may share a run."""
    names = {run["folder"]: run["name"] for run in compared["runs"]}
    pairs = {pair["run"]: pair for pair in compared["pairs"]}
    found = {}
    for each in views:
        name = names.get(str(each.records.folder)) if each.records is not None else None
        if name in pairs:
            found[id(each)] = pairs[name]
    return found


def _of_baseline(views: Sequence[RunView], compared: Mapping[str, Any]) -> list[RunView]:
    """The views of the baseline's run: its own first, then cells that share it."""
    folders = {run["name"]: run["folder"] for run in compared["runs"]}
    folder = folders[compared["baseline"]]
    return [each for each in views if each.records and str(each.records.folder) == folder]


def _called(views: Sequence[RunView], compared: Mapping[str, Any]) -> str:
    """What the page calls the baseline."""
    standard = reference(views)
    runs = sorted(_of_baseline(views, compared), key=lambda each: each.method != standard)
    return _title(runs[0], views) if runs else str(compared["baseline"])


def _title(view: RunView, among: Sequence[RunView]) -> str:
    """A run by its method, and by what it keeps where that is needed."""
    alone = [each.method for each in among].count(view.method) == 1
    return view.method if alone else f"{view.method}, keeping {view.ratio_text}"


def _matrix(
    caption: str,
    rows: Sequence[RunView],
    order: Sequence[str],
    pairs: Mapping[int, Pair],
    same: Sequence[RunView],
) -> Table:
    """Methods down, shares kept across; cells that share the baseline's run say so."""
    found = {(each.method, each.ratio): pairs[id(each)]["overall"] for each in rows}
    shared = {(each.method, each.ratio): Cell("0.0", "the same run") for each in same}
    columns = ratios(rows)
    methods = [method for method in order if any(method == each for each, _ in found)]
    made = tuple(
        (
            Cell(method),
            *(shared.get((method, r)) or _difference(found.get((method, r))) for r in columns),
        )
        for method in methods
    )
    return Table(caption, ("Method", *(f"keeps {share_text(r)}" for r in columns)), made)


def _details(baseline: str, pairs: Sequence[tuple[str, Pair]]) -> Table:
    caption = (
        f"Paired with {baseline}, question by question, with 95 % intervals; p is how often a "
        f"difference as large comes by chance. {_BOLD}"
    )
    columns = (
        "Run", "Difference", "95 % interval", "Accuracy", "Baseline", "Better", "Worse",
        "Questions", "p, corrected", "p", "McNemar's p",
    )  # fmt: skip
    return Table(caption, columns, tuple(_row(name, pair["overall"]) for name, pair in pairs))


def _row(name: str, found: Mapping[str, Any]) -> tuple[Cell, ...]:
    return (
        Cell(name),
        Cell(points(found["difference"]), strong=_sure(found)),
        Cell(_between(found)),
        Cell(percent(found["accuracy"])),
        Cell(percent(found["baseline_accuracy"])),
        Cell(f"{found['better']:,}"),
        Cell(f"{found['worse']:,}"),
        Cell(f"{found['questions']:,}"),
        Cell(chance_text(found["p_corrected"])),
        Cell(chance_text(found["p"])),
        Cell(chance_text(found["p_mcnemar"])),
    )


def _by_kind(rows: Sequence[RunView], pairs: Mapping[int, Pair]) -> Table | None:
    kinds = list(dict.fromkeys(row["kind"] for each in rows for row in pairs[id(each)]["kinds"]))
    if len(kinds) < 2:
        return None
    made = []
    for each in rows:
        found = {row["kind"]: row for row in pairs[id(each)]["kinds"]}
        made.append((Cell(_title(each, rows)), *(_difference(found.get(kind)) for kind in kinds)))
    caption = f"Percentage points, with 95 % intervals. {_BOLD}"
    return Table(caption, ("Run", *map(words, kinds)), tuple(made))


def _difference(found: Mapping[str, Any] | None) -> Cell:
    if found is None:
        return Cell(MISSING)
    return Cell(points(found["difference"]), _between(found), _sure(found))


def _sure(found: Mapping[str, Any]) -> bool:
    """Whether `retake compare` would star it: an interval off 0 may be, of several, by chance."""
    return bool(found["p_corrected"] < SIGNIFICANT)


def _between(found: Mapping[str, Any]) -> str:
    return f"{points(found['low'])} … {points(found['high'])}"


def points(difference: float) -> str:
    """A difference of accuracies in percentage points, with its sign."""
    rounded = round(100 * difference, 1)
    return f"{rounded:+.1f}".replace("-", "−") if rounded else "0.0"


def chance_text(p: float | None) -> str:
    """A p value: "0.032", "<0.001"."""
    if p is None:
        return MISSING
    return "<0.001" if p < 0.001 else fixed(p)
