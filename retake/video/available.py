"""Which readers this machine has, found out without loading them into this process."""

import importlib.metadata
import importlib.util
import subprocess
import sys
from pathlib import Path

import attrs
import av


@attrs.frozen
class ReaderStatus:
    """Whether a reader works here.

    Attributes:
        name: "decord" or "pyav".
        works: whether it can be imported.
        version: its version, "" where it is not installed.
        reason: why it does not work, in words; "" where it does.
    """

    name: str
    works: bool
    version: str = ""
    reason: str = ""


def readers(*, timeout: float = 60.0) -> list[ReaderStatus]:
    """The readers, decord first, each tried; for `retake doctor`."""
    return [_decord_status(timeout), ReaderStatus("pyav", True, av.__version__)]


def decord_site() -> str | None:
    """The folder that decord is installed in; None where it is not installed."""
    spec = importlib.util.find_spec("decord")
    return str(Path(spec.origin).parent.parent) if spec is not None and spec.origin else None


def _decord_status(timeout: float) -> ReaderStatus:
    site = decord_site()
    if site is None:
        return ReaderStatus("decord", False, reason="not installed")
    version = _version("decord")
    code = "import sys; sys.path.append(sys.argv[1]); import decord"
    try:
        tried = subprocess.run(
            [sys.executable, "-P", "-c", code, site],
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return ReaderStatus("decord", False, version, f"importing it took over {timeout:.0f} s")
    if tried.returncode:
        lines = tried.stderr.strip().splitlines() or [f"its import ended with {tried.returncode}"]
        return ReaderStatus("decord", False, version, lines[-1])
    return ReaderStatus("decord", True, version)


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "unknown"
