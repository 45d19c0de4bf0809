"""Accuracies and differences as people read them; and the names of what they are broken down by."""

from collections.abc import Mapping
from typing import Any

from retake.evaluation import statistics

from . import units

_MINUS = "−"
#: Below it a difference is marked: chance alone would show one as large less often.
SIGNIFICANT = statistics.SIGNIFICANT


def share(value: float) -> str:
    """A share of 0 … 1: "87.5 %", "20.0 %", "100 %"."""
    return f"{_short(100 * value)} %"


def accuracy(score: Mapping[str, Any] | None) -> str:
    """An accuracy with its interval: "87.5 % [80.2, 92.4]"."""
    if score is None:
        return "–"
    low, high = (_short(100 * score[end]) for end in ("low", "high"))
    return f"{_short(100 * score['accuracy'])} % [{low}, {high}]"


def figure(metric: Mapping[str, Any]) -> str:
    """A benchmark's metric with its interval: "63.9 % [61.8, 66.0]", "4.21 [3.90, 4.52]"."""
    value, low, high = metric["value"], metric["low"], metric["high"]
    if tuple(metric["scale"]) == (0, 1):
        ends = "" if low is None else f" [{_short(100 * low)}, {_short(100 * high)}]"
        return share(value) + ends
    return f"{value:.2f}" + ("" if low is None else f" [{low:.2f}, {high:.2f}]")


def points(difference: Mapping[str, Any]) -> str:
    """A difference in points with its interval: "+3.1 [−0.4, +6.6]"; "*" where significant."""
    low, high = (signed(100 * difference[end]) for end in ("low", "high"))
    mark = " *" if difference["p_corrected"] < SIGNIFICANT else ""
    return f"{signed(100 * difference['difference'])} [{low}, {high}]{mark}"


def signed(value: float) -> str:
    """A number with its sign: "+3.1", "−0.4", "0"."""
    text = f"{abs(value):.1f}"
    if float(text) == 0:
        return "0"
    return f"{'+' if value > 0 else _MINUS}{text}"


def probability(p: float) -> str:
    """A p value: "0.031", "<0.001"."""
    return "<0.001" if p < 0.001 else f"{p:.3f}" if p < 0.1 else f"{p:.2f}"


def times(ratio: float | None) -> str:
    """A ratio: "0.25 ×"."""
    return "–" if ratio is None else f"{ratio:.2f} ×" if ratio < 10 else f"{ratio:.0f} ×"


def level(name: str, row: Mapping[str, Any]) -> str:
    """The value, or the range, of a group that a row is about: "2:08", "0.2–0.4", "needle"."""
    within = row.get(f"{name}_range")
    if within is not None:
        return "–".join(_number(name, end) for end in within)
    return _number(name, row[name])


def heading(name: str) -> str:
    """A group as the heading of a table: "Length" for "seconds"."""
    return {"seconds": "Length"}.get(name, name.replace("_", " ").capitalize())


def _number(name: str, value: Any) -> str:
    if isinstance(value, str):
        return value
    return units.length(value) if name == "seconds" else f"{value:.4g}"


def _short(value: float) -> str:
    """One decimal, so that columns line up; none for all and nothing."""
    text = f"{value:.1f}"
    return {"0.0": "0", "100.0": "100"}.get(text, text)
