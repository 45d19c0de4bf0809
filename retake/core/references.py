"""Parts as they are written in one line: name, part inside, options.

dpselect
dpselect:keep_ratio=0.5,per_patch=false
pyramidkv(pivotkv)
pyramidkv(adakv(pivotkv:pivot_score=1.0)):beta=10
./mine.py:Mine:option=3
"""

import re
from typing import Any

from retake.core.config import parse_value
from retake.core.errors import UsageError

_OPTIONS = re.compile(r":(?=\s*\w+=)")
_NEXT_OPTION = re.compile(r",(?=\s*\w+=)")


def parse_part(reference: str) -> dict[str, Any]:
    """A part's name, options, and the part inside it under "of", as nested plain data.

    Raises:
        UsageError: a bracket is not closed, or what follows it are no options.
    """
    opening, options = reference.find("("), _OPTIONS.search(reference)
    if opening < 0 or (options is not None and options.start() < opening):
        if options is None:
            if reference.rstrip().endswith(":"):
                raise UsageError(f"There are no options behind the colon of '{reference}'.")
            return {"name": reference.strip()}
        name = reference[: options.start()].strip()
        return {"name": name, "options": _options(reference[options.end() :], reference)}
    closing = _closing(reference, opening)
    inside, rest = reference[opening + 1 : closing], reference[closing + 1 :].strip()
    if not inside.strip():
        raise UsageError(f"The brackets in '{reference}' are empty; name the part inside them.")
    part: dict[str, Any] = {"name": reference[:opening].strip(), "of": parse_part(inside)}
    if not rest:
        return part
    if not _OPTIONS.match(rest):
        raise UsageError(
            f"'{rest}' in '{reference}' is not understood.",
            hint="A part is written name(inside):option=value,option=value.",
        )
    return {**part, "options": _options(rest[1:], reference)}


def key_value(text: str, where: str) -> tuple[str, Any]:
    """ "KEY=VALUE" as a key and a YAML value."""
    key, found, value = text.partition("=")
    if not found or not key.strip():
        raise UsageError(f"{where} takes KEY=VALUE, got '{text}'.")
    return key.strip(), parse_value(value)


def _options(text: str, reference: str) -> dict[str, Any]:
    return dict(key_value(pair, reference) for pair in _NEXT_OPTION.split(text))


def _closing(reference: str, opening: int) -> int:
    """Where the bracket that opens there is closed."""
    depth = 0
    for place in range(opening, len(reference)):
        depth += {"(": 1, ")": -1}.get(reference[place], 0)
        if depth == 0:
            return place
    raise UsageError(f"A bracket in '{reference}' is not closed.")
