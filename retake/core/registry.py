"""Finding a part by name: one generic registry for every kind of part.

A name comes from a decorator, from a lazy target ("module:Class", imported when first
used), from an installed plug-in's entry point, or is itself a reference to code:
"path/to/file.py:Class" or "package.module:Class".
"""

import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable
from functools import cached_property
from hashlib import sha256
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Generic, TypeVar

import attrs

from retake.core.errors import RetakeError, UsageError, unknown_name

T = TypeVar("T")

#: Under this name a module that was imported from a file by its path keeps the SHA-256 of it.
CONTENT = "__retake_sha256__"


@attrs.frozen
class Entry:
    """One registered part as `retake list` shows it.

    Attributes:
        name: how it is asked for.
        origin: "retake", or the distribution or module that registered it.
        target: the class, or "module:Class" not imported yet.
    """

    name: str
    origin: str
    target: type | str


class Registry(Generic[T]):
    """Names of the classes of one kind of part.

    Args:
        kind: what the parts are called in messages ("selector").
        base: the class that they must derive from; "module:Class" is imported when first needed.
        entry_point_group: where installed plug-ins announce theirs.
    """

    def __init__(self, kind: str, base: type[T] | str, *, entry_point_group: str) -> None:
        self.kind = kind
        self._base = base
        self._group = entry_point_group
        self._entries: dict[str, Entry] = {}
        self._scanned = False
        #: Plug-ins refused because their name is taken; they must not stop what works.
        self.clashes: list[UsageError] = []

    @cached_property
    def base(self) -> type[T]:
        """The class that parts derive from."""
        if not isinstance(self._base, str):
            return self._base
        module, _, name = self._base.partition(":")
        base: type[T] = getattr(importlib.import_module(module), name)
        return base

    def is_base(self, kind: object) -> bool:
        """Whether a type is the one that parts derive from; imports nothing to say so."""
        return inspect.isclass(kind) and _path(kind) == (
            self._base if isinstance(self._base, str) else _path(self._base)
        )

    def holds(self, part: object) -> bool:
        """Whether something is a part of this kind; imports nothing to say so."""
        return any(self.is_base(kind) for kind in type(part).__mro__)

    def register(self, name: str) -> Callable[[type[T]], type[T]]:
        """Decorator: make a class available under a name.

        Raises:
            UsageError: the class is of another kind, or the name is taken by another class.
        """

        def add(cls: type[T]) -> type[T]:
            self._check_class(cls, name)
            self._add(Entry(name, cls.__module__, cls))
            return cls

        return add

    def register_lazy(self, name: str, target: str, origin: str = "retake") -> None:
        """Make "module:Class" available under a name without importing it."""
        self._add(Entry(name, origin, target))

    def names(self) -> list[str]:
        """All names, sorted."""
        self._scan()
        return sorted(self._entries)

    def entries(self) -> list[Entry]:
        """All entries, by name."""
        return [self._entries[name] for name in self.names()]

    def get(self, reference: str) -> type[T]:
        """The class that a name or a reference to code stands for.

        Raises:
            UsageError: no such name, file, module or class, or a class of another kind.
        """
        self._scan()
        if reference in self._entries:
            return self._resolve(self._entries[reference])
        if ":" in reference:
            return self._from_code(reference)
        if reference.endswith(".py"):
            raise self._needs_class(reference, _import_file(reference, self.kind))
        raise unknown_name(self.kind, reference, self._entries)

    def _add(self, entry: Entry) -> None:
        taken = self._entries.get(entry.name)
        if taken and taken.target != entry.target and not _same_class(taken, entry):
            raise UsageError(
                f"The {self.kind} name '{entry.name}' is taken: by {_shown(taken)}; "
                f"{_shown(entry)} cannot have it too.",
                hint="Give one of them another name.",
            )
        self._entries[entry.name] = entry

    def _scan(self) -> None:
        """Read the plug-ins' entry points, once; they are imported when used."""
        if self._scanned:
            return
        self._scanned = True
        for point in entry_points(group=self._group):
            entry = Entry(point.name, _distribution(point), point.value)
            try:
                self._add(entry)
            except UsageError as clash:
                self.clashes.append(clash)

    def _resolve(self, entry: Entry) -> type[T]:
        if isinstance(entry.target, str):
            cls = self._from_code(entry.target, origin=entry.origin)
            self._entries[entry.name] = attrs.evolve(entry, target=cls)
            return cls
        return entry.target

    def _from_code(self, reference: str, origin: str | None = None) -> type[T]:
        where, _, class_name = reference.rpartition(":")
        module = (
            _import_file(where, self.kind)
            if where.endswith(".py")
            else _import_module(where, self.kind, reference, origin)
        )
        if not class_name:
            raise self._needs_class(where, module)
        cls = getattr(module, class_name, None)
        if cls is None:
            raise unknown_name(f"class in {where}", class_name, self._candidates(module))
        self._check_class(cls, reference)
        return cls  # type: ignore[no-any-return]

    def _candidates(self, module: ModuleType) -> list[str]:
        """Names of the classes of this kind that a module defines."""
        return [
            name
            for name, value in vars(module).items()
            if inspect.isclass(value)
            and issubclass(value, self.base)
            and value.__module__ == module.__name__
        ]

    def _needs_class(self, where: str, module: ModuleType) -> UsageError:
        found = self._candidates(module)
        listing = ", ".join(f"{where}:{name}" for name in found)
        return UsageError(
            f"'{where}' is a file; name the {self.kind} class in it after a colon.",
            hint=f"It holds: {listing}." if found else f"It holds no {self.base.__name__}.",
        )

    def _check_class(self, cls: object, reference: str) -> None:
        if not inspect.isclass(cls) or not issubclass(cls, self.base):
            raise UsageError(
                f"'{reference}' is no {self.kind}: it does not derive from "
                f"retake.{self.base.__name__}."
            )
        if inspect.isabstract(cls):
            missing = ", ".join(sorted(getattr(cls, "__abstractmethods__", ())))
            raise UsageError(f"The {self.kind} '{reference}' does not define: {missing}.")


def _same_class(a: Entry, b: Entry) -> bool:
    """Whether two entries mean one class, one of them perhaps not imported yet."""
    return _shown(a) == _shown(b)


def _path(cls: type) -> str:
    """A class as "module:Class"."""
    return f"{cls.__module__}:{cls.__qualname__}"


def _shown(entry: Entry) -> str:
    target = entry.target
    return target if isinstance(target, str) else _path(target)


def _distribution(point: EntryPoint) -> str:
    return point.dist.name if point.dist else point.value


def _import_module(name: str, kind: str, reference: str, origin: str | None) -> ModuleType:
    try:
        return importlib.import_module(name)
    except Exception as error:
        whose = f" (of {origin})" if origin and origin != "retake" else ""
        raise UsageError(
            f"Cannot import '{name}' for the {kind} '{reference}'{whose}: "
            f"{type(error).__name__}: {error}."
        ) from error


def _import_file(where: str, kind: str) -> ModuleType:
    """Import a Python file by path; a second time gives the same module."""
    path = Path(where).expanduser().resolve()
    if not path.is_file():
        raise UsageError(f"There is no file '{where}' to take a {kind} from.")
    name = f"retake_file_{path.stem}_{sha256(str(path).encode()).hexdigest()[:12]}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        source = path.read_bytes()
        # Not by the loader, which may take what it once compiled: what is hashed is what runs.
        exec(compile(source, str(path), "exec", dont_inherit=True), vars(module))
        setattr(module, CONTENT, sha256(source).hexdigest())
    except RetakeError:
        del sys.modules[name]
        raise
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise UsageError(f"'{where}' fails when run: {type(error).__name__}: {error}.") from error
    return module
