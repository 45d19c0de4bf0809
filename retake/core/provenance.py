"""What must be known to obtain a result again, besides its configuration."""

import platform
import sys
from collections.abc import Mapping
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

_PACKAGES = ("retake", "torch", "transformers", "numpy", "av", "decord")


def versions() -> dict[str, str]:
    """Versions of Python, of this package and of those that decide its numbers."""
    found = {"python": platform.python_version(), "platform": platform.platform()}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def code_of(*values: Any) -> dict[str, str]:
    """The SHA-256 of every Python file that a part was taken from.

    Args:
        values: names of parts ("file.py:Class"), or options as plain data, parts inside included.

    Returns:
        Files as they were named, with their hashes; one that is gone has none.
    """
    found: dict[str, str] = {}
    for value in values:
        if isinstance(value, Mapping):
            found |= code_of(*value.values())
        elif isinstance(value, str) and ".py:" in value:
            where = value.partition(".py:")[0] + ".py"
            path = Path(where).expanduser()
            if path.is_file():
                found[where] = sha256(path.read_bytes()).hexdigest()
    return found


def command_line() -> list[str]:
    """The words this process was started with."""
    return list(sys.argv)
