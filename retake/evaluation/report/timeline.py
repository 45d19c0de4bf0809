"""Lanes over one axis of time: a curve, and heat maps of what is where.

Drawn stretched to whatever width there is, with letters beside the drawing and not in it, so
that lanes stand exactly under each other and stay legible on every screen.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, ClassVar, Literal

import attrs
import numpy as np

from retake.evaluation.report.filmstrip import clock
from retake.evaluation.report.heat import LEVELS
from retake.evaluation.report.scales import round_ticks

Array = np.ndarray[Any, Any]
Tone = Literal["kept", "pivot"]

_COLUMNS = 480  # of a heat map at most; more steps are averaged


@attrs.frozen
class Lane:
    """One drawing over time.

    Attributes:
        label: what it is.
        small: what else to say of it.
        top, bottom: what its upper and lower end mean.
        columns, rows: its own units, stretched to the width and `height` pixels.
        height: pixels.
        fills: level of colour and the path of all boxes that have it.
        line: path of a curve; "" for none.
        marks: moments to point at, in columns.
        tone: which colour.
        spoken: what it says, for those who do not see it.
    """

    label: str
    columns: float
    rows: float
    height: int
    small: str = ""
    top: str = ""
    bottom: str = ""
    fills: tuple[tuple[int, str], ...] = attrs.field(default=(), repr=False)
    line: str = attrs.field(default="", repr=False)
    marks: tuple[float, ...] = ()
    tone: Tone = "kept"
    spoken: str = ""


@attrs.frozen
class Timeline:
    """Lanes that share an axis; ticks are places in percent of the width, with their text."""

    kind: ClassVar[str] = "timeline"

    caption: str
    lanes: tuple[Lane, ...]
    ticks: tuple[tuple[float, str], ...]


def time_ticks(start: float, end: float) -> tuple[tuple[float, str], ...]:
    """A few round moments, and where they stand in percent of the width."""
    inside = [tick for tick in round_ticks(start, end, 5) if start <= tick <= end * 0.97]
    span = (end - start) or 1.0
    return tuple((round(100 * (tick - start) / span, 3), clock(tick)) for tick in inside)


def curve(
    label: str, values: Array, *, height: int, marks: Sequence[int] = (), spoken: str = ""
) -> Lane:
    """A line through a value a step, from 0 to the largest, steps drawn as plateaus."""
    top = float(values.max()) or 1.0
    path = "".join(
        f"{'L' if at else 'M'}{at} {1 - v / top:.4f}H{at + 1}" for at, v in enumerate(values)
    )
    places = tuple(mark + 0.5 for mark in marks)
    return Lane(
        label, len(values), 1, height, top=f"{top:.2f}", bottom="0", line=path, marks=places,
        spoken=spoken,
    )  # fmt: skip


def heat(
    label: str,
    shares: Array,
    *,
    height: int,
    tone: Tone = "kept",
    small: str = "",
    spoken: str = "",
) -> Lane:
    """A heat map of shares 0 … 1, `[rows, T]`; NaN stays empty."""
    held = binned(np.atleast_2d(shares), _COLUMNS)
    rows, columns = held.shape
    top, bottom = ("layer 1", f"layer {rows}") if rows > 1 else ("", "")
    return Lane(
        label, columns, rows, height, small, top, bottom, tuple(_fills(held)), tone=tone,
        spoken=spoken,
    )  # fmt: skip


def binned(shares: Array, most: int) -> Array:
    """`[rows, T]` as at most so many columns, each the mean of those that fall into it."""
    count = shares.shape[1]
    if count <= most:
        return shares
    edges = np.linspace(0, count, most + 1).round().astype(int)
    parts = [shares[:, a:b] for a, b in pairwise(edges.tolist())]
    return np.stack([_mean(part) for part in parts], axis=1)


def _mean(part: Array) -> Array:
    """The mean along a row of what is there; NaN where nothing is."""
    there = ~np.isnan(part)
    count = there.sum(axis=1)
    total = np.where(there, part, 0).sum(axis=1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _fills(held: Array) -> Iterator[tuple[int, str]]:
    """For each level of colour, one path of all its boxes; boxes beside each other are one."""
    levels = np.where(np.isnan(held), -1, np.ceil(np.nan_to_num(held) * LEVELS - 1e-9)).astype(int)
    for level in range(1, LEVELS + 1):
        path = "".join(
            f"M{start} {row}h{stop - start}v1h-{stop - start}z"
            for row in range(held.shape[0])
            for start, stop in _runs(levels[row] == level)
        )
        if path:
            yield level, path


def _runs(flags: Array) -> Iterator[tuple[int, int]]:
    """Where flags are set, as ranges."""
    edges = np.flatnonzero(np.diff(np.concatenate(([0], flags.astype(np.int8), [0]))))
    yield from zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)
