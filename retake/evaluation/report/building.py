"""A report's page: from what was gathered to sections, headline and data."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from retake.evaluation.report import about, curves, metrics, sections
from retake.evaluation.report.differences import differences
from retake.evaluation.report.document import Fact, Page
from retake.evaluation.report.gathering import Gathered, gather
from retake.evaluation.report.scales import share_text
from retake.evaluation.report.styles import Style, styles, with_leaders
from retake.evaluation.report.views import RunView, by_method, ranked, ratios, reference
from retake.evaluation.report.wording import (
    MISSING,
    counted,
    fixed,
    interval,
    percent,
)

FORMAT = "retake.report/1"

_KINDS = {"run": "Run", "sweep": "Sweep", "comparison": "Comparison"}
# So many methods are told apart in one panel; of more, only the best are drawn loud.
_TOLD_APART = 8
_LEADERS = 6


def build(folders: Sequence[Path]) -> Page:
    """The page of a run, a sweep, or several.

    Raises:
        UsageError: a folder that is neither.
        RunFolderError: a run is damaged.
    """
    gathered = gather(folders)
    views = gathered.views
    order = ranked(views)
    made = _styles(views, order)
    return Page(
        title=f"{_KINDS[gathered.kind]} {gathered.title}",
        subtitle=_subtitle(gathered),
        facts=tuple(_facts(gathered, order)),
        notices=tuple(_notices(gathered)),
        sections=(
            *metrics.own_figures(views),
            *(sections.one_run(views[0]) if len(views) == 1 else ()),
            *sections.results(views, order),
            *curves.accuracy(views, made, order),
            *differences(views, order, gathered.compared),
            *sections.needles(views, order),
            *(sections.kinds(views, order) if len(views) > 1 else ()),
            *(sections.other_groups(views, order) if len(views) > 1 else ()),
            *curves.costs(views, made, order),
            *about.remarks(views),
            *about.states(views),
            *about.settings(views),
        ),
        data=_data(gathered),
        picks=tuple(made[method] for method in order),
    )


def _styles(views: Sequence[RunView], order: Sequence[str]) -> dict[str, Style]:
    """A look for each method; of many, the best get looks that no other of the best has."""
    standard = reference(views)
    methods = list(by_method(views))
    leaders = [method for method in order if method != standard][:_LEADERS]
    if len(methods) <= _TOLD_APART:
        return styles(methods, reference=standard)
    return with_leaders(styles([*leaders, *methods], reference=standard), leaders)


def _subtitle(gathered: Gathered) -> str:
    headers = [each.records.header for each in gathered.views if each.records is not None]
    if not headers:
        return "Nothing was run yet."
    names = dict.fromkeys(header.benchmark.name for header in headers)
    parts = [f"benchmark {', '.join(names)}"]
    if len(gathered.views) == 1:
        parts.append(gathered.views[0].method)
    else:
        methods = counted(len(by_method(gathered.views)), "method")
        parts.append(f"{methods} in {counted(len(gathered.views), 'run')}")
    parts.append(f"begun {min(header.created for header in headers)}")
    return " · ".join(parts)


def _facts(gathered: Gathered, order: Sequence[str]) -> Iterator[Fact]:
    views = gathered.views
    scored = [each for each in views if each.overall is not None]
    if not scored:
        return
    yield from _one(scored[0]) if len(views) == 1 else _several(scored, order)


def _one(view: RunView) -> Iterator[Fact]:
    score, costs = view.overall, view.summary["costs"]
    assert score is not None
    assert view.records is not None
    yield Fact("Accuracy", percent(score["accuracy"]), f"95 % interval {interval(score)}")
    yield Fact("Guessing", percent(score["chance"]) if score["chance"] else MISSING)
    total = view.records.header.samples_total
    yield Fact(
        "Questions",
        f"{score['questions']:,}",
        f"of {total:,}, about {counted(score['videos'], 'video')}",
    )
    if costs["kv_share"]:
        kept = costs["kv_bytes"]["mean"] / 2**20
        yield Fact(
            "KV cache", percent(costs["kv_share"]["mean"]), f"of the full one, {fixed(kept)} MiB"
        )
    if costs["first_token_seconds"]:
        seconds = costs["first_token_seconds"]["mean"]
        yield Fact("Question → first token", f"{fixed(seconds)} s", "mean")


def _several(scored: Sequence[RunView], order: Sequence[str]) -> Iterator[Fact]:
    standard = reference(scored)
    questions = {each.overall["questions"] for each in scored if each.overall is not None}
    low, high = min(questions), max(questions)
    each = f"{low:,}" if low == high else f"{low:,}–{high:,}"
    yield Fact("Questions a run", each)
    for view in scored:
        if view.method == standard and view.overall is not None:
            yield Fact(
                f"{view.method}, everything kept",
                percent(view.overall["accuracy"]),
                interval(view.overall),
            )
    for ratio in ratios(scored):
        runs = [v for v in scored if v.ratio == ratio and v.method != standard]
        if len(runs) > 1 and (ratio < 1 or len(ratios(scored)) == 1):
            best = max(runs, key=_accuracy)
            assert best.overall is not None
            yield Fact(
                f"Best keeping {share_text(ratio)}",
                percent(best.overall["accuracy"]),
                f"{best.method} ({interval(best.overall)})",
            )


def _accuracy(view: RunView) -> float:
    return -1.0 if view.overall is None else float(view.overall["accuracy"])


def _notices(gathered: Gathered) -> Iterator[str]:
    """What the reader must know before the numbers."""
    views = gathered.views
    unfinished = [each for each in views if not each.complete]
    if not any(each.overall for each in views):
        yield "No question was answered yet: there are no numbers to show."
    elif len(views) == 1 and unfinished:
        yield f"This run is not complete: {unfinished[0].state} questions are answered."
    elif unfinished:
        names = ", ".join(f"{each.name} ({each.state})" for each in unfinished[:5])
        more = f" and {len(unfinished) - 5} more" if len(unfinished) > 5 else ""
        yield (
            f"{counted(len(unfinished), 'run is', 'runs are')} not complete, and their numbers "
            f"are of the questions answered so far: {names}{more}."
        )
    benchmarks = [each.records.header.benchmark for each in views if each.records is not None]
    if any(each != benchmarks[0] for each in benchmarks):
        yield (
            "The runs are not of one benchmark with the same options: their accuracies are not "
            "of the same questions."
        )
    yield from gathered.notices


def _data(gathered: Gathered) -> dict[str, Any]:
    """The page's numbers for machines."""
    return {
        "format": FORMAT,
        "kind": gathered.kind,
        "runs": [
            {
                "name": each.name,
                "method": each.method,
                "keep_ratio": each.ratio,
                "complete": each.complete,
                "failure": each.failure,
                "folder": None if each.records is None else str(each.records.folder),
                "header": None if each.records is None else attrs.asdict(each.records.header),
                "summary": each.summary,
            }
            for each in gathered.views
        ],
        "comparison": _without_runs(gathered.compared),
    }


def _without_runs(compared: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """A comparison without its runs' summaries, which are in the page already."""
    if compared is None:
        return None
    return {key: value for key, value in compared.items() if key != "runs"}
