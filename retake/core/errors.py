"""The errors that people see.

Every error a user can cause is a `RetakeError`: it says what was given, what is
allowed, and what to do. The command line prints its message without a traceback
and exits with its `exit_code`: 2 where the request was wrong, 1 where a sound
request failed.
"""

import difflib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import ClassVar


class RetakeError(Exception):
    """A failure with a message written for the person who caused it."""

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n{self.hint}" if self.hint else self.message


class UsageError(RetakeError):
    """The request itself is wrong: a bad option, an unknown name, an impossible budget."""

    exit_code = 2


class NoRoomError(UsageError):
    """A budget or a ratio leaves nothing of a video, next to what is asked about it."""


class VideoError(RetakeError):
    """A video is missing, unreadable, or holds less than it promises."""


class ModelError(RetakeError):
    """A checkpoint is missing, incomplete, or of a family that no adapter knows."""


class MemoryFileError(RetakeError):
    """A file of a watched video is missing, cannot be written, or is not as it was written."""


class RunFolderError(RetakeError):
    """A run's folder is missing, damaged, written by another process, or cannot be written."""


class WorkerError(RetakeError):
    """The workers of a run cannot be reached, do not agree, or are all lost."""


class MissingExtraError(RetakeError):
    """An optional dependency is not installed; the message names the extra."""


class PartError(RetakeError):
    """A selector, compressor or other part failed in its own code."""


@contextmanager
def blame(part: object, method: str) -> Iterator[None]:
    """Name the part whose method fails, so that its author knows where to look.

    Raises:
        PartError: instead of whatever the part raised, unless that was written for people.
    """
    try:
        yield
    except RetakeError:
        raise
    except Exception as error:
        where = f"{type(part).__module__}:{type(part).__qualname__}.{method}()"
        raise PartError(
            f"{where} failed: {type(error).__name__}: {error}",
            hint="The error is in that part's code; --debug shows the line.",
        ) from error


def nearest(given: str, allowed: Iterable[str], count: int = 3) -> list[str]:
    """The allowed names most like the one given, best first; empty when none is like it."""
    by_folded = {name.lower(): name for name in allowed}
    close = difflib.get_close_matches(given.lower(), by_folded, n=count, cutoff=0.5)
    return [by_folded[name] for name in close]


def unknown_name(kind: str, given: str, allowed: Iterable[str]) -> UsageError:
    """The error for a name that is not one of those allowed.

    Args:
        kind: what the name stands for ("selector", "option of pivotkv").
        given: what the user wrote.
        allowed: every name that would have been right.
    """
    names = sorted(allowed)
    close = nearest(given, names)
    hint = f"Did you mean {' or '.join(repr(name) for name in close)}? " if close else ""
    listing = ", ".join(names) if names else "(none)"
    return UsageError(f"Unknown {kind} '{given}'.", hint=f"{hint}Allowed: {listing}.")
