"""The parts of a report that are curves: accuracy and costs against share kept and length."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import attrs

from retake.evaluation.report.document import Cell, Folded, Section, Table, section
from retake.evaluation.report.lines import (
    LARGE,
    SMALL,
    Frame,
    Lines,
    Panel,
    Point,
    Series,
    Size,
    accuracy_axis,
    amount_axis,
    step_axis,
)
from retake.evaluation.report.scales import Axis, share_text
from retake.evaluation.report.sections import length_labels
from retake.evaluation.report.styles import Style, styles
from retake.evaluation.report.views import RunView, Score, at_length, by_method, ratios
from retake.evaluation.report.wording import fixed, megabytes, seconds_long

_MANY = 3  # methods from which each also gets a small panel of its own

Styles = Mapping[str, Style]
_Scored = Callable[[RunView], Score | None]
_Amount = Callable[[Mapping[str, Any]], float | None]
# By run (its identity) and length of video.
_Costs = Mapping[int, Mapping[float, Mapping[str, Any]]]


def accuracy(views: Sequence[RunView], made: Styles, order: Sequence[str]) -> Iterator[Section]:
    """Accuracy against the share kept, a panel a length; against length, a panel a share."""
    scored = [each for each in views if each.overall is not None]
    labels, shares = length_labels(scored), ratios(scored)
    if len(scored) < 2:
        return
    by_share = _against_share(scored, made, labels) if len(shares) > 1 else None
    by_length = _against_length(scored, made, labels, shares) if len(labels) > 1 else None
    each = _each_method(scored, made, order, labels) if by_share and len(order) >= _MANY else None
    yield from section("curves", "Accuracy against share kept", by_share, each)
    yield from section("lengths", "Accuracy against length", by_length)


def _against_share(views: Sequence[RunView], made: Styles, labels: Mapping[float, str]) -> Lines:
    frame = Frame(
        size=LARGE,
        x=_share_axis(LARGE, views),
        y=accuracy_axis(LARGE, _shown(views)),
        levels=_guessing(views),
    )
    panels = [_share_panel(frame, "All lengths" if labels else "", views, made, _overall)]
    if len(labels) > 1:
        panels += [
            _share_panel(frame, label, views, made, at_length(length))
            for length, label in labels.items()
        ]
    caption = (
        "Accuracy against the share of the video's tokens that is kept, a line a method, with "
        "95 % intervals; to the left less is kept."
    )
    return Lines(caption, tuple(panels))


def _share_panel(
    frame: Frame, title: str, views: Sequence[RunView], made: Styles, pick: _Scored
) -> Panel:
    return frame.panel(
        title,
        [
            Series(made[method], tuple(_points(runs, lambda each: each.ratio, pick)))
            for method, runs in by_method(views).items()
        ],
    )


def _points(
    runs: Sequence[RunView], x: Callable[[RunView], float | None], pick: _Scored
) -> Iterator[Point]:
    for run in runs:
        at, score = x(run), pick(run)
        if at is not None and score is not None:
            yield Point(at, score["accuracy"], score["low"], score["high"])


def _each_method(
    views: Sequence[RunView], made: Styles, order: Sequence[str], labels: Mapping[float, str]
) -> Lines:
    """A small panel a method, a line a length: what many lines in one panel cannot show."""
    names = list(labels.values()) or ["all"]
    looks = styles(names)
    frame = Frame(
        size=SMALL,
        x=_share_axis(SMALL, views),
        y=accuracy_axis(SMALL, _shown(views)),
        levels=_guessing(views),
    )
    panels = []
    for method in order:
        runs = by_method(views)[method]
        if len({run.ratio for run in runs}) < 2:
            continue
        picks: list[_Scored] = [at_length(length) for length in labels]
        series = [
            Series(looks[name], tuple(_points(runs, lambda each: each.ratio, pick)))
            for name, pick in zip(names, picks or [_overall], strict=True)
        ]
        panels.append(frame.panel(method, series))
    legend = tuple(looks.values())
    return Lines("Each method by itself: a line a length.", tuple(panels), legend, picked=False)


def _against_length(
    views: Sequence[RunView], made: Styles, labels: Mapping[float, str], shares: Sequence[float]
) -> Lines:
    frame = Frame(
        size=LARGE,
        x=_length_axis(LARGE, labels),
        y=accuracy_axis(LARGE, _shown(views)),
        levels=_guessing(views),
    )
    panels = []
    for share in shares or (None,):
        runs = [each for each in views if each.ratio == share or _keeps_all(each, views)]
        series = [
            Series(
                made[run.method],
                tuple(
                    Point(length, score["accuracy"], score["low"], score["high"])
                    for length, score in run.by_length.items()
                ),
            )
            for run in runs
        ]
        panels.append(frame.panel(f"Keeping {share_text(share)}" if share else "", series))
    caption = "Accuracy against the length of the video, with 95 % intervals."
    return Lines(caption, tuple(panels))


def _keeps_all(view: RunView, views: Sequence[RunView]) -> bool:
    """Whether it is the run of a method that has no other share, and keeps everything."""
    return view.ratio == 1 and len(by_method(views)[view.method]) == 1


def costs(views: Sequence[RunView], made: Styles, order: Sequence[str]) -> Iterator[Section]:
    """Bytes of the cache and seconds, against length and share kept."""
    found = {id(each): each.costs_by_length for each in views}
    there = [each for each in views if found[id(each)]]
    if not there:
        return
    charts = [_cost_lines(there, found, made, *each) for each in _AMOUNTS]
    lines = [chart for chart in charts if chart is not None]
    if all(len(chart.panels) == 1 for chart in lines):
        panels = [attrs.evolve(c.panels[0], title=c.caption.rstrip(".")) for c in lines]
        about = "Means. Watching is decoding, encoding, selecting and prefilling."
        lines = [Lines(about, tuple(panels))] if panels else []
    yield from section("costs", "Costs", *lines, _cost_table(there, found, order))


def _kv(cost: Mapping[str, Any]) -> float | None:
    return cost["kv_bytes"]["mean"] / 2**20 if cost["kv_bytes"] else None


def _watching(cost: Mapping[str, Any]) -> float | None:
    spent = [cost["seconds"][name]["mean"] for name in _STAGES if name in cost["seconds"]]
    return sum(spent) if spent else None


def _answering(cost: Mapping[str, Any]) -> float | None:
    spent = cost["seconds"].get("answer")
    return spent["mean"] if spent else None


_STAGES = ("decode", "encode", "select", "prefill")
_AMOUNTS: tuple[tuple[str, str, _Amount], ...] = (
    ("The KV cache once the video is watched.", "MiB", _kv),
    ("Watching a video.", "seconds", _watching),
    ("Answering a question.", "seconds", _answering),
)


def _cost_lines(
    views: Sequence[RunView],
    found: _Costs,
    made: Styles,
    caption: str,
    label: str,
    amount: _Amount,
) -> Lines | None:
    """One cost: against length, a panel a share; where all videos are as long, against share."""
    values = [v for cost in found.values() for c in cost.values() if (v := amount(c)) is not None]
    shares, labels = ratios(views), length_labels(views)
    y = amount_axis(LARGE, values, label)
    if not values or max(len(labels), len(shares)) < 2:
        return None
    if len(labels) < 2:
        frame = Frame(size=LARGE, x=_share_axis(LARGE, views), y=y)
        series = [
            Series(made[method], tuple(_cost_points(runs, found, amount, lambda run, _: run.ratio)))
            for method, runs in by_method(views).items()
        ]
        return Lines(caption, (frame.panel("", series),))
    frame = Frame(size=LARGE, x=_length_axis(LARGE, labels), y=y)
    panels = []
    for share in shares or (None,):
        runs = [each for each in views if each.ratio == share or _keeps_all(each, views)]
        series = [
            Series(
                made[run.method],
                tuple(_cost_points([run], found, amount, lambda _, length: length)),
            )
            for run in runs
        ]
        panels.append(frame.panel(f"Keeping {share_text(share)}" if share else "", series))
    return Lines(caption, tuple(panels))


def _cost_points(
    runs: Sequence[RunView],
    found: _Costs,
    amount: _Amount,
    x: Callable[[RunView, float], float | None],
) -> Iterator[Point]:
    for run in runs:
        for length, cost in found[id(run)].items():
            at, value = x(run, length), amount(cost)
            if at is not None and value is not None:
                yield Point(at, value)


def _cost_table(
    views: Sequence[RunView],
    found: _Costs,
    order: Sequence[str],
) -> Folded:
    labels = length_labels(views)
    rows = []
    for run in sorted(views, key=lambda each: (order.index(each.method), -(each.ratio or 0))):
        for length, cost in found[id(run)].items():
            first = cost["first_token_seconds"]
            rows.append(
                (
                    Cell(run.method, f"keeps {run.ratio_text}"),
                    Cell(labels.get(length) or "all"),
                    Cell(megabytes(cost["kv_bytes"]["mean"] if cost["kv_bytes"] else None)),
                    Cell(
                        megabytes(cost["kv_bytes_full"]["mean"] if cost["kv_bytes_full"] else None)
                    ),
                    Cell(fixed(_watching(cost))),
                    *(Cell(_stage(cost, name)) for name in _STAGES),
                    Cell(fixed(_answering(cost))),
                    Cell(fixed(first["mean"] if first else None)),
                )
            )
    columns = (
        "Method", "Length", "KV cache, MiB", "full, MiB", "watch, s",
        *(f"{name}, s" for name in _STAGES), "answer, s", "first token, s",
    )  # fmt: skip
    caption = "Means: of the cache and the answer over questions, of watching over videos."
    return Folded("Costs as a table", (Table(caption, columns, tuple(rows)),))


def _stage(cost: Mapping[str, Any], name: str) -> str:
    return fixed(cost["seconds"][name]["mean"] if name in cost["seconds"] else None)


def _overall(view: RunView) -> Score | None:
    return view.overall


def _share_axis(size: Size, views: Sequence[RunView]) -> Axis:
    return step_axis(size, ratios(views), "share of the video's tokens kept", share_text)


def _length_axis(size: Size, labels: Mapping[float, str]) -> Axis:
    return step_axis(
        size,
        list(labels),
        "length of the video",
        lambda value: labels.get(value) or seconds_long(value),
    )


def _accuracies(views: Sequence[RunView]) -> list[float]:
    """Every accuracy that panels show."""
    overall = [each.overall["accuracy"] for each in views if each.overall is not None]
    return overall + [s["accuracy"] for each in views for s in each.by_length.values()]


def _shown(views: Sequence[RunView]) -> list[float]:
    """Every value that an axis of accuracy must reach down to, intervals included."""
    scores = [each.overall for each in views if each.overall is not None]
    scores += [score for each in views for score in each.by_length.values()]
    return [score["low"] for score in scores] + [value for value, _ in _guessing(views)]


def _guessing(views: Sequence[RunView]) -> tuple[tuple[float, str], ...]:
    """The level of guessing, where it is one for all and lies within the chart."""
    levels = {round(each.overall["chance"], 4) for each in views if each.overall is not None}
    lowest = min(_accuracies(views), default=0.0)
    if len(levels) != 1:
        return ()
    level = levels.pop()
    return ((level, "guessing"),) if level and level >= lowest - 0.1 else ()
