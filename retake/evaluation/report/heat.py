"""Heat maps: a box for each pair of values, deeper where the number is higher."""

from collections.abc import Mapping, Sequence
from typing import ClassVar

import attrs

from retake.evaluation.report.lines import LETTER

LEVELS = 8  # steps of colour; the style sheet has one more, for the highest

_BOX = (38, 22)  # at least
_TOP, _BOTTOM = 4, 30


@attrs.frozen
class Box:
    """One box: where it stands, how deep it is, what is written in it, and what it says."""

    x: float
    y: float
    level: int
    text: str
    title: str


@attrs.frozen
class HeatMap:
    """One heat map, ready to be drawn.

    Attributes:
        title: above it.
        width, height: pixels.
        box: width and height of a box.
        boxes: those with a number; others stay empty.
        columns, rows: labels and where they stand.
        left: where the boxes begin.
    """

    title: str
    width: float
    height: float
    box: tuple[float, float]
    boxes: tuple[Box, ...]
    columns: tuple[tuple[float, str], ...]
    rows: tuple[tuple[float, str], ...]
    left: float


@attrs.frozen
class HeatMaps:
    """Heat maps with the same axes and the same colours.

    Attributes:
        caption: what the colours mean.
        across, down: what the axes are.
        maps: in order.
    """

    kind: ClassVar[str] = "heat"

    caption: str
    across: str
    down: str
    maps: tuple[HeatMap, ...]

    @property
    def levels(self) -> range:
        return range(LEVELS + 1)


@attrs.frozen
class Entry:
    """A number of a heat map: 0 … 1, what is written in the box, and what it says in words."""

    value: float
    text: str
    title: str


def level_of(value: float) -> int:
    """The step of colour of a number 0 … 1."""
    return min(LEVELS, max(0, round(value * LEVELS)))


def heat_map(
    title: str,
    entries: Mapping[tuple[int, int], Entry],
    columns: Sequence[str],
    rows: Sequence[str],
) -> HeatMap:
    """A heat map of entries by (column, row); the first row is at the top."""
    wide = max(_BOX[0], LETTER * max(map(len, columns), default=0) + 4)
    high = _BOX[1]
    left = LETTER * max(map(len, rows), default=0) + 8
    boxes = tuple(
        Box(left + column * wide, _TOP + row * high, level_of(e.value), e.text, e.title)
        for (column, row), e in sorted(entries.items())
    )
    return HeatMap(
        title,
        left + wide * len(columns) + 6,
        _TOP + high * len(rows) + _BOTTOM,
        (wide, high),
        boxes,
        tuple((left + (at + 0.5) * wide, text) for at, text in enumerate(columns)),
        tuple((_TOP + (at + 0.5) * high, text) for at, text in enumerate(rows)),
        left,
    )
