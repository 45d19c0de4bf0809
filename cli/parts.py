"""What is registered, described: names, papers, options; and what of it is broken, and why."""

import inspect
import re
from collections.abc import Callable
from typing import Any, get_args

import attrs

from retake import backends, compressors, datasets, models, presets, selectors
from retake.core.errors import RetakeError
from retake.core.registry import Registry
from retake.datasets.scenes import Clip
from retake.models.embedded import clips
from retake.scorers import scorers

from . import units


@attrs.frozen
class Option:
    """One option of a part, as text."""

    name: str
    type: str
    default: str
    help: str


@attrs.frozen
class Part:
    """One part, as `retake list` shows it.

    Attributes:
        name: how it is asked for.
        summary: what it is, in a line.
        source: the paper it comes from, or "".
        origin: who registered it.
        options: what may be set.
        broken: why it cannot be used, or None.
    """

    name: str
    summary: str
    source: str = ""
    origin: str = ""
    options: tuple[Option, ...] = ()
    broken: str | None = None


@attrs.frozen
class Kind:
    """One kind of part.

    Attributes:
        name: in the plural, as `retake list` takes it.
        flag: how one is chosen for `retake run`.
        parts: finds them.
    """

    name: str
    flag: str
    parts: Callable[[], list[Part]]


def options_of(cls: type) -> tuple[Option, ...]:
    """The options of a part's class, from its attrs fields and its docstring."""
    if not attrs.has(cls):
        return ()
    helps = attribute_help(cls.__doc__ or "")
    return tuple(
        Option(
            name=field.name,
            type=type_name(field.type),
            default="required" if field.default is attrs.NOTHING else _plain(field.default),
            help=helps.get(field.name, ""),
        )
        for field in attrs.fields(attrs.resolve_types(cls))
        if field.init
    )


def attribute_help(doc: str) -> dict[str, str]:
    """The "Attributes:" section of a docstring: name to text, joined lines."""
    _, found, section = inspect.cleandoc(doc).partition("Attributes:\n")
    helps: dict[str, str] = {}
    names: list[str] = []
    for line in section.splitlines() if found else ():
        if line.strip() and not line.startswith(" "):
            break
        entry = re.match(r"    ([\w, ]+): (.*)", line)
        if entry and not line.startswith("     "):
            names = [name.strip() for name in entry[1].split(",")]
            helps |= dict.fromkeys(names, entry[2].strip())
        elif line.strip():
            helps |= {name: f"{helps[name]} {line.strip()}" for name in names}
    return helps


def type_name(kind: Any) -> str:
    """A type as a user writes its values: "float", "int or none", "sdpa|eager", "[int, int]"."""
    if kind is None or kind is Any:
        return "any"
    if kind is type(None):
        return "none"
    arguments = get_args(kind)
    if getattr(kind, "__origin__", None) is not None and "Literal" in str(kind.__origin__):
        return "|".join(str(value) for value in arguments)
    if getattr(kind, "__origin__", None) is tuple:
        names = ["..." if each is Ellipsis else type_name(each) for each in arguments]
        return f"[{', '.join(names)}]"
    if arguments and not isinstance(kind, type):
        return " or ".join(type_name(each) for each in arguments)
    return getattr(kind, "__name__", str(kind))


def _plain(value: Any) -> str:
    """A default as YAML has it."""
    if isinstance(value, attrs.Factory):  # type: ignore[arg-type]
        return "..."
    if isinstance(value, tuple):
        return f"[{', '.join(map(_plain, value))}]"
    if value == "":
        return "''"
    return str(value).lower() if isinstance(value, bool) or value is None else str(value)


def _registered(
    registry: Registry[Any], note: Callable[[Any], str] | None = None
) -> Callable[[], list[Part]]:
    """Finds the parts of a registry; one that cannot be imported does not hide the others."""

    def parts() -> list[Part]:
        entries = registry.entries()
        found = [Part("(plug-in)", "", broken=clash.message) for clash in registry.clashes]
        for entry in entries:
            try:
                cls = registry.get(entry.name)
                unusable = note(cls) if note else ""
            except RetakeError as error:
                found.append(Part(entry.name, "", origin=entry.origin, broken=str(error)))
                continue
            summary = (inspect.getdoc(cls) or "").partition("\n")[0]
            found.append(
                Part(
                    name=entry.name,
                    summary=f"{summary} ({unusable})" if unusable else summary,
                    source=getattr(cls, "source", ""),
                    origin=entry.origin,
                    options=options_of(cls),
                )
            )
        return found

    return parts


def _presets() -> list[Part]:
    return [Part(name, presets.describe(name), origin="retake") for name in presets.names()]


def _clips() -> list[Part]:
    found = []
    for path in clips():
        try:
            clip = Clip.load(path.with_suffix(".json"))
        except RetakeError as error:
            found.append(Part(path.stem, "", broken=str(error)))
            continue
        about = f"{units.length(clip.seconds)}, {len(clip.questions)} questions"
        found.append(Part(path.stem, about, origin="retake"))
    return found


def _not_here(cls: Any) -> str:
    reason = cls.unavailable()
    return f"not here: {reason}" if reason else "usable here"


def _asking(cls: Any) -> str:
    # A wrapper's is a property: it depends on what is wrapped.
    return "needs the question" if cls.needs_question is True else ""


KINDS = (
    Kind("selectors", "--selector NAME", _registered(selectors, _asking)),
    Kind("scorers", "--selector 'NAME(SCORER)'", _registered(scorers)),
    Kind("compressors", "--compressor NAME", _registered(compressors, _asking)),
    Kind(
        "models",
        "--adapter NAME",
        _registered(models, lambda cls: f"model type {', '.join(cls.model_types)}"),
    ),
    Kind("backends", "--backend NAME", _registered(backends, _not_here)),
    Kind("datasets", "retake eval NAME", _registered(datasets)),
    Kind("presets", "--preset NAME", _presets),
    Kind("clips", "retake run clip:NAME", _clips),
)
