"""Turns sweeps of the scenes benchmark into the tables of `docs/results/scenes.md`.

`python -m benchmarks.scenes_results DIR...` reads finished sweeps (folders of `retake sweep`, named
as their grids are: compressors, selectors, pivots, windows), writes their numbers to
`benchmarks/results/scenes_*.json`, and renews the page. What is found is written by hand.
"""

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from benchmarks.harness import save
from benchmarks.report import renew
from retake.evaluation.records import RunRecords, SampleRecord
from retake.evaluation.statistics import estimate, paired
from retake.evaluation.sweep_folder import SweepRecords, read_sweep

FULL = "full cache"
TRAINED = 64.0  # seconds that the embedded model was trained on
FAMILIES: dict[str, tuple[str, ...]] = {
    "cards": ("needle_colour", "needle_shape", "needle_exists"),
    "order": ("needle_order", "needle_first", "needle_last"),
    "scenes": ("scene_colour", "scene_shape"),
}
_MINUS = "−"

Rows = list[list[str]]
Keep = Callable[[SampleRecord], bool]


@attrs.frozen
class CellRun:
    """A cell of a sweep with its answers."""

    method: str
    keep_ratio: float
    positions: str
    samples: tuple[SampleRecord, ...]

    def accuracy(self, keep: Keep = lambda _: True) -> str:
        """Percent right with its interval, of the samples that count."""
        held = [sample for sample in self.samples if keep(sample)]
        found = estimate([each.score for each in held], [each.video for each in held])
        return f"{100 * found.mean:.0f} ({100 * found.low:.0f}–{100 * found.high:.0f})"

    def against(self, other: "CellRun", keep: Keep = lambda _: True) -> str:
        """Points better than another run on the same questions, with the interval."""
        theirs = {sample.id: sample.score for sample in other.samples}
        held = [each for each in self.samples if keep(each) and each.id in theirs]
        found = paired(
            [theirs[each.id] for each in held],
            [each.score for each in held],
            [each.video for each in held],
        )
        text = f"{_signed(found.mean)} ({_signed(found.low)} … {_signed(found.high)})"
        return text if found.low <= 0 <= found.high else f"**{text}**"


def _signed(share: float) -> str:
    points = 100 * share
    sign = _MINUS if points <= -0.05 else "+" if points >= 0.05 else ""
    return f"{sign}{abs(points):.1f}"


@attrs.frozen
class Sweep:
    """The cells of one sweep."""

    name: str
    records: SweepRecords
    cells: tuple[CellRun, ...]

    @classmethod
    def read(cls, folder: Path) -> "Sweep":
        records = read_sweep(folder)
        return cls(folder.name, records, tuple(_cells(records)))

    def get(self, method: str, keep_ratio: float, positions: str | None = None) -> CellRun | None:
        """The cell of a method at a ratio; of the full cache, the one there is."""
        for cell in self.cells:
            same = cell.method == method and positions in (None, cell.positions)
            if same and (cell.keep_ratio == keep_ratio or method == FULL):
                return cell
        return None

    @property
    def full(self) -> CellRun:
        found = self.get(FULL, 1.0)
        if found is None:
            raise SystemExit(f"The sweep {self.name} has no method '{FULL}'.")
        return found

    @property
    def methods(self) -> list[str]:
        return list(dict.fromkeys(cell.method for cell in self.cells))

    @property
    def ratios(self) -> list[float]:
        return sorted({cell.keep_ratio for cell in self.cells if cell.keep_ratio < 1}, reverse=True)

    @property
    def lengths(self) -> list[float]:
        return sorted({float(each.groups["seconds"]) for each in self.full.samples})


def _cells(records: SweepRecords) -> Iterator[CellRun]:
    for cell in records.header.cells:
        run: RunRecords | None = records.run_of(cell)
        if run is None or not run.samples:
            continue
        ratio = 1.0 if cell["keep_ratio"] is None else float(cell["keep_ratio"])
        yield CellRun(cell["method"], ratio, cell["positions"], tuple(run.samples))


def lasting(seconds: float) -> Keep:
    """Samples of videos of that length."""
    return lambda sample: float(sample.groups["seconds"]) == seconds


def of_family(name: str) -> Keep:
    """Samples of those kinds."""
    return lambda sample: sample.kind in FAMILIES[name]


def by_length(sweep: Sweep, positions: str | None = None) -> Rows:
    """Accuracy of every method, ratio by ratio and length by length."""
    lengths = sweep.lengths
    rows = [["method", "kept", *(f"{n / TRAINED:g}× ({n:g} s)" for n in lengths), "all"]]
    for method in sweep.methods:
        for ratio in [1.0] if method == FULL else sweep.ratios:
            cell = sweep.get(method, ratio, positions)
            if cell is not None:
                values = [cell.accuracy(lasting(seconds)) for seconds in lengths]
                rows.append([method, _share(ratio), *values, cell.accuracy()])
    return rows


def by_family(sweep: Sweep, ratio: float, positions: str | None = None) -> Rows:
    """What each method loses against the full cache, by what is asked."""
    rows = [["method", *FAMILIES, "all"]]
    full = sweep.full
    rows.append([FULL, *(full.accuracy(of_family(name)) for name in FAMILIES), full.accuracy()])
    for method in sweep.methods:
        cell = sweep.get(method, ratio, positions)
        if cell is not None and method != FULL:
            parts = [cell.against(full, of_family(name)) for name in FAMILIES]
            rows.append([method, *parts, cell.against(full)])
    return rows


def same_budget(sweep: Sweep, methods: Sequence[str]) -> Rows:
    """Ever longer videos in the KV budget that one of the trained length fills."""
    rows = [["video", "kept", "tokens a layer", FULL, *methods]]
    for seconds in sweep.lengths:
        ratio = TRAINED / seconds
        cells = [sweep.get(method, ratio) for method in methods]
        if seconds == TRAINED:
            cells = [sweep.full] * len(methods)
        values = [cell.accuracy(lasting(seconds)) if cell else "–" for cell in cells]
        full = sweep.full.accuracy(lasting(seconds))
        rows.append([f"{seconds:g} s", _share(ratio), f"{4 * TRAINED:g}", full, *values])
    return rows


def pooled(cells: Sequence[CellRun]) -> CellRun:
    """Cells as one: every question with its mean score, where all of them answered it."""
    by_id = [{sample.id: sample for sample in cell.samples} for cell in cells]
    means = []
    for key in set.intersection(*(set(each) for each in by_id)):
        held = [each[key] for each in by_id]
        means.append(attrs.evolve(held[0], score=sum(one.score for one in held) / len(held)))
    means.sort(key=lambda sample: sample.id)
    return CellRun(cells[0].method, cells[0].keep_ratio, cells[0].positions, tuple(means))


def _versus(sweep: Sweep, first: Sequence[CellRun], second: Sequence[CellRun]) -> list[str]:
    """Points of the first cells, as one, over the second: length by length, and in all."""
    mine, other = pooled(first), pooled(second)
    parts = [mine.against(other, lasting(seconds)) for seconds in sweep.lengths]
    return [*parts, mine.against(other)]


def policies(sweep: Sweep) -> Rows:
    """Each method with reforged positions against the same with its own."""
    rows = [["method", "kept", *(f"{n / TRAINED:g}×" for n in sweep.lengths), "all"]]
    for method in sweep.methods:
        for ratio in sweep.ratios:
            mine, other = sweep.get(method, ratio, "reforge"), sweep.get(method, ratio, "original")
            if method != FULL and mine is not None and other is not None:
                rows.append([method, _share(ratio), *_versus(sweep, [mine], [other])])
    cells = [cell for cell in sweep.cells if cell.method != FULL]
    reforged = [cell for cell in cells if cell.positions == "reforge"]
    original = [cell for cell in cells if cell.positions == "original"]
    rows.append(["all methods", "all", *_versus(sweep, reforged, original)])
    return rows


def rules(sweep: Sweep, first: str, second: str) -> Rows:
    """The first method against the second, at every ratio and length."""
    rows = [["positions", "kept", *(f"{n / TRAINED:g}×" for n in sweep.lengths), "all"]]
    for positions in ("reforge", "original"):
        for ratio in sweep.ratios:
            mine, other = (sweep.get(each, ratio, positions) for each in (first, second))
            if mine is not None and other is not None:
                rows.append([positions, _share(ratio), *_versus(sweep, [mine], [other])])
    mine_all, other_all = ([c for c in sweep.cells if c.method == each] for each in (first, second))
    rows.append(["both", "all", *_versus(sweep, mine_all, other_all)])
    return rows


def _share(ratio: float) -> str:
    return "1" if ratio == 1 else f"1/{round(1 / ratio)}"


def tables(sweep: Sweep) -> dict[str, tuple[Rows, str]]:
    """The tables that a sweep gives the page, by name, each with what it says."""
    percent = "Percent right, with 95 % intervals that count questions of one video together."
    points = "Points against the full cache on the same questions. Bold: the interval leaves out 0."
    if sweep.name == "compressors":
        shown = ["dpselect + pivotkv", "pivotkv without pivots", "keydiff", "random", "uniform"]
        return {
            "compressors": (by_length(sweep), percent),
            "budget": (same_budget(sweep, shown), percent),
            "compressors_kinds": (by_family(sweep, 0.125), points),
        }
    if sweep.name == "selectors":
        return {
            "selectors": (by_length(sweep), percent),
            "selectors_kinds": (by_family(sweep, 0.125), points),
        }
    if sweep.name == "pivots":
        paper, code = "paper (pivots first)", "code (pivots score 1)"
        return {
            "pivots": (by_length(sweep, "reforge"), f"{percent} Positions reforged."),
            "rules": (rules(sweep, paper, code), f"{paper} less {code}, in points."),
            "pivots_or_none": (rules(sweep, paper, "no pivots"), f"{paper} less none, in points."),
            "policies": (policies(sweep), "Reforged less original, in points."),
        }
    return {
        sweep.name: (by_length(sweep), percent),
        f"{sweep.name}_kinds": (by_family(sweep, 0.125), points),
    }


def about(sweep: Sweep) -> dict[str, Any]:
    """What a table rests on."""
    header = sweep.records.header
    options: Mapping[str, Any] = header.benchmark.options
    return {
        "questions": len(sweep.full.samples),
        "videos": len({sample.video for sample in sweep.full.samples}),
        "benchmark": {k: v for k, v in options.items() if k != "root"},
        "complete": sweep.records.complete,
        "versions": header.versions,
        "sweep": f"retake sweep scenes -o {sweep.name} "
        f"--grid benchmarks/grids/scenes-{sweep.name}.yaml",
    }


def main() -> None:
    """Read sweeps, save their numbers, renew the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path, metavar="DIR")
    given = parser.parse_args()
    for folder in given.folders:
        sweep = Sweep.read(folder)
        facts = about(sweep)
        if not facts["complete"]:
            print(f"{folder} is not complete; its numbers are of what is there.", file=sys.stderr)
        for name, (table, note) in tables(sweep).items():
            count = f"{facts['questions']} questions about {facts['videos']} videos a cell."
            data = {"table": table, "notes": [note, count], "about": facts}
            save(f"scenes_{name}", data, facts["sweep"])
    renew()


if __name__ == "__main__":
    main()
