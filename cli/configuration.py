"""From flags to one checked configuration, over presets and files.

How layers lie over each other is `retake/layering.py`'s; flags are the last of them.
Importing this module imports torch.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from retake.core.config import RunConfig, set_path
from retake.core.config import unstructure as as_data
from retake.core.errors import UsageError
from retake.core.references import key_value, parse_part
from retake.layering import LIMITS, layered
from retake.layering import over as layered_over


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
    values = _given(flags, parts or {}, settings)
    return layered(preset=preset, files=files, values=values, defaults=defaults)


def over(
    base: RunConfig, flags: Iterable[tuple[str, Any]], settings: Sequence[str] = ()
) -> RunConfig:
    """A configuration with dotted paths and "PATH=VALUE" set in it.

    Raises:
        UsageError: an unknown key, or a value that is not allowed.
    """
    return layered_over(base, _given(flags, {}, settings))


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
    if all(name in prefill for name in LIMITS):
        raise UsageError("--budget and --keep-ratio exclude each other; give one of them.")
    for kind, (reference, pairs) in parts.items():
        if reference is not None:
            values[kind] = parse_part(reference)
        for pair in pairs:
            key, value = key_value(pair, f"--{kind}-option")
            values.setdefault(kind, {}).setdefault("options", {})[key] = value
    for setting in settings:
        set_path(values, *key_value(setting, "--set"))
    return values
