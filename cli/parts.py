"""What is registered, described: names, papers, options; and what of it is broken, and why."""

import inspect
import re
from collections.abc import Callable
from typing import Any, get_args

import attrs

from retake import backends, compressors, datasets, models, presets, selectors
from retake.core.errors import RetakeError, UsageError
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
        from_code: the one that a reference to code stands for; None: of this kind there are none.
    """

    name: str
    flag: str
    parts: Callable[[], list[Part]]
    from_code: Callable[[str], Part] | None = None


def options_of(cls: type) -> tuple[Option, ...]:
    """The options of a part's class, from its attrs fields and its docstring.

    Raises:
        UsageError: the type of one is a name that is not defined.
    """
    if not attrs.has(cls):
        return ()
    try:
        fields = attrs.fields(attrs.resolve_types(cls))
    except NameError as error:
        raise UsageError(
            f"A type in {cls.__qualname__}'s options is not defined: {error}."
        ) from error
    helps = attribute_help(cls.__doc__ or "")
    return tuple(
        Option(
            name=field.name,
            type=type_name(field.type),
            default="required" if field.default is attrs.NOTHING else _plain(field.default),
            help=helps.get(field.name, ""),
        )
        for field in fields
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


def _kind(
    name: str, flag: str, registry: Registry[Any], note: Callable[[Any], str] = lambda _: ""
) -> Kind:
    """The parts of a registry, with a note on each; and those that code of one's own holds."""

    def described(reference: str, origin: str) -> Part:
        cls = registry.get(reference)
        summary, said = (inspect.getdoc(cls) or "").partition("\n")[0], note(cls)
        return Part(
            name=reference,
            summary=f"{summary} ({said})" if said else summary,
            source=getattr(cls, "source", ""),
            origin=origin,
            options=options_of(cls),
        )

    def parts() -> list[Part]:
        entries = registry.entries()
        found = [Part("(plug-in)", "", broken=clash.message) for clash in registry.clashes]
        for entry in entries:
            try:
                found.append(described(entry.name, entry.origin))
            except RetakeError as error:  # one that is broken does not hide the others
                found.append(Part(entry.name, "", origin=entry.origin, broken=str(error)))
        return found

    return Kind(
        name, flag, parts, lambda reference: described(reference, reference.rpartition(":")[0])
    )


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
    _kind("selectors", "--selector NAME", selectors, _asking),
    _kind("scorers", "--selector 'NAME(SCORER)'", scorers),
    _kind("compressors", "--compressor NAME", compressors, _asking),
    _kind(
        "models",
        "--adapter NAME",
        models,
        lambda cls: f"model type {', '.join(cls.model_types)}",
    ),
    _kind("backends", "--backend NAME", backends, _not_here),
    _kind("datasets", "retake eval NAME", datasets),
    Kind("presets", "--preset NAME", _presets),
    Kind("clips", "retake run clip:NAME", _clips),
)
