"""Line charts: series of points with intervals, laid out as small panels of one size.

Panels are drawn at the width of a phone and stand beside each other where there is room, so
that letters are as large on every screen.
"""

from collections.abc import Callable, Sequence
from typing import ClassVar

import attrs

from retake.evaluation.report.scales import (
    Axis,
    Scale,
    number_text,
    percent_text,
    round_ticks,
    thinned,
)
from retake.evaluation.report.styles import Style

_Text = Callable[[float], str]
LETTER = 6.5  # pixels that a letter of a label takes, at most
_SPREAD = 18.0  # pixels over which points of one place are spread


@attrs.frozen
class Size:
    """A panel's pixels: the whole, and the margins around what is drawn."""

    width: int
    height: int
    left: int
    right: int
    top: int
    bottom: int


LARGE = Size(320, 216, 42, 12, 10, 36)
SMALL = Size(160, 112, 26, 8, 8, 20)


@attrs.frozen
class Point:
    """A value, and its interval where there is one."""

    x: float
    y: float
    low: float | None = None
    high: float | None = None


@attrs.frozen
class Series:
    """Points to be joined by a line; a single one of a reference goes right across."""

    style: Style
    points: tuple[Point, ...]


@attrs.frozen
class Line:
    """A series as it is drawn: paths, and places of markers."""

    style: Style
    path: str
    whiskers: str
    places: tuple[tuple[float, float], ...]


@attrs.frozen
class Level:
    """A horizontal line that means something, such as guessing."""

    y: float
    text: str


@attrs.frozen
class Panel:
    """One chart, ready to be drawn."""

    title: str
    size: Size
    x: Axis
    y: Axis
    lines: tuple[Line, ...]
    levels: tuple[Level, ...] = ()


@attrs.frozen
class Lines:
    """Panels that share their axes and one legend.

    Attributes:
        caption: what is drawn.
        panels: in order.
        legend: styles in the order of the legend; none where the page's own serves.
        picked: whether the legend is the page's, in which methods can be singled out.
    """

    kind: ClassVar[str] = "lines"

    caption: str
    panels: tuple[Panel, ...]
    legend: tuple[Style, ...] = ()
    picked: bool = True


@attrs.frozen(kw_only=True)
class Frame:
    """What panels of one chart have in common, so that they can be compared by eye.

    Attributes:
        size: of each.
        x, y: axes.
        levels: of the value axis, named.
    """

    size: Size
    x: Axis
    y: Axis
    levels: tuple[tuple[float, str], ...] = ()

    def panel(self, title: str, series: Sequence[Series]) -> Panel:
        """A panel with these axes; quiet series lie below the others."""
        ordered = sorted((each for each in series if each.points), key=lambda s: not s.style.quiet)
        loud = [each for each in ordered if not each.style.quiet and each.style.colour >= 0]
        spread = _SPREAD * self.size.width / LARGE.width
        gap = min(spread / 6, spread / len(loud)) if loud else 0.0
        # Beside each other, so that intervals at one place can be told apart.
        shifts = {each.style: (at - (len(loud) - 1) / 2) * gap for at, each in enumerate(loud)}
        lines = tuple(self._line(each, shifts.get(each.style, 0.0)) for each in ordered)
        levels = tuple(Level(self.y.scale(value), text) for value, text in self.levels)
        return Panel(title, self.size, self.x, self.y, lines, levels)

    def _line(self, series: Series, shift: float) -> Line:
        x, y = self.x.scale, self.y.scale
        points = sorted(series.points, key=lambda point: point.x)
        places = tuple((x(point.x) + shift, y(point.y)) for point in points)
        joined = list(places)
        if series.style.colour < 0 and len(places) == 1:
            joined = [(x.start, places[0][1]), (x.stop, places[0][1])]
        path = "M" + "L".join(f"{a:g} {b:g}" for a, b in joined) if len(joined) > 1 else ""
        whiskers = "".join(
            f"M{a:g} {y(point.low):g}V{y(point.high):g}"
            for (a, _), point in zip(places, points, strict=True)
            if point.low is not None and point.high is not None
        )
        return Line(series.style, path, whiskers, places if series.style.marker else ())


def accuracy_axis(size: Size, values: Sequence[float]) -> Axis:
    """An upright axis from a round number below all values up to 1, in percent."""
    ticks = round_ticks(min(values, default=0.0), 1.0, 3 if size is SMALL else 4)
    return _upright(size, [tick for tick in ticks if tick <= 1], "accuracy, %", percent_text)


def amount_axis(size: Size, values: Sequence[float], label: str) -> Axis:
    """An upright axis from nothing to a round number above all values."""
    ticks = round_ticks(0.0, max(values, default=1.0), 3 if size is SMALL else 4)
    return _upright(size, ticks, label, number_text)


def _upright(size: Size, ticks: Sequence[float], label: str, text: _Text) -> Axis:
    scale = Scale(ticks[0], ticks[-1], size.height - size.bottom, size.top)
    return Axis(scale, tuple((tick, text(tick)) for tick in ticks), label)


def step_axis(size: Size, values: Sequence[float], label: str, text: _Text) -> Axis:
    """A level axis with a tick at each value, logarithmic where the values are spread so."""
    steps = sorted(set(values)) or [1.0]
    log = steps[0] > 0 and steps[-1] / steps[0] >= 4
    inset = 14
    scale = Scale(steps[0], steps[-1], size.left + inset, size.width - size.right - inset, log)
    shown = _apart([(value, text(value)) for value in thinned(steps, 8)], scale)
    return Axis(scale, tuple(shown), label)


def _apart(ticks: Sequence[tuple[float, str]], scale: Scale) -> list[tuple[float, str]]:
    """The ticks whose labels do not touch; the first always, then the last, then others."""
    kept = [ticks[0]]
    for tick in ticks[1:-1]:
        if _clear(kept[-1], tick, scale) and _clear(tick, ticks[-1], scale):
            kept.append(tick)
    if len(ticks) > 1 and _clear(kept[-1], ticks[-1], scale):
        kept.append(ticks[-1])
    return kept


def _clear(left: tuple[float, str], right: tuple[float, str], scale: Scale) -> bool:
    """Whether two labels have room beside each other."""
    room = (len(left[1]) + len(right[1])) / 2 * LETTER + 4
    return abs(scale(right[0]) - scale(left[0])) >= room
