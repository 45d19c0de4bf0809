"""From folders to what a report shows of them: a run, a sweep, or several of either."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import attrs

from retake.core.errors import RetakeError, UsageError
from retake.evaluation import compare
from retake.evaluation.records import RunRecords, is_run, read_run
from retake.evaluation.report.naming import method_names
from retake.evaluation.report.views import RunView, view

SWEEP = "sweep.json"

Kind = Literal["run", "sweep", "comparison"]


@attrs.frozen(eq=False)
class Gathered:
    """All that a report is about.

    Attributes:
        kind: what was given.
        title: what it is called.
        views: every run.
        missing: names of a sweep's cells that were not begun.
        compared: the runs against the first, as `compare.compare` has it; None where they were
            not compared.
        notices: what stands in the way of comparing them.
        names: what the page calls each run, by its name in `compared`.
    """

    kind: Kind
    title: str
    views: tuple[RunView, ...]
    missing: tuple[str, ...] = ()
    compared: dict[str, Any] | None = None
    notices: tuple[str, ...] = ()
    names: dict[str, str] = attrs.field(factory=dict)


@attrs.frozen(eq=False)
class _Found:
    """A run, and the share that its sweep says it keeps."""

    name: str
    records: RunRecords
    ratio: float | None = None


def gather(folders: Sequence[Path]) -> Gathered:
    """Read folders of runs and sweeps.

    Raises:
        UsageError: no folder, one twice, or one that is neither a run nor a sweep.
        RunFolderError: a run is damaged.
    """
    if not folders:
        raise UsageError("There is nothing to report on.", hint="Give the folder of a run.")
    _check_different(folders)
    found: list[_Found] = []
    missing: list[str] = []
    for folder in folders:
        some, unbegun = _read(folder)
        found += some
        missing += unbegun
    names = method_names([each.records.header for each in found])
    labels = _told_apart([each.name for each in found])
    views = tuple(
        view(label, method, each.records, each.ratio)
        for label, method, each in zip(labels, names, found, strict=True)
    )
    kind = _kind(folders)
    compared, notices = _compare(found) if kind == "comparison" else (None, ())
    own = compare.names_of([each.records for each in found])
    return Gathered(
        kind,
        _title(folders, found),
        _distinct(views),
        tuple(missing),
        compared,
        tuple(notices),
        dict(zip(own, labels, strict=True)),
    )


def _kind(folders: Sequence[Path]) -> Kind:
    if len(folders) > 1:
        return "comparison"
    return "sweep" if (folders[0] / SWEEP).is_file() else "run"


def _title(folders: Sequence[Path], found: Sequence[_Found]) -> str:
    if len(folders) == 1:
        return folders[0].resolve().name
    if len(found) <= 3:
        return " vs. ".join(_told_apart([each.name for each in found]))
    return f"{len(found)} runs"


def _check_different(folders: Sequence[Path]) -> None:
    seen: set[Path] = set()
    for folder in folders:
        if folder.resolve() in seen:
            raise UsageError(f"'{folder}' was given twice.")
        seen.add(folder.resolve())


def _read(folder: Path) -> tuple[list[_Found], list[str]]:
    """A folder's runs, and the names of those that were not begun."""
    if not folder.exists():
        raise UsageError(f"There is no folder '{folder}'.")
    if not folder.is_dir():
        raise UsageError(f"'{folder}' is a file, not the folder of a run.")
    if (folder / SWEEP).is_file():
        return _sweep(folder)
    if is_run(folder):
        records = read_run(folder)
        return [_Found(records.header.name, records)], []
    raise UsageError(
        f"'{folder}' holds neither a run nor a sweep: it has no run.json and no {SWEEP}.",
        hint=_inside(folder)
        or "A run is a folder that `retake eval` wrote, a sweep one that `retake sweep` wrote.",
    )


def _inside(folder: Path) -> str | None:
    """Where runs lie, if they lie one folder deeper."""
    try:
        inner = sorted(each for each in folder.iterdir() if each.is_dir())
    except OSError:
        return None
    runs = [str(each) for each in inner if is_run(each) or (each / SWEEP).is_file()]
    if not runs:
        return None
    more = f" and {len(runs) - 3} more" if len(runs) > 3 else ""
    return f"There are runs inside it: {', '.join(runs[:3])}{more}."


def _sweep(folder: Path) -> tuple[list[_Found], list[str]]:
    found, missing = [], []
    for cell in _cells(folder):
        place = folder / cell["folder"]
        if not is_run(place):
            missing.append(cell["name"])
            continue
        ratio = cell.get("keep_ratio")
        found.append(
            _Found(
                cell["name"],
                read_run(place),
                float(ratio) if isinstance(ratio, (int, float)) else None,
            )
        )
    return found, missing


def _cells(folder: Path) -> Iterator[dict[str, Any]]:
    path = folder / SWEEP
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        for cell in data["cells"]:
            yield {**cell, "name": str(cell["name"]), "folder": str(cell["folder"])}
    except OSError as error:
        raise UsageError(f"Cannot read '{path}': {error.strerror}.") from error
    except (ValueError, TypeError, KeyError) as error:
        raise UsageError(
            f"'{path}' is damaged: {type(error).__name__}: {error}.",
            hint="`retake sweep --resume` writes it anew.",
        ) from error


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


def _compare(found: Sequence[_Found]) -> tuple[dict[str, Any] | None, list[str]]:
    """Every run against the first; why not, where that cannot be."""
    begun = [each.records for each in found if each.records.samples]
    if len(begun) < 2:
        return None, []
    try:
        return compare.compare(begun), []
    except RetakeError as error:
        return None, [f"These runs cannot be compared question by question: {error}"]
