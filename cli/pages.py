"""Writing a page to a file: whole or not at all, and refused for people where it cannot be."""

import os
from pathlib import Path

from retake.core.errors import UsageError
from retake.core.writing import replacing


def place(path: Path, what: str) -> Path:
    """The file that a page is to be written to.

    Raises:
        UsageError: it is a folder, or lies in none.
    """
    path = path.expanduser()
    if path.is_dir():
        raise UsageError(
            f"'{path}' is a folder; the {what} is a file.",
            hint=f"Name one in it, such as '{path / 'page.html'}'.",
        )
    if not path.parent.is_dir():
        raise UsageError(f"The {what} cannot be written to '{path}': there is no such folder.")
    return path


def write(path: Path, text: str) -> None:
    """Write a page; one that is there is replaced.

    Raises:
        UsageError: the system refuses.
    """
    # Half of a surrogate pair, which names of files may hold, has no bytes.
    content = text.encode("utf-8", "replace")
    try:
        with replacing(path, path.with_name(f".{path.name}.{os.getpid()}")) as file:
            file.write(content)
    except OSError as error:
        raise UsageError(f"'{path}' cannot be written: {error.strerror}.") from error
