"""What must be known to obtain a result again, besides its configuration."""

import platform
import sys
from importlib.metadata import PackageNotFoundError, version

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


def command_line() -> list[str]:
    """The words this process was started with."""
    return list(sys.argv)
