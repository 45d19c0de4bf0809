"""From presets, files and flags to one checked configuration.

Later layers win key by key: defaults, then the preset, then the files in order, then flags.
Importing this module imports torch.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from retake import presets
from retake.core.config import RunConfig, merge, read_yaml, set_path, structure
from retake.core.config import unstructure as as_data
from retake.core.errors import UsageError
from retake.core.references import key_value, parse_part

_LIMITS = ("budget", "keep_ratio")


def resolve(
    *,
    preset: str | None = None,
    files: Sequence[Path] = (),
    flags: Iterable[tuple[str, Any]] = (),
    parts: Mapping[str, tuple[str | None, Sequence[str]]] | None = None,
    settings: Sequence[str] = (),
    defaults: Mapping[str, Any] | None = None,
) -> RunConfig:
    """The configuration of a run.

    Args:
        preset: a preset's name.
        files: YAML files, later ones over earlier ones.
        flags: dotted paths and values.
        parts: for "selector" and "compressor", the name given ("name" or
            "name:key=value,…") and "KEY=VALUE" options.
        settings: "PATH=VALUE".
        defaults: a command's own, nested as a configuration file has them.

    Raises:
        UsageError: an unknown name or key, or a value that is not allowed.
    """
    layers: list[tuple[str, dict[str, Any]]] = []
    if preset is not None:
        layers.append((f"the preset {preset}", presets.load(preset)))
    layers += [(f"'{path}'", read_yaml(path)) for path in files]
    values: dict[str, Any] = dict(defaults or {})
    for source, layer in layers:
        layer = _with_part_names(layer)
        _check_alone(layer, source)
        values = _over(values, layer)
    values = _over(values, _given(flags, parts or {}, settings))
    return structure(RunConfig, _with_default_names(values), "configuration key")


def over(
    base: RunConfig, flags: Iterable[tuple[str, Any]], settings: Sequence[str] = ()
) -> RunConfig:
    """A configuration with dotted paths and "PATH=VALUE" set in it.

    Raises:
        UsageError: an unknown key, or a value that is not allowed.
    """
    values = _over(as_data(base), _given(flags, {}, settings))
    return structure(RunConfig, values, "configuration key")


def to_yaml(config: RunConfig) -> str:
    """A configuration as YAML that `--config` takes."""
    return yaml.safe_dump(as_data(config), sort_keys=False, allow_unicode=True)


def _given(
    flags: Iterable[tuple[str, Any]],
    parts: Mapping[str, tuple[str | None, Sequence[str]]],
    settings: Sequence[str],
) -> dict[str, Any]:
    """The command line's own layer."""
    values: dict[str, Any] = {}
    for path, value in flags:
        set_path(values, path, value)
    prefill = values.get("prefill", {})
    if all(name in prefill for name in _LIMITS):
        raise UsageError("--budget and --keep-ratio exclude each other; give one of them.")
    for kind, (reference, pairs) in parts.items():
        if reference is not None:
            values[kind] = parse_part(reference)
        for pair in pairs:
            key, value = key_value(pair, f"--{kind}-option")
            values.setdefault(kind, {}).setdefault("options", {})[key] = value
    for setting in settings:
        set_path(values, *key_value(setting, "--set"))
    return _with_part_names(values)


def _over(base: Mapping[str, Any], layer: Mapping[str, Any]) -> dict[str, Any]:
    """A layer over those before it; a budget replaces a keep_ratio, and the other way round."""
    limits = layer.get("prefill")
    if isinstance(limits, Mapping):
        given = [name for name in _LIMITS if limits.get(name) is not None]
        if len(given) == 1:
            other = _LIMITS[1 - _LIMITS.index(given[0])]
            layer = {**layer, "prefill": {other: None, **limits}}
    return merge(base, layer)


def _with_part_names(layer: Mapping[str, Any]) -> dict[str, Any]:
    """Parts given as plain text ("selector: dpselect") in their long form."""
    return {
        key: parse_part(value)
        if key in ("selector", "compressor") and isinstance(value, str)
        else value
        for key, value in layer.items()
    }


def _with_default_names(values: Mapping[str, Any]) -> dict[str, Any]:
    """Options given without a part's name are those of the default part."""
    default = RunConfig()
    named = {
        kind: {"name": getattr(default, kind).name, **values[kind]}
        for kind in ("selector", "compressor")
        if isinstance(values.get(kind), Mapping)
    }
    return {**values, **named}


def _check_alone(layer: Mapping[str, Any], source: str) -> None:
    """Refuse a wrong key where it stands, so that the message can name the file."""
    try:
        structure(RunConfig, _with_default_names(layer), "configuration key")
    except UsageError as error:
        raise UsageError(f"In {source}: {error.message}", hint=error.hint) from error
