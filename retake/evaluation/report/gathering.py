"""From folders to what a report shows of them: a run, a sweep, or several of either."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import attrs

from retake.core.errors import UsageError
from retake.evaluation import compare
from retake.evaluation.given import check_given
from retake.evaluation.records import RunRecords, read_run
from retake.evaluation.report.naming import method_names
from retake.evaluation.report.views import RunView, measured_ratio, reference, view
from retake.evaluation.sweep_folder import SweepRecords, is_sweep, read_sweep

Kind = Literal["run", "sweep", "comparison"]


@attrs.frozen(eq=False)
class Gathered:
    """All that a report is about.

    Attributes:
        kind: what was given.
        title: what it is called.
        views: every run, and every cell of a sweep.
        compared: the runs against one of them, as `compare.compare` has it; None where they
            cannot be compared, or there is but one.
        notices: what stands in the way of comparing them.
    """

    kind: Kind
    title: str
    views: tuple[RunView, ...]
    compared: Mapping[str, Any] | None = None
    notices: tuple[str, ...] = ()


@attrs.frozen(eq=False)
class _Found:
    """A run, and what its sweep says of it."""

    name: str
    records: RunRecords | None
    method: str | None = None
    ratio: float | None = None
    failure: str | None = None


def gather(folders: Sequence[Path]) -> Gathered:
    """Read folders of runs and sweeps.

    Raises:
        UsageError: no folder, or one twice.
        RunFolderError: one is missing, damaged, or neither a run nor a sweep.
    """
    if not folders:
        raise UsageError("There is nothing to report on.", hint="Give the folder of a run.")
    check_given(folders)
    found = [each for folder in folders for each in _read(folder, alone=len(folders) == 1)]
    views = _distinct([_view(*each) for each in zip(found, *_named(found), strict=True)])
    compared, notices = _compared(views)
    kind: Kind = "comparison"
    if len(folders) == 1:
        kind = "sweep" if is_sweep(folders[0]) else "run"
    return Gathered(kind, _title(folders, views), views, compared, tuple(notices))


def _named(found: Sequence[_Found]) -> tuple[list[str], list[str]]:
    """What the page calls each run, and its method."""
    headers = [each.records.header for each in found if each.records and each.method is None]
    told = iter(method_names(headers))
    methods = [each.method if each.method is not None else next(told) for each in found]
    return _told_apart([each.name for each in found]), methods


def _view(found: _Found, name: str, method: str) -> RunView:
    made = view(name, method, found.records, found.ratio)
    return attrs.evolve(made, failure=found.failure)


def _title(folders: Sequence[Path], views: Sequence[RunView]) -> str:
    if len(folders) == 1:
        return folders[0].resolve().name
    if len(views) <= 3:
        return " vs. ".join(each.name for each in views)
    return f"of {len(views)} runs"


def _read(folder: Path, *, alone: bool) -> list[_Found]:
    """A folder's runs."""
    if is_sweep(folder):
        return list(_cells(read_sweep(folder), "" if alone else f"{folder.resolve().name}: "))
    records = read_run(folder)
    return [_Found(records.header.name, records)]


def _cells(sweep: SweepRecords, before: str) -> Iterator[_Found]:
    """A sweep's cells; those that the limit does not touch count once."""
    cells = sweep.header.cells
    varied = len({cell.get("positions") for cell in cells}) > 1
    reasons = {failure.cell: failure.reason for failure in sweep.failures}
    seen = set()
    for cell in cells:
        method = f"{before}{cell['method']}"
        method += f", {cell.get('positions')}" if varied else ""
        if (method, cell["folder"]) in seen:
            continue
        seen.add((method, cell["folder"]))
        run = sweep.run_of(cell)
        yield _Found(
            f"{before}{cell['name']}",
            run,
            method,
            _ratio(cell.get("keep_ratio"), run),
            reasons.get(cell["name"]) or reasons.get(str(cell.get("same_as"))),
        )


def _ratio(given: Any, run: RunRecords | None) -> float | None:
    """The share that a cell is for; as measured where it keeps another all the same."""
    if not isinstance(given, (int, float)):
        return None
    measured = measured_ratio(run) if run is not None else None
    # Short videos and budgets in whole tokens come out a little off.
    near = measured is None or abs(measured - given) < 0.1 * given
    return float(given) if near else measured


def _told_apart(names: Sequence[str]) -> list[str]:
    """The names; one that occurs again is numbered."""
    found: list[str] = []
    for at, name in enumerate(names):
        before = list(names[:at]).count(name)
        found.append(f"{name} ({before + 1})" if before else name)
    return found


def _distinct(views: Sequence[RunView]) -> tuple[RunView, ...]:
    """Runs of one method that keep the same share get their own names in the method's."""
    keys = [(each.method, each.ratio) for each in views]
    return tuple(
        attrs.evolve(each, method=f"{each.method} [{each.name}]")
        if keys.count((each.method, each.ratio)) > 1
        else each
        for each in views
    )


def _compared(views: Sequence[RunView]) -> tuple[Mapping[str, Any] | None, list[str]]:
    """Every run against the one that keeps everything, else the first; why not, if not."""
    standard = reference(views)
    runs = {
        each.records.folder: each.records
        for each in sorted(views, key=lambda each: each.method != standard)
        if each.records is not None and each.records.samples
    }
    if len(runs) < 2:
        return None, []
    try:
        return compare.compare(list(runs.values())), []
    except UsageError as error:
        return None, [f"These runs cannot be compared question by question: {error}"]
