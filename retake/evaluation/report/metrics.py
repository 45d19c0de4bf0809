"""The part of a report with the benchmark's own figures, such as a macro mean over tasks."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from retake.evaluation.report.document import Cell, Section, Table, section
from retake.evaluation.report.views import RunView
from retake.evaluation.report.wording import MISSING, interval, percent

_CAPTION = (
    "The figures that the benchmark itself is reported by, each with its 95 % interval over videos."
)


def own_figures(views: Sequence[RunView]) -> Iterator[Section]:
    """Metrics down, runs across; nothing where no run has any."""
    having = [each for each in views if each.metrics]
    if not having:
        return
    names = dict.fromkeys(metric["name"] for each in having for metric in each.metrics)
    found = [{metric["name"]: metric for metric in each.metrics} for each in having]
    rows = tuple(
        (Cell(name), *(metric_cell(metrics.get(name)) for metrics in found)) for name in names
    )
    headings = ("Metric", *(each.name if len(having) > 1 else "Value" for each in having))
    yield from section("metrics", "The benchmark's own figures", Table(_CAPTION, headings, rows))


def metric_cell(metric: Mapping[str, Any] | None) -> Cell:
    """A metric with its interval: shares in per cent, a judge's points as they are."""
    if metric is None:
        return Cell(MISSING)
    value, low, high = metric["value"], metric["low"], metric["high"]
    if tuple(metric["scale"]) == (0, 1):
        return Cell(percent(value), "" if low is None else interval(metric))
    return Cell(f"{value:.2f}", "" if low is None else f"{low:.2f} to {high:.2f}")
