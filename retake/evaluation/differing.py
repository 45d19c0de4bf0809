"""What differs between two nested mappings of plain data, and how that is said."""

import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from retake.core.errors import UsageError

#: Whether two values, neither of them a mapping, mean the same.
Same = Callable[[Any, Any], bool]

_MOST = 40  # differences named in a refusal
_LONGEST = 80  # characters of a value


class _Absent:
    """Stands for a value that is not there."""

    def __repr__(self) -> str:
        return "(not there)"


ABSENT = _Absent()


@attrs.frozen
class Difference:
    """Two values of one thing.

    Attributes:
        what: it is; in nested mappings the dotted path.
        was, now: the values; ABSENT where there is none.
    """

    what: str
    was: Any
    now: Any

    def __str__(self) -> str:
        return f"{self.what}: was {_shown(self.was)}, is {_shown(self.now)}"


def differing(
    was: Mapping[str, Any], now: Mapping[str, Any], same: Same = operator.eq, *, inside: str = ""
) -> Iterator[Difference]:
    """What differs between two nested mappings, in the order of their keys.

    Args:
        was, now: the mappings.
        same: whether two values mean the same.
        inside: what stands before every path.
    """
    for key in dict.fromkeys([*was, *now]):
        one, other = was.get(key, ABSENT), now.get(key, ABSENT)
        if isinstance(one, Mapping) and isinstance(other, Mapping):
            yield from differing(one, other, same, inside=f"{inside}{key}.")
        elif not same(one, other):
            yield Difference(f"{inside}{key}", one, other)


def changed(
    first: Mapping[str, Any], second: Mapping[str, Any], same: Same = operator.eq
) -> dict[str, list[Any]]:
    """What differs, fit for JSON: dotted paths to both values, None where missing."""
    return {
        each.what: [None if value is ABSENT else value for value in (each.was, each.now)]
        for each in differing(first, second, same)
    }


def refuse(kind: str, folder: Path, found: Sequence[Difference]) -> None:
    """Refuse to go on with a run or a sweep where anything differs.

    Raises:
        UsageError: it does; the differences are named.
    """
    if not found:
        return
    lines = [f"  {each}" for each in found]
    if len(lines) > _MOST:
        lines[_MOST:] = [f"  and {len(lines) - _MOST} more"]
    listing = "\n".join(lines)
    raise UsageError(
        f"The {kind} '{folder}' cannot be resumed with other settings than it was begun with:\n"
        f"{listing}",
        hint=f"Resume it with what it was begun with, or start a new {kind} in another folder.",
    )


def _shown(value: Any) -> str:
    if isinstance(value, Mapping) and value:
        return "there"
    text = "none" if value is None else str(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
