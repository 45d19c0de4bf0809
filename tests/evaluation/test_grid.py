"""Grids: from plain data to cells, which of them share a run, and what is refused."""

from typing import Any

import attrs
import pytest

import retake
from retake.core.errors import UsageError
from retake.evaluation.cells import Cell, cells_of, shown
from retake.evaluation.grid import read_grid

FULL = {"name": "full", "selector": "none", "compressor": "none"}
PIVOT = {"name": "pivot", "selector": "none", "compressor": "pivotkv"}
UNIFORM = {"name": "uniform", "selector": "uniform", "compressor": "none"}


def cells(*methods: dict[str, Any], base: Any = None, **axes: Any) -> list[Cell]:
    """The cells of a grid of these methods."""
    return cells_of(read_grid({"methods": list(methods), **axes}), base or retake.RunConfig())


def named(found: list[Cell]) -> dict[str, Cell]:
    return {cell.name: cell for cell in found}


def test_every_method_at_every_point() -> None:
    """Methods one by one, limits within, positions within those."""
    found = cells(
        PIVOT,
        {**PIVOT, "name": "snap", "compressor": "snapkv"},
        keep_ratios=[0.5, 0.25],
        positions=["reforge", "original"],
    )
    assert [cell.name for cell in found[:4]] == [
        "pivot-keep-0.5-reforge",
        "pivot-keep-0.5-original",
        "pivot-keep-0.25-reforge",
        "pivot-keep-0.25-original",
    ]
    assert len(found) == 8
    last = found[-1].config
    assert (last.compressor.name, last.prefill.keep_ratio) == ("snapkv", 0.25)
    assert last.prefill.positions == "original"
    assert {cell.folder for cell in found} == {f"cells/{cell.name}" for cell in found}


def test_what_no_limit_touches_runs_once() -> None:
    """The full cache is shown at every ratio, and called after none of them."""
    found = cells(FULL, keep_ratios=[0.5, 0.25])
    assert [cell.folder for cell in found] == ["cells/full", "cells/full"]
    assert [cell.same_as for cell in found] == [None, "full-keep-0.5"]
    assert found[0].config.prefill.keep_ratio is None
    assert found[1].note == "the limit does not touch this method"


def test_a_ratio_of_one_runs_once() -> None:
    """Where nothing is evicted the compressor does not matter."""
    snap = {**PIVOT, "name": "snap", "compressor": "snapkv:kernel=5"}
    found = named(cells(PIVOT, FULL, snap, keep_ratios=[1, 0.5]))
    assert found["full-keep-1"].same_as == "pivot-keep-1"
    assert found["snap-keep-1"].folder == found["full-keep-0.5"].folder == "cells/pivot-keep-1"
    assert found["snap-keep-1"].note == "nothing is evicted at this ratio"
    assert found["snap-keep-0.5"].same_as is None


def test_what_may_differ_at_a_ratio_of_one_runs_by_itself() -> None:
    """Budgets over layers and heads, questions, other selectors and positions."""
    others = [
        {**PIVOT, "name": "pyramid", "compressor": "pyramidkv(pivotkv)"},
        {**PIVOT, "name": "ada", "compressor": "adakv(pivotkv)"},
        {**PIVOT, "name": "question", "compressor": "adaretake"},
        {**PIVOT, "name": "selected", "selector": "dpselect"},
    ]
    found = cells(FULL, PIVOT, *others, keep_ratios=[1], positions=["reforge", "original"])
    shared = [cell.name for cell in found if cell.same_as is not None]
    assert shared == ["pivot-keep-1-reforge", "pivot-keep-1-original"]


def test_a_ratio_is_the_selectors_where_nothing_is_evicted() -> None:
    """Unless the method fixes the selector's own; then it is shown at every ratio."""
    found = named(cells(UNIFORM, keep_ratios=[0.5, 0.25]))
    ratios = [cell.config.selector.options["keep_ratio"] for cell in found.values()]
    assert ratios == [0.5, 0.25]
    fixed = {**UNIFORM, "selector": "uniform:keep_ratio=0.125"}
    assert [cell.same_as for cell in cells(fixed, keep_ratios=[0.5, 0.25])] == [
        None,
        "uniform-keep-0.5",
    ]


def test_whose_ratio_it_is_can_be_said() -> None:
    """Here the selector's, though the compressor evicts, by its own budget."""
    both = {**PIVOT, "selector": "uniform", "vary": "selector", "prefill": {"chunk_frames": 16}}
    (cell,) = cells(both, base=_with(budget=100), keep_ratios=[0.5])
    assert cell.config.selector.options == {"keep_ratio": 0.5}
    assert (cell.config.prefill.budget, cell.config.prefill.keep_ratio) == (100, None)
    assert cell.config.prefill.chunk_frames == 16


def test_budgets_are_limits_too() -> None:
    """A budget in the grid replaces the configuration's ratio, and the other way round."""
    found = cells(PIVOT, base=_with(keep_ratio=0.5), budgets=[64], keep_ratios=[0.25])
    limits = [(each.config.prefill.keep_ratio, each.config.prefill.budget) for each in found]
    assert limits == [(0.25, None), (None, 64)]
    assert found[1].name == "pivot-budget-64"


def test_exclusions() -> None:
    """By one axis, or several together."""
    rules = [{"keep_ratio": 0.5, "positions": "original"}, {"keep_ratio": 0.25}]
    found = cells(
        {**PIVOT, "exclude": rules}, keep_ratios=[0.5, 0.25], positions=["reforge", "original"]
    )
    assert [cell.name for cell in found] == ["pivot-keep-0.5-reforge"]
    with pytest.raises(UsageError, match="'pivot' is excluded everywhere"):
        cells({**PIVOT, "exclude": rules}, keep_ratios=[0.25])


def test_methods_differ_in_whatever_a_run_can() -> None:
    """Any key of a configuration; what is left open is the base's."""
    fast = {**PIVOT, "name": "fast", "video": {"fps": 1.0}, "seed": 3}
    (cell,) = cells(fast, base=_with(reserve=9))
    assert (cell.config.video.fps, cell.config.seed, cell.config.prefill.reserve) == (1, 3, 9)
    assert (cell.name, cell.point.keep_ratio) == ("fast", None)


def test_names_fit_any_file_system() -> None:
    """References to code too, and names that differ in case only."""
    found = cells(
        {**PIVOT, "name": "./mine.py:Mine (α)"},
        {**FULL, "name": "PIVOT"},
        {**PIVOT, "compressor": "snapkv"},
    )
    assert [cell.name for cell in found] == ["mine.py-Mine", "PIVOT", "pivot-2"]


def test_parts_are_shown_as_they_are_written() -> None:
    """Nested ones in their brackets."""
    line = "pyramidkv(pivotkv:pivot_score=1.0):beta=10"
    (cell,) = cells({**PIVOT, "compressor": line})
    assert cell.data()["compressor"] == shown(cell.config.compressor) == line


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"methods": []}, "no methods"),
        ({"metods": [FULL]}, "Unknown key of the grid 'metods'"),
        ({"methods": [FULL, FULL]}, "The method 'full' is given twice"),
        ({"methods": [FULL], "keep_ratios": [0.5, 0.5]}, "'0.5' is given twice"),
        ({"methods": [FULL], "keep_ratios": 0.5}, "'keep_ratios' of the grid must be a list"),
        ({"methods": [FULL], "keep_ratios": [1.5]}, "keep_ratio must be above 0 and at most 1"),
        ({"methods": [FULL], "positions": ["fixed"]}, "'fixed'"),
        ({"methods": ["full"]}, "Method 1 of the grid must be a mapping with a name"),
        ({"methods": [{**FULL, "compresor": "x"}]}, "Unknown key of the method 'full'"),
        ({"methods": [{**FULL, "compressor": "pivot"}]}, "Method 'full': Unknown compressor"),
        ({"methods": [{**FULL, "vary": "frames"}]}, "Unknown value of vary"),
        ({"methods": [{**FULL, "exclude": [{"ratio": 1}]}]}, "Unknown axis in exclude"),
        ({"methods": [{**FULL, "exclude": "all"}]}, "exclude of the method 'full' is a list"),
        (
            {"methods": [{**FULL, "vary": "compressor"}], "keep_ratios": [0.5]},
            "'none' evicts nothing",
        ),
        (
            {"methods": [{**PIVOT, "prefill": {"budget": 9}}], "keep_ratios": [0.5]},
            "sets a limit of its own",
        ),
        (
            {"methods": [{**PIVOT, "prefill": {"positions": "reforge"}}], "positions": ["reforge"]},
            "sets positions of its own",
        ),
    ],
)
def test_wrong_grids_are_refused(values: dict[str, Any], message: str) -> None:
    """Before anything is made or loaded."""
    with pytest.raises(UsageError, match=message):
        cells_of(read_grid(values), retake.RunConfig())


def _with(**prefill: Any) -> Any:
    config = retake.RunConfig()
    return attrs.evolve(config, prefill=attrs.evolve(config.prefill, **prefill))
