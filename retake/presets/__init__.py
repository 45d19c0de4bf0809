"""Published settings by name, one YAML a model and benchmark."""

from importlib.resources import as_file, files
from importlib.resources.abc import Traversable
from typing import Any

from retake.core.config import read_yaml
from retake.core.errors import unknown_name

_SUFFIX = ".yaml"


def names() -> list[str]:
    """The presets, as "model/benchmark"."""
    return sorted(
        f"{folder.name}/{entry.name.removesuffix(_SUFFIX)}"
        for folder in _root().iterdir()
        if folder.is_dir()
        for entry in folder.iterdir()
        if entry.name.endswith(_SUFFIX)
    )


def load(name: str) -> dict[str, Any]:
    """A preset as plain data, to be merged under other options.

    Raises:
        UsageError: there is none of that name.
    """
    with as_file(_file(name)) as path:
        return read_yaml(path)


def describe(name: str) -> str:
    """What a preset is: the first line of its comment."""
    first = _file(name).read_text(encoding="utf-8").partition("\n")[0]
    return first.lstrip("# ").rstrip()


def _root() -> Traversable:
    return files(__name__)


def _file(name: str) -> Traversable:
    if name not in names():
        raise unknown_name("preset", name, names())
    return _root().joinpath(*f"{name}{_SUFFIX}".split("/"))
