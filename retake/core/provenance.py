"""What must be known to obtain a result again, besides its configuration."""

import os
import platform
import subprocess
import sys
from contextlib import suppress
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from itertools import takewhile
from pathlib import Path

from retake.core.registry import CONTENT

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


def revision() -> str | None:
    """The git commit of this package's source, "+changes" behind it where files differ.

    None where the package is not run from a checkout of its own, or git is not there.
    """
    source = Path(__file__).resolve().parents[2]
    if not (source / ".git").exists():
        return None
    commit = _git(source, "rev-parse", "HEAD")
    status = _git(source, "status", "--porcelain", "--", "retake", "cli")
    if not commit or status is None:
        return None
    return f"{commit}+changes" if status else commit


def hardware() -> dict[str, str | int]:
    """The machine: its processor, the cores this process may use, its memory in bytes."""
    found: dict[str, str | int] = {"processor": _processor(), "cores": _cores()}
    with suppress(AttributeError, ValueError, OSError):  # not every system tells
        found["memory_bytes"] = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return found


def command_line() -> list[str]:
    """The words this process was started with."""
    return list(sys.argv)


def code_of(cls: type, reference: str) -> dict[str, str]:
    """The code outside this package that a part was taken from.

    Args:
        cls: the part's class.
        reference: how it was asked for.

    Returns:
        SHA-256 of the content, by the file as the reference has it ("./mine.py") or else by the
        module ("my_package.mine"): of the class, and of those that it derives from.
    """
    found = {}
    for each in takewhile(lambda each: _top(each) != "retake", cls.__mro__):
        content = None if _top(each) in sys.stdlib_module_names else _content(each.__module__)
        if content is not None:
            found[_name(each, cls, reference)] = content
    return found


def _git(folder: Path, *words: str) -> str | None:
    """What git says, None where it does not."""
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *words],
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, "") or platform.processor() or platform.machine()


def _cores() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on every system
        return os.cpu_count() or 1


def _top(cls: type) -> str:
    return cls.__module__.partition(".")[0]


def _name(cls: type, part: type, reference: str) -> str:
    where = reference.rpartition(":")[0]
    if where.endswith(".py") and cls.__module__ == part.__module__:
        return where
    module = sys.modules[cls.__module__]
    return str(module.__file__) if hasattr(module, CONTENT) else cls.__module__


def _content(name: str) -> str | None:
    """SHA-256 of a module's source; None where there is none to be read."""
    module = sys.modules.get(name)
    known: str | None = getattr(module, CONTENT, None)
    file = getattr(module, "__file__", None)
    if known is not None or not file:
        return known
    try:
        return sha256(Path(file).read_bytes()).hexdigest()
    except OSError:
        return None
