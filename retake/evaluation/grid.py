"""What a sweep compares: methods, at several limits, under several position policies.

A grid is plain data, from flags or YAML.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import Any, Literal, get_args

import attrs

from retake.core.config import RunConfig, structure
from retake.core.errors import UsageError, unknown_name
from retake.core.options import at_least, fraction, optional
from retake.core.references import parse_part

Varied = Literal["compressor", "selector"]

_GRID = ("methods", "keep_ratios", "budgets", "positions", "config")
_METHOD = ("name", "vary", "exclude")
_PARTS = ("selector", "compressor")
_AXES = ("keep_ratio", "budget", "positions")


@attrs.frozen
class Point:
    """Where in the grid a cell is.

    Attributes:
        keep_ratio, budget: the limit; at most one of them is given.
        positions: the position policy; None: the configuration's.
    """

    keep_ratio: float | None = attrs.field(default=None, validator=optional(fraction))
    budget: int | None = attrs.field(default=None, validator=optional(at_least(1)))
    positions: Literal["reforge", "original"] | None = None


@attrs.frozen
class Method:
    """A selector with a compressor, and whatever else of a configuration belongs to them.

    Attributes:
        name: what tables call it; unlike any other's.
        config: keys of a `RunConfig`, nested.
        vary: whose fraction a keep ratio is: the compressor's, or the selector's own option
            `keep_ratio`. None: the compressor's if it evicts, else the selector's if it has that
            option and the method leaves it open.
        exclude: where in the grid it is left out: axes with a value each.
    """

    name: str
    config: Mapping[str, Any] = attrs.field(factory=dict)
    vary: Varied | None = None
    exclude: tuple[Mapping[str, Any], ...] = ()

    def excluded(self, point: Point) -> bool:
        """Whether it is left out there."""
        return any(
            all(getattr(point, axis) == value for axis, value in rule.items())
            for rule in self.exclude
        )


@attrs.frozen
class Grid:
    """Methods and where they are tried.

    Attributes:
        methods: at least one.
        keep_ratios, budgets: limits; without either, that of the configuration.
        positions: position policies; without any, that of the configuration.
    """

    methods: tuple[Method, ...]
    keep_ratios: tuple[float, ...] = ()
    budgets: tuple[int, ...] = ()
    positions: tuple[str, ...] = ()

    def points(self) -> Iterator[Point]:
        """Every place in the grid, in order."""
        limits: list[dict[str, Any]] = [{"keep_ratio": ratio} for ratio in self.keep_ratios]
        limits += [{"budget": budget} for budget in self.budgets]
        for limit, positions in product(limits or [{}], self.positions or (None,)):
            yield structure(Point, {**limit, "positions": positions}, "value of the grid")


def read_grid(values: Mapping[str, Any]) -> Grid:
    """A grid from plain data.

    Args:
        values: "methods", each a mapping with a "name" and, if wanted, "vary", "exclude" and keys
            of a `RunConfig`; "keep_ratios"; "budgets"; "positions". A key "config" is not for the
            grid, and left alone.

    Raises:
        UsageError: an unknown key or axis, no methods, two of one name, or a value given twice.
    """
    for key in values:
        if key not in _GRID:
            raise unknown_name("key of the grid", str(key), _GRID)
    given = _list(values, "methods")
    if not given:
        raise UsageError("The grid has no methods.", hint="methods: is a list of mappings.")
    methods = tuple(_method(number, each) for number, each in enumerate(given, start=1))
    _once("method", [method.name for method in methods])
    axes = {name: tuple(_list(values, name)) for name in ("keep_ratios", "budgets", "positions")}
    for name, axis in axes.items():
        _once(f"value of {name}", axis)
    return Grid(methods, **axes)


def _method(number: int, given: Any) -> Method:
    if not isinstance(given, Mapping) or not isinstance(given.get("name"), str):
        raise UsageError(
            f"Method {number} of the grid must be a mapping with a name, got {given!r}."
        )
    name = given["name"]
    allowed = (*_METHOD, *(field.name for field in attrs.fields(RunConfig)))
    for key in given:
        if key not in allowed:
            raise unknown_name(f"key of the method '{name}'", str(key), allowed)
    vary = given.get("vary")
    if vary is not None and vary not in get_args(Varied):
        raise unknown_name(f"value of vary (method '{name}')", str(vary), get_args(Varied))
    config = {
        key: parse_part(value) if key in _PARTS and isinstance(value, str) else value
        for key, value in given.items()
        if key not in _METHOD
    }
    return Method(name, config, vary, _excluded(name, given.get("exclude") or []))


def _excluded(name: str, rules: Any) -> tuple[Mapping[str, Any], ...]:
    """Where a method is left out, checked."""
    for rule in rules if isinstance(rules, list) else [rules]:
        if not isinstance(rule, Mapping) or not rule:
            raise UsageError(
                f"exclude of the method '{name}' is a list of mappings, such as "
                f"'- keep_ratio: 0.5'; got {rule!r}."
            )
        for axis in rule:
            if axis not in _AXES:
                raise unknown_name(f"axis in exclude of the method '{name}'", str(axis), _AXES)
    return tuple(rules)


def _list(values: Mapping[str, Any], key: str) -> list[Any]:
    found = values.get(key)
    if found is None:
        return []
    if not isinstance(found, list | tuple):
        raise UsageError(f"'{key}' of the grid must be a list, got {found!r}.")
    return list(found)


def _once(what: str, values: Sequence[Any]) -> None:
    twice = next((value for value in values if values.count(value) > 1), None)
    if twice is not None:
        raise UsageError(f"The {what} '{twice}' is given twice.")
