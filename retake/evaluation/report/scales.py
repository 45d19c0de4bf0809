"""From values to places on paper: straight and logarithmic scales, and where ticks stand."""

import math
from collections.abc import Sequence
from fractions import Fraction

import attrs

# Steps between ticks, times a power of ten.
_STEPS = (1, 2, 2.5, 5, 10)


@attrs.frozen
class Scale:
    """Maps `low … high` to `start … stop`, by powers of two where `log`."""

    low: float
    high: float
    start: float
    stop: float
    log: bool = False

    def __call__(self, value: float) -> float:
        if self.log:
            low, high, value = math.log2(self.low), math.log2(self.high), math.log2(value)
        else:
            low, high = self.low, self.high
        share = (value - low) / (high - low) if high > low else 0.5
        return round(self.start + share * (self.stop - self.start), 1)


@attrs.frozen
class Axis:
    """A scale with its ticks, each a value and what is written there."""

    scale: Scale
    ticks: tuple[tuple[float, str], ...]
    label: str = ""

    @property
    def placed(self) -> tuple[tuple[float, str], ...]:
        """Where each tick stands, and what is written there."""
        return tuple((self.scale(value), text) for value, text in self.ticks)


def round_ticks(low: float, high: float, count: int = 4) -> list[float]:
    """About so many round numbers, the first not above `low`, the last not below `high`."""
    span = high - low if high > low else abs(high) or 1.0
    power = 10 ** math.floor(math.log10(span / count))
    step = next(each * power for each in _STEPS if each * power * count >= span * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(number * step, 10) for number in range(first, max(last, first + 1) + 1)]


def share_text(value: float) -> str:
    """A keep ratio: "1/4" where it is one over a whole number, else "0.3"."""
    exact = Fraction(value).limit_denominator(64) if value > 0 else Fraction(0)
    near = exact.numerator == 1 and abs(float(exact) - value) < 1e-6
    return f"{exact}" if near else f"{value:.3g}"


def percent_text(value: float) -> str:
    """A share of one as a whole number of percent, for ticks."""
    return f"{100 * value:.0f}"


def number_text(value: float) -> str:
    """A plain number with few digits: "0.5", "12", "1,200"."""
    if value == 0:
        return "0"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def thinned(values: Sequence[float], most: int) -> list[float]:
    """At most so many of the values, evenly spread, ends included."""
    if len(values) <= most:
        return list(values)
    return [values[round(at * (len(values) - 1) / (most - 1))] for at in range(most)]
