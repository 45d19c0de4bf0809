"""The cells of a sweep: each method at each point of the grid, with its whole configuration.

Cells that cannot differ share one run.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import attrs

from retake import loading
from retake.core.compressor import KVCompressor
from retake.core.config import PartOptions, PrefillOptions, RunConfig, merge, structure, unstructure
from retake.core.errors import UsageError
from retake.evaluation.grid import Grid, Method, Point

_SAFE = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-+")
_LONGEST = 80  # characters of a folder's name


@attrs.frozen
class Cell:
    """One method at one point of the grid.

    Attributes:
        name: unlike any other's.
        method: whose.
        point: where in the grid.
        config: the whole configuration.
        run: the folder's name of its run.
        same_as: the cell whose run it shares, because the two cannot differ; or None.
        note: why they cannot.
    """

    name: str
    method: str
    point: Point
    config: RunConfig
    run: str
    same_as: str | None = None
    note: str | None = None

    @property
    def folder(self) -> str:
        """The run's folder, below the sweep's."""
        return f"cells/{self.run}"

    def data(self) -> dict[str, Any]:
        """The cell as `sweep.json` has it."""
        return {
            "name": self.name,
            "method": self.method,
            "folder": self.folder,
            "selector": shown(self.config.selector),
            "compressor": shown(self.config.compressor),
            "keep_ratio": self.point.keep_ratio,
            "budget": self.point.budget,
            "positions": self.point.positions or self.config.prefill.positions,
            "same_as": self.same_as,
            "note": self.note,
            "config": unstructure(self.config),
        }


def cells_of(grid: Grid, base: RunConfig) -> list[Cell]:
    """Every cell of a grid, method by method.

    Cells with the same outcome share a run: those of a method that the limit does not touch, and
    those at a keep ratio of 1, where a compressor that weighs neither layers, heads nor chunks has
    nothing to do.

    Args:
        base: what the methods leave open.

    Raises:
        UsageError: a configuration is wrong, or a method is left out everywhere.
    """
    cells: list[Cell] = []
    first: dict[str, Cell] = {}
    for method in grid.methods:
        points = [point for point in grid.points() if not method.excluded(point)]
        if not points:
            raise UsageError(f"The method '{method.name}' is excluded everywhere.")
        for point in points:
            cell = _cell(method, point, base, cells)
            known = first.setdefault(_likeness(cell.config), cell)
            if known is not cell:
                why = _why_alike(known, cell)
                cell = attrs.evolve(cell, run=known.run, same_as=known.name, note=why)
            cells.append(cell)
    return cells


def shown(part: PartOptions | Mapping[str, Any] | str) -> str:
    """A part as the command line takes it: "pyramidkv(pivotkv:pivot_score=1.0)"."""
    if isinstance(part, str):
        return part
    data = attrs.asdict(part) if isinstance(part, PartOptions) else part
    options = data.get("options") or {}
    inside = [data["of"]] if data.get("of") else []
    inside += [value for value in options.values() if _is_part(value)]
    rest = [f"{key}={value}" for key, value in options.items() if not _is_part(value)]
    text = f"{data['name']}({', '.join(map(shown, inside))})" if inside else str(data["name"])
    return f"{text}:{','.join(rest)}" if rest else text


def _is_part(value: Any) -> bool:
    return isinstance(value, Mapping) and "name" in value and set(value) <= {"name", "options"}


def _cell(method: Method, point: Point, base: RunConfig, others: Sequence[Cell]) -> Cell:
    try:
        config, limited = _configured(method, point, base)
    except UsageError as error:
        raise UsageError(f"Method '{method.name}': {error.message}", hint=error.hint) from error
    name = _free(_words(method.name, point), [cell.name for cell in others])
    # A run that no limit touches is not called after the first of them.
    reached = point if limited else Point(positions=point.positions)
    run = _free(_words(method.name, reached), [cell.run for cell in others])
    return Cell(name, method.name, point, config, run)


def _configured(method: Method, point: Point, base: RunConfig) -> tuple[RunConfig, bool]:
    """The configuration of a method at a point, and whether the point's limit is in it."""
    config = structure(RunConfig, merge(unstructure(base), method.config), "configuration key")
    compressor = loading.make_compressor(config.compressor)[0]
    _check_own(method, point)
    if point.positions is not None:
        config = _prefill(config, positions=point.positions)
    limited = compressor.evicts
    if point.keep_ratio is not None and _varies_selector(method, config, compressor):
        ratio = {"options": {"keep_ratio": point.keep_ratio}}
        selector = merge(unstructure(config.selector), ratio)
        config = attrs.evolve(config, selector=structure(PartOptions, selector, "option"))
        limited = True
    elif point.keep_ratio is not None or point.budget is not None:
        config = _prefill(config, keep_ratio=point.keep_ratio, budget=point.budget)
    if not compressor.evicts:
        config = _prefill(config, keep_ratio=None, budget=None)
    loading.make_selector(config.selector)
    return config, limited


def _check_own(method: Method, point: Point) -> None:
    """Refuse a method that fixes what the grid varies."""
    own = method.config.get("prefill") or {}
    if (point.keep_ratio or point.budget) and (own.get("keep_ratio") or own.get("budget")):
        raise UsageError("it sets a limit of its own, and the grid varies the limit.")
    if point.positions and own.get("positions"):
        raise UsageError("it sets positions of its own, and the grid varies them.")


def _varies_selector(method: Method, config: RunConfig, compressor: KVCompressor) -> bool:
    """Whether a keep ratio is the selector's at this method."""
    if method.vary is not None:
        if method.vary == "compressor" and not compressor.evicts:
            raise UsageError(
                f"vary is 'compressor', and '{config.compressor.name}' evicts nothing.",
                hint="vary: selector varies the selector's own keep_ratio.",
            )
        return method.vary == "selector"
    selector = type(loading.make_selector(config.selector)[0])
    has = attrs.has(selector) and "keep_ratio" in attrs.fields_dict(selector)
    return not compressor.evicts and has and "keep_ratio" not in config.selector.options


def _prefill(config: RunConfig, **changes: Any) -> RunConfig:
    values = {**unstructure(config.prefill), **changes}
    return attrs.evolve(config, prefill=structure(PrefillOptions, values, "prefill option"))


def _likeness(config: RunConfig) -> str:
    """What is the same for configurations that cannot differ in their outcome."""
    compressor, part = loading.make_compressor(config.compressor)
    config = attrs.evolve(config, selector=loading.make_selector(config.selector)[1])
    if not compressor.evicts or (config.prefill.keep_ratio == 1 and _is_plain(compressor)):
        part = PartOptions("evicts nothing")
        config = _prefill(config, keep_ratio=None, budget=None)
    return repr(attrs.evolve(config, compressor=part))


def _why_alike(first: Cell, cell: Cell) -> str:
    """Why two cells cannot differ."""
    if first.config == cell.config:
        same = first.method == cell.method
        return "the limit does not touch this method" if same else "both are configured alike"
    return "nothing is evicted at this ratio"


def _is_plain(compressor: KVCompressor) -> bool:
    """Whether it keeps everything where the average layer may hold everything."""
    kind = type(compressor)
    weighs = compressor.weighs_layers or compressor.weighs_chunks or compressor.per_head
    own = kind.layer_weights is not KVCompressor.layer_weights
    return not (weighs or own or compressor.needs_question)


def _words(method: str, point: Point) -> str:
    words = [method]
    if point.keep_ratio is not None:
        words.append(f"keep-{point.keep_ratio:g}")
    if point.budget is not None:
        words.append(f"budget-{point.budget}")
    if point.positions is not None:
        words.append(point.positions)
    return "-".join(words)


def _free(wanted: str, taken: Iterable[str]) -> str:
    """A name that every file system takes, and no other cell has (in either case)."""
    safe = "".join(each if each in _SAFE else "-" for each in wanted.replace(" + ", "+"))
    safe = "-".join(filter(None, safe.split("-"))).strip("-.") or "cell"
    folded = {name.lower() for name in taken}
    name, number = safe[:_LONGEST], 1
    while name.lower() in folded:
        number += 1
        name = f"{safe[:_LONGEST]}-{number}"
    return name
