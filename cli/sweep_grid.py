"""From `retake sweep`'s flags and its YAML file to the cells of a grid.

Importing this module imports torch.
"""

import re
from collections.abc import Iterator, Mapping
from itertools import product
from typing import Any

import yaml

from retake.core.config import RunConfig, merge, read_yaml
from retake.core.config import unstructure as as_data
from retake.core.errors import UsageError
from retake.core.references import parse_part
from retake.evaluation.cells import Cell, cells_of, shown
from retake.evaluation.grid import Grid, read_grid

from . import configuration
from .options import flags_given
from .steps import from_anywhere, generate_settings

_AXES = ("keep_ratios", "budgets", "positions")
# A name, which is followed by "=" before any option or bracket begins.
_NAMED = re.compile(r"^(?P<name>[^=:(+]+)=(?P<pair>.+)$")


def cells_of_flags(
    given: Mapping[str, Any], defaults: Mapping[str, Any]
) -> tuple[Grid, RunConfig, list[Cell]]:
    """The grid that a command's options ask for, what its methods leave open, and its cells.

    Args:
        given: the command's options.
        defaults: below everything else, nested as a configuration file has them.

    Raises:
        UsageError: an option, a key of the file or a configuration is wrong.
    """
    path = given["grid_file"]
    values = {} if path is None else read_yaml(path)
    try:
        base = _base(given, defaults, values)
        grid = read_grid(_with_flags(values, given, base))
        return grid, base, cells_of(grid, base)
    except UsageError as error:
        if path is None:
            raise
        raise UsageError(f"In '{path}': {error.message}", hint=error.hint) from error


def overview(base: RunConfig, cells: list[Cell]) -> str:
    """The base configuration and every cell, as YAML."""
    listed = [
        {key: value for key, value in cell.data().items() if key != "config" and value is not None}
        for cell in cells
    ]
    document = {"config": as_data(base), "cells": listed}
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True)


def method_of(text: str) -> dict[str, Any]:
    """ "NAME=SELECTOR+COMPRESSOR" as a method; without a name the pair is the name.

    Raises:
        UsageError: it is no pair.
    """
    named = _NAMED.match(text)
    pair = named["pair"] if named else text
    halves = [half.strip() for half in _halves(pair)]
    if len(halves) != 2 or not all(halves):
        raise UsageError(f"--method takes [NAME=]SELECTOR+COMPRESSOR, got '{text}'.")
    return {
        "name": named["name"].strip() if named else pair.strip(),
        "selector": parse_part(halves[0]),
        "compressor": parse_part(halves[1]),
    }


def _base(
    given: Mapping[str, Any], defaults: Mapping[str, Any], values: Mapping[str, Any]
) -> RunConfig:
    """What the methods leave open: the file's `config`, below presets, files and flags."""
    own = values.get("config") or {}
    if not isinstance(own, Mapping):
        raise UsageError(f"'config' of the grid must hold options by name, got {own!r}.")
    config = configuration.resolve(
        preset=given["preset"],
        files=given["config_files"],
        flags=flags_given(given),
        settings=[*generate_settings(dict(given)), *given["settings"]],
        defaults=merge(defaults, own),
    )
    return from_anywhere(config)


def _with_flags(
    values: Mapping[str, Any], given: Mapping[str, Any], base: RunConfig
) -> dict[str, Any]:
    """The file's grid with what flags add to it."""
    axes = {name: list(given[name]) for name in _AXES if given[name]}
    limits = {"keep_ratios", "budgets"}
    # A limit given by a flag stands for those of the file, of either sort.
    kept = {
        key: value for key, value in values.items() if not (key in limits and limits & set(axes))
    }
    methods = [*(values.get("methods") or []), *_combined(given, base)]
    methods += [method_of(text) for text in given["methods"]]
    if not methods:
        methods = [_method(shown(base.selector), shown(base.compressor), base)]
    return {**kept, **axes, "methods": methods}


def _combined(given: Mapping[str, Any], base: RunConfig) -> Iterator[dict[str, Any]]:
    """Every selector given with every compressor given."""
    selectors, compressors = given["selectors"], given["compressors"]
    if not selectors and not compressors:
        return
    for selector, compressor in product(selectors or [None], compressors or [None]):
        several = [
            text
            for text, all_of_them in ((selector, selectors), (compressor, compressors))
            if text is not None and (len(all_of_them) > 1 or not (selectors and compressors))
        ]
        both = [text for text in (selector, compressor) if text is not None]
        yield {**_method(selector, compressor, base), "name": " + ".join(several or both)}


def _method(selector: str | None, compressor: str | None, base: RunConfig) -> dict[str, Any]:
    """A method of what is given; the rest is the configuration's."""
    name = f"{selector or shown(base.selector)} + {compressor or shown(base.compressor)}"
    parts = {"selector": selector, "compressor": compressor}
    return {"name": name, **{kind: parse_part(text) for kind, text in parts.items() if text}}


def _halves(pair: str) -> list[str]:
    """A pair at its first "+" outside brackets."""
    depth = 0
    for place, letter in enumerate(pair):
        depth += {"(": 1, ")": -1}.get(letter, 0)
        if letter == "+" and depth == 0:
            return [pair[:place], pair[place + 1 :]]
    return [pair]
