"""From plain data to checked options, and back; and the configuration of a whole run.

Options are attrs classes. Whatever comes from outside (flags, YAML, JSON) is converted and
checked here, once; an unknown key is an error that names the near ones.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar, get_origin

import attrs
import cattrs
import yaml
from cattrs.preconf.json import make_converter

from retake.core.errors import UsageError, unknown_name
from retake.core.options import at_least, between, fraction, optional, positive, spread
from retake.core.type_words import choices_of, in_words

T = TypeVar("T")
# Each takes tens of megabytes, and more than the cores there are make nothing faster.
MOST_READER_THREADS = 64

# YAML 1.1 takes "1e-3" for text, for want of a point.
_EXPONENT = re.compile(r"[+-]?\d+(\.\d*)?[eE][+-]?\d+")


@attrs.frozen
class ModelOptions:
    """Which model, and how it is loaded.

    Attributes:
        path: a checkpoint's folder or hub id; None is the embedded model.
        adapter: the model family by name, or "auto" from the checkpoint's configuration.
        backend: the device by name, or "auto".
        dtype: of weights and computation; "auto" is bfloat16 on accelerators, float32 on CPU.
        attention: "sdpa" (fused kernels) or "eager" (plain products, the slow reference).
        yarn_factor: stretch the context so many times by YaRN (arXiv 2309.00071).
        device_map: spread the model over the backend's devices: "auto", "balanced",
            "sequential", or a mapping from modules to a device's number or name, "cpu" or
            "disk". None: all of it on one device.
    """

    path: str | None = None
    adapter: str = "auto"
    backend: str = "auto"
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    attention: Literal["sdpa", "eager"] = "sdpa"
    yarn_factor: float | None = attrs.field(default=None, validator=optional(at_least(1)))
    device_map: Any = attrs.field(default=None, validator=optional(spread))


@attrs.frozen
class VideoOptions:
    """Which frames are looked at.

    Attributes:
        fps: frames sampled per second of video; None: only max_frames counts.
        max_frames: at most so many, spread over the whole video.
        long_side: frames are scaled down to at most so many pixels on their longer side.
        reader: "auto", "decord", "pyav" or "frames" (a folder of numbered images).
        reader_threads: threads of the decoder, 1 to 64; None: as many as there are cores, at
            most 8.
        folder_fps: the rate at which a folder's frames were taken.
        on_bad_frame: a frame that cannot be decoded is an "error", or is left out and
            reported ("report").
    """

    fps: float | None = attrs.field(default=2.0, validator=optional(positive))
    max_frames: int | None = attrs.field(default=2048, validator=optional(at_least(1)))
    long_side: int | None = attrs.field(default=448, validator=optional(at_least(28)))
    reader: Literal["auto", "decord", "pyav", "frames"] = "auto"
    reader_threads: int | None = attrs.field(
        default=None, validator=optional(between(1, MOST_READER_THREADS))
    )
    folder_fps: float | None = attrs.field(default=None, validator=optional(positive))
    on_bad_frame: Literal["error", "report"] = "error"


@attrs.frozen
class PartOptions:
    """A registered part by name (or reference to code), and its own options.

    Attributes:
        name: of the part.
        options: its own.
        of: the part inside it, where it is made around another ("pyramidkv(pivotkv)"): a name, or
            name and options likewise. Results have it among the options.
    """

    name: str
    options: dict[str, Any] = attrs.field(factory=dict)
    of: Any = None


@attrs.frozen
class PrefillOptions:
    """How the video is prefilled, and how much of it is kept.

    Attributes:
        budget: tokens each layer may hold after prefill, prompt included.
        keep_ratio: fraction of the selected visual tokens to keep instead of a budget.
        positions: "reforge" renumbers what is kept, "original" leaves it.
        chunk_frames: frames a chunk; a chunk is a whole number of temporal steps.
        reserve: tokens of the budget set aside for the question; None: as many as the
            questions given beforehand need, or 64.
        reference: reproduce the published research code where it departs from the paper
            (docs/fidelity.md), for parity with it.
    """

    budget: int | None = attrs.field(default=None, validator=optional(at_least(1)))
    keep_ratio: float | None = attrs.field(default=None, validator=optional(fraction))
    positions: Literal["reforge", "original"] = "reforge"
    chunk_frames: int = attrs.field(default=32, validator=at_least(1))
    reserve: int | None = attrs.field(default=None, validator=optional(at_least(0)))
    reference: bool = False

    def __attrs_post_init__(self) -> None:
        if self.budget is not None and self.keep_ratio is not None:
            raise ValueError(
                f"budget ({self.budget}) and keep_ratio ({self.keep_ratio}) exclude each other"
            )


@attrs.frozen
class GenerateOptions:
    """How an answer is decoded; `extra` goes to `transformers` unchanged.

    Attributes:
        max_new_tokens: length at most.
        do_sample: draw tokens instead of taking the likeliest.
        temperature, top_p, top_k: of sampling; None leaves the checkpoint's.
        num_beams: beams searched.
        extra: any other setting of `transformers.GenerationConfig`.
    """

    max_new_tokens: int = attrs.field(default=128, validator=at_least(1))
    do_sample: bool = False
    temperature: float | None = attrs.field(default=None, validator=optional(positive))
    top_p: float | None = attrs.field(default=None, validator=optional(fraction))
    top_k: int | None = attrs.field(default=None, validator=optional(at_least(1)))
    num_beams: int = attrs.field(default=1, validator=at_least(1))
    extra: dict[str, Any] = attrs.field(factory=dict)


@attrs.frozen
class RunConfig:
    """Everything that decides a result."""

    model: ModelOptions = attrs.field(factory=ModelOptions)
    video: VideoOptions = attrs.field(factory=VideoOptions)
    selector: PartOptions = attrs.field(factory=lambda: PartOptions("dpselect"))
    compressor: PartOptions = attrs.field(factory=lambda: PartOptions("pivotkv"))
    prefill: PrefillOptions = attrs.field(factory=PrefillOptions)
    generate: GenerateOptions = attrs.field(factory=GenerateOptions)
    seed: int = attrs.field(default=0, validator=[at_least(0), attrs.validators.lt(2**63)])


def _exactly(kind: type, *others: type) -> Any:
    """A structure hook that takes values of given types only; nothing is coerced."""

    def structure(value: Any, _: Any) -> Any:
        if type(value) is kind:
            return value
        if type(value) in others:
            return kind(value)
        raise TypeError(f"must be a {kind.__name__}, got {value!r}")

    return structure


def strict_converter() -> cattrs.Converter:
    """A converter that takes plain data as it is: no type is coerced, no key is left over."""
    converter = make_converter(forbid_extra_keys=True, detailed_validation=False)
    converter.register_structure_hook(int, _exactly(int))
    converter.register_structure_hook(float, _exactly(float, int))
    converter.register_structure_hook(bool, _exactly(bool))
    converter.register_structure_hook(str, _exactly(str))
    return converter


_CONVERTER = strict_converter()


def structure(cls: type[T], values: Mapping[str, Any], where: str) -> T:
    """An options class from plain data.

    Args:
        cls: an attrs class.
        values: its fields by name; nested options as nested mappings.
        where: what the values are, for messages ("option of pivotkv").

    Raises:
        UsageError: an unknown or a missing key, or a value of the wrong type or out of range.
    """
    try:
        options: Any = attrs.resolve_types(cls)  # type: ignore[type-var]
    except NameError as error:
        raise UsageError(
            f"A type in {cls.__qualname__}'s options is not defined: {error}."
        ) from error
    fields = {field.name: field for field in attrs.fields(options) if field.init}
    converted: dict[str, Any] = {}
    for key, value in values.items():
        if key not in fields:
            raise unknown_name(where, str(key), fields)
        converted[key] = _field(fields[key], value, where)
    left_out = [
        name
        for name, field in fields.items()
        if field.default is attrs.NOTHING and name not in converted
    ]
    if left_out:
        raise UsageError(
            f"Missing {where}: {', '.join(left_out)}.", hint="What has no default must be given."
        )
    try:
        return cls(**converted)
    except (TypeError, ValueError) as error:
        raise UsageError(f"Wrong {where}: {_reason(error)}.") from error


def _field(field: "attrs.Attribute[Any]", value: Any, where: str) -> Any:
    """One field's value, converted to its type."""
    if field.type is None or attrs.has(type(value)):
        return value
    if attrs.has(field.type):
        if not isinstance(value, Mapping):
            raise UsageError(f"Wrong {where}: '{field.name}' holds options, got {value!r}.")
        return structure(field.type, value, f"option of {field.name}")
    # A list of one need not be written as a list.
    lone = get_origin(field.type) is tuple and not isinstance(value, list | tuple)
    choices = choices_of(field.type)
    if choices and value not in choices:
        named = [str(each) for each in choices if each is not None]
        raise unknown_name(f"{field.name} ({where})", str(value), named)
    try:
        return _CONVERTER.structure([value] if lone else value, field.type)
    except Exception as error:
        wanted = in_words(field.type)
        raise UsageError(f"Wrong {where}: {field.name} must be {wanted}, got {value!r}.") from error


def _reason(error: Exception) -> str:
    """The first argument of an attrs validation error, without its internals."""
    return str(error.args[0] if error.args else error).rstrip(".")


def unstructure(options: Any) -> dict[str, Any]:
    """Options as plain data, fit for JSON and YAML."""
    return attrs.asdict(
        options, filter=lambda field, value: field.name != "of" or value is not None
    )


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Two nested mappings as one, the second winning key by key.

    A part given by another name does not inherit the options of the one that it replaces.
    """
    merged = dict(base)
    for key, value in over.items():
        old = merged.get(key)
        if isinstance(old, Mapping) and isinstance(value, Mapping):
            replaced = "name" in value and "name" in old and value["name"] != old["name"]
            merged[key] = dict(value) if replaced else merge(_without_inside(old, value), value)
        else:
            merged[key] = value
    return merged


def _without_inside(old: Mapping[str, Any], new: Mapping[str, Any]) -> Mapping[str, Any]:
    """A part without what is inside it, where another is put inside, in whichever form."""
    options = new.get("options")
    given = isinstance(options, Mapping) and any(_is_part(each) for each in options.values())
    if new.get("of") is None and not given:
        return old
    kept = {key: value for key, value in old.items() if key != "of"}
    if isinstance(old.get("options"), Mapping) and new.get("of") is not None:
        inside = old["options"].items()
        kept["options"] = {key: value for key, value in inside if not _is_part(value)}
    return kept


def _is_part(value: Any) -> bool:
    return isinstance(value, Mapping) and "name" in value


def set_path(values: dict[str, Any], path: str, value: Any) -> None:
    """Set "a.b.c" in nested dicts, making those that are missing."""
    *parents, last = path.split(".")
    for name in parents:
        values = values.setdefault(name, {})
        if not isinstance(values, dict):
            raise UsageError(f"'{path}' goes through '{name}', which holds a value, not options.")
    values[last] = value


def parse_value(text: str) -> Any:
    """A value written on the command line, as YAML understands it: numbers, booleans, lists."""
    if _EXPONENT.fullmatch(text.strip()):
        return float(text)
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise UsageError(f"'{text}' is not a value: {_first_line(error)}.") from error


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML file that holds options.

    Raises:
        UsageError: it is missing, unreadable, not YAML, or no mapping.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"Cannot read the configuration '{path}': {error}.") from error
    try:
        values = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise UsageError(f"'{path}' is not valid YAML: {_first_line(error)}.") from error
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise UsageError(f"'{path}' must hold options by name, not a {type(values).__name__}.")
    return values


def _first_line(error: Exception) -> str:
    """A YAML error in one line: what is wrong, and where."""
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or str(error).splitlines()[0]
    return f"{problem} (line {mark.line + 1})" if mark else str(problem)
