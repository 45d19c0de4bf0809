"""What tells runs apart: a short name for each one's method, from what differs between them."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePath
from typing import Any

from retake.evaluation.records import RunHeader

_PARTS = ("selector", "compressor")
# How much is kept is an axis of the charts, not part of a method's name.
_AXES = ("keep_ratio", "budget")
# Decides no answer.
_APART = ("model.backend", "model.device_map", "video.reader_threads")


def method_names(headers: Sequence[RunHeader]) -> list[str]:
    """A name for each run's method.

    Both parts where both differ, else the one that does; behind them every other key of the
    configuration that differs. Runs that differ only in how much they keep have the same name.
    """
    configs = [header.config for header in headers]
    parts = {
        kind: [_part(config.get(kind), kind, configs) for config in configs] for kind in _PARTS
    }
    varied = [kind for kind in _PARTS if len(set(parts[kind])) > 1] or list(_PARTS)
    other = _differing(
        [dict(_flat({k: v for k, v in config.items() if k not in _PARTS})) for config in configs]
    )
    names = []
    for at, rest in enumerate(other):
        words = [" + ".join(parts[kind][at] for kind in varied), *rest]
        names.append(", ".join(words))
    return names


def _part(given: Any, kind: str, configs: Sequence[Mapping[str, Any]]) -> str:
    """A part's name, with the options in which parts of this name differ between runs."""
    if not isinstance(given, Mapping):
        return "?"
    namesakes = [
        config[kind]
        for config in configs
        if isinstance(config.get(kind), Mapping) and config[kind].get("name") == given.get("name")
    ]
    options = [dict(_flat(each.get("options") or {})) for each in namesakes]
    at = next(at for at, each in enumerate(namesakes) if each is given)
    told = _differing(options)[at]
    name = _short(str(given.get("name", "?")))
    inner = _inner(given.get("options") or {})
    name = f"{name}({inner})" if inner else name
    return f"{name} ({', '.join(told)})" if told else name


def _inner(options: Mapping[str, Any]) -> str:
    """The part inside a part, by name."""
    for value in options.values():
        if isinstance(value, Mapping) and isinstance(value.get("name"), str):
            deeper = _inner(value.get("options") or {})
            name = _short(value["name"])
            return f"{name}({deeper})" if deeper else name
    return ""


def _differing(flats: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """For each mapping, "key=value" of the keys whose values are not the same in all."""
    keys = dict.fromkeys(key for flat in flats for key in flat)
    varied = [
        key
        for key in keys
        if key.rpartition(".")[2] not in (*_AXES, "name")
        and key not in _APART
        and any(flat.get(key) != flats[0].get(key) for flat in flats)
    ]
    return [[f"{_word(key)}={_value(flat.get(key))}" for key in varied] for flat in flats]


def _flat(data: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    """Nested mappings as dotted keys."""
    for key, value in data.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{before}{key}.")
        else:
            yield f"{before}{key}", value


def _word(key: str) -> str:
    return key.rpartition(".")[2] if not key.startswith("model.") else key


def _value(value: Any) -> str:
    return "none" if value is None else _short(str(value))


def _short(text: str) -> str:
    """A reference to code by its last part; a path by its name."""
    _, found, name = text.rpartition(":")
    if found and name.isidentifier():
        return name
    return PurePath(text).name if "/" in text or "\\" in text else text
