"""Scores side by side: a dot a row, a bar for its interval, a line where guessing would be."""

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

import attrs

from retake.evaluation.report.wording import counted, interval, percent


@attrs.frozen
class Dot:
    """One row: its name, and places in percent of the width; `chance` is where guessing is."""

    name: str
    at: float
    low: float
    high: float
    text: str
    small: str
    chance: float | None


@attrs.frozen
class Dots:
    """Rows with a common scale from 0 to 100 %.

    Attributes:
        caption: what the rows are.
        rows: in order.
    """

    kind: ClassVar[str] = "dots"

    caption: str
    rows: tuple[Dot, ...]


def dots(caption: str, rows: Iterable[tuple[str, Mapping[str, Any]]]) -> Dots:
    """Rows from named scores, as `retake.evaluation.summary` has them."""
    made = tuple(
        Dot(
            name,
            100 * score["accuracy"],
            100 * score["low"],
            100 * score["high"],
            percent(score["accuracy"]),
            f"{interval(score)} · {counted(score['questions'], 'question')}",
            100 * score["chance"] if score["chance"] else None,
        )
        for name, score in rows
    )
    return Dots(caption, made)
