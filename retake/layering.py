"""From a preset, files and values to one checked configuration.

Later layers win key by key: defaults, then the preset, then the files in order, then values of
the caller's own.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from retake import presets
from retake.core.config import RunConfig, merge, read_yaml, structure, unstructure
from retake.core.errors import UsageError
from retake.core.references import parse_part

#: What bounds a prefill; a layer that gives one of them takes the other's place.
LIMITS = ("budget", "keep_ratio")
#: The sections of a configuration that name a part.
PARTS = ("selector", "compressor")


def layered(
    *,
    preset: str | None = None,
    files: Sequence[Path] = (),
    values: Mapping[str, Any] | None = None,
    defaults: Mapping[str, Any] | None = None,
) -> RunConfig:
    """The configuration that layers make.

    In each a part may be plain text ("selector: dpselect:alpha=2"); a part's options without
    its name are those of the part that stands below, or of the default.

    Args:
        preset: a preset's name.
        files: YAML files, later ones over earlier ones.
        values: the last layer, nested as a configuration file has them.
        defaults: the first layer, likewise.

    Raises:
        UsageError: an unknown name or key, or a value that is not allowed. What a preset or a
            file alone has wrong is said with its name.
    """
    layers: list[tuple[str, dict[str, Any]]] = []
    if preset is not None:
        layers.append((f"the preset {preset}", presets.load(preset)))
    layers += [(f"'{path}'", read_yaml(path)) for path in files]
    found: dict[str, Any] = dict(defaults or {})
    for source, layer in layers:
        layer = _with_part_names(layer)
        _check_alone(layer, source)
        found = _over(found, layer)
    found = _over(found, _with_part_names(values or {}))
    return structure(RunConfig, _with_default_names(found), "configuration key")


def over(base: RunConfig, values: Mapping[str, Any]) -> RunConfig:
    """A configuration with one more layer on top, nested as a configuration file has it.

    Raises:
        UsageError: an unknown key, or a value that is not allowed.
    """
    found = _over(unstructure(base), _with_part_names(values))
    return structure(RunConfig, found, "configuration key")


def _over(base: Mapping[str, Any], layer: Mapping[str, Any]) -> dict[str, Any]:
    """A layer over those before it; a budget replaces a keep_ratio, and the other way round."""
    limits = layer.get("prefill")
    if isinstance(limits, Mapping):
        given = [name for name in LIMITS if limits.get(name) is not None]
        if len(given) == 1:
            other = LIMITS[1 - LIMITS.index(given[0])]
            layer = {**layer, "prefill": {other: None, **limits}}
    return merge(base, layer)


def _with_part_names(layer: Mapping[str, Any]) -> dict[str, Any]:
    """Parts given as plain text ("selector: dpselect") in their long form."""
    return {
        key: parse_part(value) if key in PARTS and isinstance(value, str) else value
        for key, value in layer.items()
    }


def _with_default_names(values: Mapping[str, Any]) -> dict[str, Any]:
    """Options given without a part's name are those of the default part."""
    default = RunConfig()
    named = {
        kind: {"name": getattr(default, kind).name, **values[kind]}
        for kind in PARTS
        if isinstance(values.get(kind), Mapping)
    }
    return {**values, **named}


def _check_alone(layer: Mapping[str, Any], source: str) -> None:
    """Refuse a wrong key where it stands, so that the message can name the file."""
    try:
        structure(RunConfig, _with_default_names(layer), "configuration key")
    except UsageError as error:
        raise UsageError(f"In {source}: {error.message}", hint=error.hint) from error
