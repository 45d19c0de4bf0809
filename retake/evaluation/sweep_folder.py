"""A sweep's folder: `sweep.json` says which cells there are, `cells/` holds their runs.

`sweep.json` never changes. `failures.jsonl` grows by a line for every cell that was given up;
resuming tries it again. Reading changes nothing, and may be done while the sweep goes on.
"""

import json
import secrets
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from retake.core import writing
from retake.core.config import strict_converter
from retake.core.errors import RunFolderError, UsageError
from retake.core.plain import plain
from retake.evaluation.coding import Alike
from retake.evaluation.differing import ABSENT, Difference, differing, refuse
from retake.evaluation.journal import Journal
from retake.evaluation.locking import LOCK
from retake.evaluation.matching import common_differences, decisive
from retake.evaluation.records import BenchmarkRecord, RunRecords, is_run, read_run
from retake.evaluation.summary import summarise

#: Changes with every change of what a folder holds.
FORMAT = "retake.sweep/1"
HEADER = "sweep.json"
FAILURES = "failures.jsonl"

_PART = ".sweep-"
# Of a cell, what its configuration says once more, or its method's name.
_SHORTHAND = ("selector", "compressor")
_CONVERTER = strict_converter()


@attrs.frozen
class SweepHeader:
    """What is swept: `sweep.json`.

    Attributes:
        name: the folder's.
        benchmark, limit, batch, samples_total, samples_sha256, code, groups_sha256: as in
            `RunHeader`.
        grid: the methods and axes, as they were given.
        config: what the methods leave open.
        cells: every cell, as `Cell.data` has it.
        versions, command: of the process that began the sweep.
        created: when it was begun, ISO 8601.
    """

    name: str
    benchmark: BenchmarkRecord
    grid: dict[str, Any]
    config: dict[str, Any]
    cells: tuple[dict[str, Any], ...]
    samples_total: int
    samples_sha256: str
    versions: dict[str, str]
    command: tuple[str, ...]
    created: str
    limit: int | None = None
    batch: int = 1
    format: str = FORMAT
    code: dict[str, str] = attrs.field(factory=dict)
    groups_sha256: str | None = None


@attrs.frozen
class CellFailure:
    """A cell that was given up: a line of `failures.jsonl`.

    Attributes:
        cell: its name.
        reason: why.
        created: when, ISO 8601.
    """

    cell: str
    reason: str
    created: str


@attrs.frozen
class SweepRecords:
    """A sweep as it stands.

    Attributes:
        folder: where it is.
        header: what is swept.
        runs: those that were begun, by their folder below the sweep's.
        failures: the newest failure of every cell that is not complete because of it.
        notes: what there is to say of the files.
    """

    folder: Path
    header: SweepHeader
    runs: dict[str, RunRecords]
    failures: tuple[CellFailure, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether every cell has answered every sample."""
        cells = self.header.cells
        return all(each["folder"] in self.runs for each in cells) and all(
            run.complete for run in self.runs.values()
        )

    def run_of(self, cell: Mapping[str, Any]) -> RunRecords | None:
        """A cell's run, which it may share with others; None where it was not begun."""
        return self.runs.get(cell["folder"])


def is_sweep(folder: Path) -> bool:
    """Whether a folder holds a sweep, whole or damaged."""
    return (folder / HEADER).is_file()


def read_sweep(folder: Path) -> SweepRecords:
    """A sweep as it stands on the disk; nothing is changed.

    Raises:
        RunFolderError: there is no sweep, or it or one of its runs is damaged.
    """
    header = read_header(folder)
    lines, notes = Journal(folder / FAILURES).read()
    names = dict.fromkeys(cell["folder"] for cell in header.cells)
    runs = {name: read_run(folder / name) for name in names if is_run(folder / name)}
    failures = [_structured(folder / FAILURES, line, CellFailure) for line in lines]
    return SweepRecords(
        folder=folder,
        header=header,
        runs=runs,
        failures=tuple(_standing(header, runs, failures)),
        notes=(*notes, *(note for run in runs.values() for note in run.notes)),
    )


def read_header(folder: Path) -> SweepHeader:
    """What a folder's `sweep.json` says is swept.

    Raises:
        RunFolderError: it is missing, damaged, or of another format.
    """
    path = folder / HEADER
    try:
        data = json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        raise RunFolderError(
            f"'{folder}' is no sweep: it has no {HEADER}.",
            hint="A sweep is a folder that `retake sweep BENCHMARK -o FOLDER` wrote.",
        ) from None
    except OSError as error:
        raise RunFolderError(f"Cannot read '{path}': {error.strerror}.") from error
    except ValueError as error:
        raise _damaged(path, f"it is not JSON ({error})") from error
    given = data.get("format") if isinstance(data, dict) else None
    if given != FORMAT:
        raise _damaged(path, f"its format is {given!r:.60}, not {FORMAT}")
    header: SweepHeader = _structured(path, data, SweepHeader)
    for cell in header.cells:
        if not {"name", "folder", "method", "config"} <= cell.keys():
            raise _damaged(path, f"a cell lacks its name, folder, method or config: {cell!r:.60}")
    return header


def write_header(folder: Path, header: SweepHeader) -> None:
    """Write `sweep.json`, whole or not at all.

    Raises:
        RunFolderError: the system refuses.
    """
    path = folder / HEADER
    text = json.dumps(plain(attrs.asdict(header)), indent=2, ensure_ascii=False)
    try:
        with writing.replacing(path, folder / f"{_PART}{secrets.token_hex(6)}.part") as file:
            file.write(f"{text}\n".encode("utf-8", "backslashreplace"))
    except OSError as error:
        raise RunFolderError(f"Cannot write '{path}': {error.strerror}.") from error


def check_place(folder: Path, *, resume: bool) -> None:
    """Refuse a folder that a sweep cannot be written into, before anything is made for it.

    Raises:
        UsageError: it holds something else, or a sweep and `resume` is off, or cannot be made.
    """
    try:
        if not folder.exists():
            if not folder.parent.is_dir():
                raise UsageError(
                    f"Cannot make the folder '{folder}': there is no folder '{folder.parent}'."
                )
            return
        if not folder.is_dir():
            raise UsageError(f"'{folder}' is a file; a sweep is written into a folder.")
        names = {path.name for path in folder.iterdir()}
    except OSError as error:
        raise UsageError(f"Cannot look into '{folder}': {error.strerror}.") from error
    if HEADER in names:
        if not resume:
            raise UsageError(
                f"'{folder}' holds a sweep already.",
                hint="--resume goes on with it; another folder takes a new one.",
            )
    elif any(name != LOCK and not name.startswith(_PART) for name in names):
        raise UsageError(
            f"'{folder}' holds other things ({', '.join(sorted(names)[:3])}), so no sweep is "
            "written into it.",
            hint="Name a new folder, or an empty one.",
        )


def check_same(folder: Path, was: SweepHeader, now: SweepHeader) -> None:
    """Refuse to go on with a sweep of something else.

    Raises:
        UsageError: they differ; the differences are named.
    """
    found = list(common_differences(was, now))
    refuse("sweep", folder, [*found, *_cells(was, now, found)])


def document(sweep: SweepRecords) -> dict[str, Any]:
    """What a sweep came to, as plain data: every cell with the summary of its run."""
    reasons = {failure.cell: failure.reason for failure in sweep.failures}
    return {
        "format": "retake.sweep-summary/1",
        "folder": str(sweep.folder),
        "benchmark": attrs.asdict(sweep.header.benchmark),
        "complete": sweep.complete,
        "samples_total": sweep.header.samples_total,
        "cells": [_summarised(cell, sweep, reasons) for cell in sweep.header.cells],
        "notes": list(sweep.notes),
    }


def _summarised(
    cell: Mapping[str, Any], sweep: SweepRecords, reasons: Mapping[str, str]
) -> dict[str, Any]:
    run = sweep.run_of(cell)
    return {
        **{key: value for key, value in cell.items() if key != "config"},
        "answered": len(run.samples) if run else 0,
        "failed": run.failed if run else 0,
        "failure": reasons.get(cell["name"]) or reasons.get(str(cell.get("same_as"))),
        "summary": summarise(run.samples, run.videos) if run else None,
    }


def _standing(
    header: SweepHeader, runs: Mapping[str, RunRecords], failures: list[CellFailure]
) -> Iterator[CellFailure]:
    """The newest failure of each cell whose run is not complete."""
    folders = {cell["name"]: cell["folder"] for cell in header.cells}
    for failure in {each.cell: each for each in failures}.values():
        run = runs.get(folders.get(failure.cell, ""))
        if run is None or not run.complete:
            yield failure


def _cells(was: SweepHeader, now: SweepHeader, told: Sequence[Difference]) -> Iterator[Difference]:
    """What differs between the cells of two sweeps, but for what was told of all of them."""
    same = Alike(was.code, now.code)
    old, new = ({cell["name"]: cell for cell in each.cells} for each in (was, now))
    for name in dict.fromkeys([*old, *new]):
        if name not in old or name not in new:
            ends = [each.get(name, ABSENT) for each in (old, new)]
            yield Difference(f"cells.{name}", *ends)
            continue
        one, other = ({**each[name], **dict.fromkeys(_SHORTHAND)} for each in (old, new))
        configs = decisive(differing(one.pop("config"), other.pop("config"), same))
        for each in (*differing(one, other, same), *configs):
            if each not in told:
                yield attrs.evolve(each, what=f"cells.{name}.{each.what}")


def _structured(path: Path, data: Any, kind: type[Any]) -> Any:
    try:
        return _CONVERTER.structure(data, kind)
    except Exception as error:
        raise _damaged(path, f"{type(error).__name__}: {error}"[:200]) from error


def _damaged(path: Path, reason: str) -> RunFolderError:
    return RunFolderError(
        f"'{path}' is damaged: {reason}.",
        hint="Put a copy of the file back, or start a new sweep in another folder.",
    )
