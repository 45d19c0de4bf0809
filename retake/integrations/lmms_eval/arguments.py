"""From lmms-eval's model arguments to a checked configuration.

Every key of a run's configuration is a model argument: by its path ("video.fps"), or, of the
sections below, by its name alone ("fps").
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, get_args

import attrs
import torch

from retake.core.config import (
    GenerateOptions,
    ModelOptions,
    PrefillOptions,
    RunConfig,
    VideoOptions,
    parse_value,
    set_path,
)
from retake.core.errors import UsageError, unknown_name
from retake.core.references import parse_part
from retake.layering import LIMITS, PARTS, layered

OnBadVideo = Literal["error", "empty"]

_SECTIONS = {"model": ModelOptions, "video": VideoOptions, "prefill": PrefillOptions}
#: Names alone, and the paths that they stand for.
NAMES = {
    "pretrained": "model.path",
    "seed": "seed",
    **{
        field.name: f"{section}.{field.name}"
        for section, options in _SECTIONS.items()
        for field in attrs.fields(options)
        if field.name != "path"
    },
}
_GENERATE = {field.name for field in attrs.fields(GenerateOptions)}
#: What is an argument, and no key of the configuration.
_OWN = ("preset", "config", "device", "batch_size", "on_bad_video", "stop_at_blank_line")


@attrs.frozen
class Arguments:
    """What a run within lmms-eval is made with.

    Attributes:
        config: of the model and its parts.
        device: as lmms-eval was given it; None leaves it to the backend.
        batch: questions of a video that are asked at a time, at least 1.
        on_bad_video: a video that cannot be read is an "error", or its questions have an
            "empty" answer, with a warning.
        stop_at_blank_line: whether an answer ends at a blank line where a task lets it. lmms-eval
            says so for every task that says nothing.
    """

    config: RunConfig
    device: torch.device | None = None
    batch: int = 1
    on_bad_video: OnBadVideo = "error"
    stop_at_blank_line: bool = False


def read_arguments(given: Mapping[str, Any]) -> Arguments:
    """Model arguments as lmms-eval splits them, checked.

    Args:
        given: by name; numbers and booleans are converted, all else is text as it was typed.

    Raises:
        UsageError: a name is unknown, a value is of the wrong type or out of range, two of them
            exclude each other, or it is a setting of answers, which are the task's.
    """
    values = {key: _plain(key, value) for key, value in given.items()}
    device = _device(values.pop("device", None))
    own = {key: values.pop(key) for key in _OWN if key in values}
    named: dict[str, Any] = {}
    options: dict[str, dict[str, Any]] = {}
    flags: dict[str, Any] = {}
    for key, value in values.items():
        if key in PARTS:
            named[key] = parse_part(str(value))
        elif (found := _option_of(key)) is not None:
            kind, option = found
            options.setdefault(kind, {})[option] = value
        else:
            path = _path(key)
            if path in flags:
                raise UsageError(f"The model arguments give {path} twice, once as '{key}'.")
            flags[path] = value
    if device is not None and flags.setdefault("model.backend", device.type) != device.type:
        raise UsageError(
            f"The device is {device}, the backend '{flags['model.backend']}'.",
            hint="Give one of them.",
        )
    if all(f"prefill.{name}" in flags for name in LIMITS):
        raise UsageError("budget and keep_ratio exclude each other; give one of them.")
    config = layered(
        preset=own.get("preset"),
        files=_files(own.get("config")),
        values=_nested(flags, named, options),
    )
    return Arguments(
        config,
        device,
        _batch(own.get("batch_size", 1)),
        _choice("on_bad_video", own.get("on_bad_video", "error"), get_args(OnBadVideo)),
        _switch("stop_at_blank_line", own.get("stop_at_blank_line", False)),
    )


def _plain(key: str, value: Any) -> Any:
    """A value without the quotes that hold its commas together; mappings, lists and null read."""
    if not isinstance(value, str):
        # A folder may be called 2024.
        return str(value) if key == "pretrained" else value
    text = value.strip()
    if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"":
        text = text[1:-1]
    return parse_value(text) if text[:1] in ("{", "[", "~") or text == "null" else text


def _option_of(key: str) -> tuple[str, str] | None:
    """The selector or compressor, and the option of it, that a path leads to."""
    kind, _, option = key.partition(".options.")
    return (kind, option) if option and kind in PARTS else None


def _nested(
    flags: Mapping[str, Any],
    named: Mapping[str, dict[str, Any]],
    options: Mapping[str, dict[str, Any]],
) -> dict[str, Any]:
    """What was given, nested as a configuration file has it."""
    values: dict[str, Any] = dict(named)
    for path, value in flags.items():
        set_path(values, path, value)
    for kind, given in options.items():
        part = values.get(kind, {})
        values[kind] = {**part, "options": {**part.get("options", {}), **given}}
    return values


def _path(key: str) -> str:
    """The path in the configuration that an argument sets."""
    section = key.partition(".")[0]
    if section == "generate" or key in _GENERATE:
        raise UsageError(
            f"'{key}' is not a model argument: how answers are decoded is the task's to say.",
            hint=f"Override it with --gen_kwargs {key.rpartition('.')[2]}=…",
        )
    if key in NAMES:
        return NAMES[key]
    if "." in key and section in _SECTIONS:
        return key
    raise unknown_name("model argument", key, [*NAMES, *PARTS, *_OWN])


def _device(given: Any) -> torch.device | None:
    """A device as torch writes it ("cuda:1")."""
    if given is None:
        return None
    try:
        return torch.device(given)
    except (RuntimeError, TypeError) as error:
        raise UsageError(
            f"'{given}' is no device.", hint="Write cpu, cuda, cuda:1 or npu:0; or leave it out."
        ) from error


def _files(given: Any) -> list[Path]:
    """Configuration files: one, or a list of them."""
    names = [] if given is None else given if isinstance(given, list) else [given]
    return [Path(str(name)) for name in names]


def _batch(given: Any) -> int:
    if isinstance(given, str) and given.isdecimal():
        given = int(given)
    if type(given) is not int or given < 1:
        raise UsageError(
            f"batch_size is a whole number, 1 or more; got {given!r}.",
            hint="So many questions about one video are asked at a time.",
        )
    return given


def _choice(name: str, given: Any, allowed: tuple[str, ...]) -> Any:
    if given not in allowed:
        raise unknown_name(name, str(given), allowed)
    return given


def _switch(name: str, given: Any) -> bool:
    if not isinstance(given, bool):
        raise UsageError(f"{name} is true or false, got {given!r}.")
    return given
