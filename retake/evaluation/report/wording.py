"""Numbers and names as a page writes them."""

import re
from collections.abc import Mapping
from typing import Any

MISSING = "–"


def percent(share: float | None) -> str:
    """A share of one: "87.5 %"."""
    return MISSING if share is None else f"{100 * share:.1f} %"


def interval(score: Mapping[str, Any]) -> str:
    """The interval of a score, in percent: "84.1–90.2"."""
    return f"{100 * score['low']:.1f}–{100 * score['high']:.1f}"


def megabytes(count: float | None) -> str:
    """Bytes in MiB, without the unit, which stands in the heading."""
    return MISSING if count is None else fixed(count / 2**20)


def fixed(value: float | None) -> str:
    """A number with three significant digits, or as many as it has before the point."""
    if value is None:
        return MISSING
    if value == 0:
        return "0"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.2f}" if abs(value) >= 1 else f"{value:.3g}"


def seconds_long(value: float) -> str:
    """A video's length: "64 s", "17 min", "2 h"."""
    if value < 600:
        return f"{value:g} s"
    return f"{value / 60:.3g} min" if value < 7200 else f"{value / 3600:.3g} h"


def words(name: str) -> str:
    """A name from code as words: "needle_colour" is "needle colour"."""
    return re.sub(r"[_\s]+", " ", name).strip() or MISSING


def counted(number: int, one: str, many: str = "") -> str:
    """A number with its noun: "1 question", "2 questions"."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"
