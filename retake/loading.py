"""From options to parts: picking a device, an adapter, a selector and a compressor."""

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeVar, get_args

import attrs

from retake.backends import backends
from retake.compressors import compressors
from retake.core.config import ModelOptions, PartOptions, structure
from retake.core.errors import ModelError, UsageError
from retake.core.references import parse_part
from retake.core.registry import Registry
from retake.models import models
from retake.models.embedded import checkpoint_path
from retake.scorers import scorers
from retake.selectors import selectors

if TYPE_CHECKING:
    import torch

    from retake.core.adapter import ModelAdapter
    from retake.core.backend import Backend
    from retake.core.compressor import KVCompressor
    from retake.core.selector import FrameSelector

P = TypeVar("P")


def make_backend(name: str, kernel: str) -> "Backend":
    """The backend of that name; "auto" takes the first accelerator that is there, else the CPU.

    Raises:
        UsageError: there is no such backend, or this machine cannot use it.
    """
    if name == "auto":
        return _first_available(kernel)
    cls = backends.get(name)
    reason = cls.unavailable()
    if reason is not None:
        usable = ", ".join(each for each in backends.names() if not _why_not(each))
        raise UsageError(
            f"The backend '{name}' cannot be used here: {reason}.",
            hint=f"Usable on this machine: {usable}. --backend auto picks one.",
        )
    return structure(cls, {"kernel": kernel}, f"option of {name}")


def _why_not(name: str) -> str | None:
    """Why a backend cannot be used here; a plug-in that cannot be imported is one such reason."""
    try:
        return backends.get(name).unavailable()
    except UsageError as error:
        return error.message


def _first_available(kernel: str) -> "Backend":
    accelerators = [name for name in backends.names() if name != "cpu"]
    chosen = next((name for name in accelerators if not _why_not(name)), "cpu")
    return structure(backends.get(chosen), {"kernel": kernel}, f"option of {chosen}")


def make_part(
    registry: Registry[P], given: str | Mapping[str, Any] | PartOptions | P
) -> tuple[P, PartOptions]:
    """A part from one line, from name and options, or as it is; and how a result names it.

    An option that is a part itself is made in the same way; one in brackets, or given as `of`,
    is for the only option of that sort.
    """
    if isinstance(given, str):
        given = parse_part(given)
    if isinstance(given, Mapping):
        given = structure(PartOptions, given, f"key of a {registry.kind}")
    if isinstance(given, PartOptions):
        cls = registry.get(given.name)
        where = f"option of the {registry.kind} {given.name}"
        values = _with_inside(cls, given)
        inside = {key: make_part(kind, values[key]) for key, kind in _nested(cls, values)}
        built = {key: part for key, (part, _) in inside.items()}
        _check_complete(cls, values, given.name)
        part = structure(cls, {**values, **built}, where)
        named = {key: attrs.asdict(name, filter=_is_set) for key, (_, name) in inside.items()}
        return part, PartOptions(given.name, {**options_of(part), **named})
    if not isinstance(given, registry.base):
        raise UsageError(
            f"A {registry.kind} is a name or a {registry.base.__name__}, got {given!r}."
        )
    cls = type(given)
    known = [entry.name for entry in registry.entries() if entry.target is cls]
    return given, PartOptions(
        known[0] if known else f"{cls.__module__}:{cls.__qualname__}", options_of(given)
    )


def options_of(part: Any) -> dict[str, Any]:
    """All options of a part, those left at their defaults too; parts inside it by their names."""
    if not attrs.has(type(part)):
        return {}
    named = {
        field.name: attrs.asdict(make_part(kind, value)[1], filter=_is_set)
        for field in attrs.fields(type(part))
        for kind in _NESTED
        if kind.holds(value := getattr(part, field.name))
    }
    # Nested classes that are no parts are plain data too.
    return {**attrs.asdict(part, filter=lambda field, _: field.name not in named), **named}


def parts_within(part: Any, named: PartOptions) -> Iterator[tuple[str, type]]:
    """A part that was made and those inside it: the name of each, and its class."""
    yield named.name, type(part)
    for key, kind in _part_fields(type(part)).items():
        inside = getattr(part, key)
        if kind.holds(inside):
            its = named.options[key]
            yield from parts_within(inside, PartOptions(its["name"], its.get("options", {})))


#: Parts that may be options of others, and where they are found.
_NESTED: tuple[Registry[Any], ...] = (compressors, selectors, scorers)
_FOR_EXAMPLE = {"compressor": "pivotkv", "selector": "dpselect", "scorer": "colours"}


def _is_set(field: "attrs.Attribute[Any]", value: Any) -> bool:
    """A part's "of" is among its options once it is made."""
    return field.name != "of"


def _part_fields(cls: type) -> dict[str, Registry[Any]]:
    """A class's options that are parts themselves, and of which kind."""
    fields = attrs.fields(attrs.resolve_types(cls)) if attrs.has(cls) else ()
    return {
        field.name: kind
        for field in fields
        for kind in _NESTED
        if any(map(kind.is_base, (field.type, *get_args(field.type))))
    }


def _nested(cls: type, values: Mapping[str, Any]) -> list[tuple[str, Registry[Any]]]:
    """Those options of them that are given."""
    return [(key, kind) for key, kind in _part_fields(cls).items() if values.get(key) is not None]


def _with_inside(cls: type, given: PartOptions) -> dict[str, Any]:
    """A part's options with what stood in brackets among them."""
    if given.of is None:
        return dict(given.options)
    keys = list(_part_fields(cls))
    if len(keys) != 1:
        raise UsageError(
            f"'{given.name}' takes no part in brackets.",
            hint=f"Its options: {', '.join(options_named(cls)) or '(none)'}.",
        )
    if keys[0] in given.options:
        raise UsageError(f"'{given.name}' is given a part in brackets and as '{keys[0]}'.")
    return {**given.options, keys[0]: given.of}


def options_named(cls: type) -> list[str]:
    """Names of a part's options."""
    return [field.name for field in attrs.fields(cls)] if attrs.has(cls) else []


def _check_complete(cls: type, values: Mapping[str, Any], name: str) -> None:
    """Say which part is missing inside one that is made around another."""
    for key, kind in _part_fields(cls).items():
        field = attrs.fields_dict(cls)[key]
        if field.default is attrs.NOTHING and values.get(key) is None:
            raise UsageError(
                f"'{name}' is made around another part, a {kind.kind}, and none is given.",
                hint=f"Write it in brackets, as in '{name}({_FOR_EXAMPLE[kind.kind]})'.",
            )


def make_selector(
    given: "str | Mapping[str, Any] | PartOptions | FrameSelector",
) -> "tuple[FrameSelector, PartOptions]":
    """A selector, and how a result names it."""
    return make_part(selectors, given)


def make_compressor(
    given: "str | Mapping[str, Any] | PartOptions | KVCompressor",
) -> "tuple[KVCompressor, PartOptions]":
    """A compressor, and how a result names it."""
    return make_part(compressors, given)


def family_of(config: Mapping[str, Any], path: str) -> str:
    """The registered model family that a checkpoint's configuration belongs to.

    Raises:
        ModelError: no adapter knows its model type.
    """
    kind = config.get("model_type")
    if not isinstance(kind, str):
        raise ModelError(
            f"The config.json of '{path}' gives the model type {json.dumps(kind)}; "
            f"it must be a name.",
            hint="Is it the configuration of a model of transformers?",
        )
    known: dict[str, str] = {}
    broken: list[str] = []
    for name in models.names():
        try:
            known |= dict.fromkeys(models.get(name).model_types, name)
        except UsageError as error:
            # A broken plug-in must not stop the families that work.
            broken.append(error.message)
    if kind not in known:
        raise ModelError(
            f"No adapter knows the model type {json.dumps(kind)} of '{path}'.",
            hint=" ".join(
                [
                    f"Known: {', '.join(sorted(known))}.",
                    "An adapter of your own goes in with --adapter file.py:Class.",
                    *broken,
                ]
            ),
        )
    return known[kind]


def resolve_dtype(name: str, backend: "Backend") -> "torch.dtype":
    """The dtype of that name; "auto" is what the backend computes in by default."""
    import torch

    if name == "auto":
        return backend.default_dtype
    dtype: torch.dtype = getattr(torch, name)
    return dtype


def name_of(dtype: "torch.dtype") -> Any:
    """A dtype as options name it."""
    return str(dtype).removeprefix("torch.")


def _check_placed(adapter: "ModelAdapter", backend: "Backend") -> None:
    """Refuse a device map that leads away from the backend's kind of device."""
    kinds = {device.type for device in (adapter.device, *adapter.layer_devices)}
    others = sorted(kinds - {backend.device.type})
    if others:
        raise UsageError(
            f"The device map lets the model run on {', '.join(others)}, the backend is "
            f"'{backend.name}'.",
            hint=f"Map to {backend.device.type} devices, or choose the backend with --backend.",
        )


def load_adapter(options: ModelOptions, backend: "Backend") -> "tuple[ModelAdapter, ModelOptions]":
    """Load a model, and the options with everything automatic decided.

    Raises:
        ModelError: the checkpoint is missing, incomplete or of an unknown family.
        UsageError: a device map leads to devices of another kind than the backend's.
        MissingExtraError: a library is missing that the map or the weights need.
    """
    from retake.core.adapter import LoadOptions
    from retake.models.checkpoints import read_config

    path = options.path if options.path is not None else str(checkpoint_path())
    family = options.adapter
    if family == "auto":
        family = family_of(read_config(path), path)
    dtype = resolve_dtype(options.dtype, backend)
    adapter = models.get(family).load(
        path,
        LoadOptions(
            device=backend.device,
            on_host=backend.on_host,
            dtype=dtype,
            kernel=options.attention,
            yarn_factor=options.yarn_factor,
            device_map=options.device_map,
        ),
    )
    _check_placed(adapter, backend)
    resolved = attrs.evolve(
        options,
        adapter=family,
        backend=backend.name,
        dtype=name_of(dtype),
    )
    return adapter, resolved
