"""The parts of a report that say how well: accuracy by share kept, length, kind and depth."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from retake.evaluation.report.document import Cell, Folded, Section, Table, cells, section
from retake.evaluation.report.dots import dots
from retake.evaluation.report.heat import Entry, HeatMap, HeatMaps, heat_map
from retake.evaluation.report.scales import share_text
from retake.evaluation.report.views import (
    DEPTH,
    LENGTH,
    RunView,
    Score,
    at_length,
    length_text,
    ratios,
    reference,
)
from retake.evaluation.report.wording import MISSING, counted, interval, percent, words

# Shown elsewhere, or no breakdown at all.
_NOT_GROUPS = (LENGTH, DEPTH)


def score_cell(score: Score | None, *, strong: bool = False, heat: bool = False) -> Cell:
    """An accuracy with its interval."""
    if score is None:
        return Cell(MISSING)
    level = score["accuracy"] if heat else None
    return Cell(percent(score["accuracy"]), interval(score), strong, level)


def method_table(
    caption: str,
    views: Sequence[RunView],
    order: Sequence[str],
    pick: Callable[[RunView], Score | None],
) -> Table:
    """Methods down, shares kept across; the best of a column stands out, the reference apart."""
    columns = ratios(views)
    standard = reference(views)
    found = {(each.method, each.ratio): pick(each) for each in views}
    best = {
        ratio: max(
            (
                score["accuracy"]
                for (method, at), score in found.items()
                if at == ratio and score is not None and method != standard
            ),
            default=None,
        )
        for ratio in columns
    }
    rows = []
    for method in order:
        scores = [found.get((method, ratio)) for ratio in columns]
        made = (
            score_cell(
                score,
                strong=score is not None
                and method != standard
                and len(order) > 2
                and score["accuracy"] == best[ratio],
            )
            for ratio, score in zip(columns, scores, strict=True)
        )
        rows.append((Cell(method), *made))
    headings = ("Method", *(f"keeps {share_text(ratio)}" for ratio in columns))
    return Table(caption, headings, tuple(rows))


def results(views: Sequence[RunView], order: Sequence[str]) -> Iterator[Section]:
    """Accuracy of every method at every share, over all lengths and for each."""
    if len(views) < 2 or not any(each.overall for each in views):
        return
    caption = (
        "Accuracy over all questions, with its 95 % interval. Questions about one video count "
        "together, as far as they agree."
    )
    overall = method_table(caption, views, order, lambda each: each.overall)
    parts = []
    for length, label in length_labels(views).items():
        at = f"Accuracy on videos of {label}."
        table = method_table(at, views, order, at_length(length))
        parts.append(Folded(f"Videos of {label}", (table,)))
    yield from section("results", "Results", overall, *(parts if len(parts) > 1 else ()))


def length_labels(views: Sequence[RunView]) -> dict[float, str]:
    """Every length of video and how it is written, ascending."""
    labels = {
        length: length_text(score) for each in views for length, score in each.by_length.items()
    }
    return dict(sorted(labels.items()))


def one_run(view: RunView) -> Iterator[Section]:
    """A single run's accuracy, by kind, length, and every other group."""
    if view.overall is None:
        return
    everything = [("all", view.overall)]
    kinds = [(words(kind), score) for kind, score in view.by_kind.items()]
    yield from section("kinds", "Accuracy by kind of question", *_both("Kind", everything + kinds))
    lengths = [(length_text(score), score) for score in view.by_length.values()]
    if len(lengths) > 1:
        yield from section("lengths", "Accuracy by length of video", *_both("Length", lengths))
    for name, scores in view.groups.items():
        if name not in _NOT_GROUPS and len(scores) > 1:
            rows = [(group_text(name, score), score) for score in scores]
            heading = f"Accuracy by {words(name)}"
            yield from section(f"by-{_anchor(name)}", heading, *_both(words(name), rows))


def _both(heading: str, rows: Sequence[tuple[str, Score]]) -> tuple[Any, ...]:
    """Scores as a chart and as a table."""
    made = tuple(
        cells(
            name,
            percent(score["accuracy"]),
            interval(score),
            f"{score['questions']:,}",
            f"{score['videos']:,}",
            percent(score["chance"]),
        )
        for name, score in rows
    )
    columns = (heading, "Accuracy", "95 % interval", "Questions", "Videos", "Guessing")
    chart = dots("95 % intervals; dotted: guessing.", rows)
    return chart, Folded("As a table", (Table("Accuracy, %", columns, made),))


def kinds(views: Sequence[RunView], order: Sequence[str]) -> Iterator[Section]:
    """For several runs: methods down, kinds of question across, a table for each share kept."""
    return _crosswise(
        views, order, "kinds", "Accuracy by kind of question", lambda each: each.by_kind, words
    )


def other_groups(views: Sequence[RunView], order: Sequence[str]) -> Iterator[Section]:
    """For several runs: what else samples are told apart by."""
    names = dict.fromkeys(name for each in views for name in each.groups)
    for name in names:
        if name not in _NOT_GROUPS:
            yield from _crosswise(
                views,
                order,
                f"by-{_anchor(name)}",
                f"Accuracy by {words(name)}",
                _by_group(name),
                str,
            )


def _by_group(name: str) -> Callable[[RunView], dict[str, Score]]:
    return lambda each: {group_text(name, s): s for s in each.groups.get(name, ())}


def _crosswise(
    views: Sequence[RunView],
    order: Sequence[str],
    id: str,
    title: str,
    scores_of: Callable[[RunView], Mapping[str, Score]],
    name_of: Callable[[str], str],
) -> Iterator[Section]:
    columns = list(dict.fromkeys(key for each in views for key in scores_of(each)))
    if len(columns) < 2:
        return
    shares: list[float | None] = [*ratios(views)]
    if any(each.ratio is None for each in views):
        shares.append(None)
    parts = []
    for ratio in shares:
        runs = {each.method: scores_of(each) for each in views if each.ratio == ratio}
        rows = tuple(
            (Cell(m), *(score_cell(runs[m].get(c), heat=True) for c in columns))
            for m in order
            if runs.get(m)
        )
        if rows:
            kept = "an unknown share" if ratio is None else share_text(ratio)
            headings = ("Method", *map(name_of, columns))
            table = Table(f"{title}, keeping {kept}.", headings, rows)
            parts.append(Folded(f"Keeping {kept}", (table,)))
    # The middle of the shares tells methods apart best: all is alike at 1.
    middle = len(parts) // 2
    opened = [_opened(part) if at == middle else part for at, part in enumerate(parts)]
    yield from section(id, title, *opened)


def _opened(part: Folded) -> Folded:
    return Folded(part.title, part.blocks, open=True)


def needles(views: Sequence[RunView], order: Sequence[str]) -> Iterator[Section]:
    """Depth against length: where in the video something was, and whether it was found."""
    there = [each for each in views if each.crossed(DEPTH, LENGTH)]
    if not there:
        return
    scores = [score for each in there for score in each.crossed(DEPTH, LENGTH)]
    columns = {score[LENGTH]: length_text(score) for score in scores}
    rows = {score[DEPTH]: depth_text(score) for score in scores}
    axes = dict(sorted(columns.items())), dict(sorted(rows.items()))
    caption = (
        "Accuracy, %, by how long the video is and how deep in it the needle lies (0 % is its "
        "start). Deeper colour is higher."
    )
    if len(views) == 1:
        yield from section(
            "needles", "Needles: depth × length", _maps(caption, [_map("", there[0], *axes)])
        )
        return
    parts = []
    shares = list(dict.fromkeys(each.ratio for each in there))
    for ratio in sorted(shares, key=lambda share: -(share or 0)):
        runs = {each.method: each for each in there if each.ratio == ratio}
        maps = [_map(method, runs[method], *axes) for method in order if method in runs]
        kept = "an unknown share" if ratio is None else share_text(ratio)
        parts.append(Folded(f"Keeping {kept}", (_maps(caption, maps),)))
    middle = len(parts) // 2
    opened = [_opened(part) if at == middle else part for at, part in enumerate(parts)]
    yield from section("needles", "Needles: depth × length", *opened)


def _maps(caption: str, maps: Sequence[HeatMap]) -> HeatMaps:
    return HeatMaps(caption, "length", "depth", tuple(maps))


def _map(
    title: str, view: RunView, columns: Mapping[float, str], rows: Mapping[float, str]
) -> HeatMap:
    across, down = list(columns), list(rows)
    entries = {
        (across.index(score[LENGTH]), down.index(score[DEPTH])): Entry(
            score["accuracy"],
            f"{100 * score['accuracy']:.0f}",
            f"{rows[score[DEPTH]]} deep in {columns[score[LENGTH]]}: {percent(score['accuracy'])} "
            f"({interval(score)}), {counted(score['questions'], 'question')}",
        )
        for score in view.crossed(DEPTH, LENGTH)
    }
    return heat_map(title, entries, list(columns.values()), list(rows.values()))


def depth_text(score: Score) -> str:
    """How deep in the video, or a range of that, in percent."""
    within = score.get(f"{DEPTH}_range")
    if within is not None:
        return f"{100 * within[0]:.0f}–{100 * within[1]:.0f} %"
    return f"{100 * score[DEPTH]:.0f} %"


def group_text(name: str, score: Score) -> str:
    """A group's value, or a range of them, as a label."""
    within = score.get(f"{name}_range")
    if within is not None:
        return f"{within[0]:g}–{within[1]:g}"
    value = score[name]
    return f"{value:g}" if isinstance(value, float) else words(str(value))


def _anchor(name: str) -> str:
    return "".join(sign if sign.isalnum() else "-" for sign in name.lower())
