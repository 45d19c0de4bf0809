"""What a report knows of each run: its method, how much that keeps, and its summary.

The idea: whatever is reported on, one run, a sweep or several runs, is a list of these. Runs
of one method that keep different shares make a curve. Knows nothing of pages.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import attrs

from retake.evaluation.records import RunRecords
from retake.evaluation.report.scales import share_text
from retake.evaluation.report.wording import MISSING, seconds_long
from retake.evaluation.results import read_results
from retake.evaluation.summary import costs, split, summarise

Score = Mapping[str, Any]

#: The group that says how long a video is, and the one that says where in it the needle is.
LENGTH, DEPTH = "seconds", "depth"


@attrs.frozen(eq=False)
class RunView:
    """One run, summed up.

    Attributes:
        name: of the run or the sweep's cell.
        method: what is compared, as legends have it.
        ratio: share of the video's tokens that it keeps, 0 … 1; None where that is not known.
        records: all of it; None where the run is yet to be begun.
        summary: as `summary.summarise` has it.
        samples: the lines of its answers, as mappings.
        failure: why a sweep gave it up, or None.
        metrics: the benchmark's own figures, as `results.json` has them; none where that is not
            written, or older than the run's last answer.
    """

    name: str
    method: str
    ratio: float | None
    records: RunRecords | None
    summary: Mapping[str, Any]
    samples: Sequence[Mapping[str, Any]] = ()
    failure: str | None = None
    metrics: Sequence[Mapping[str, Any]] = ()

    @property
    def overall(self) -> Score | None:
        found: Score | None = self.summary["overall"]
        return found

    @property
    def by_length(self) -> dict[float, Score]:
        """Scores by length of video, ascending."""
        return {each[LENGTH]: each for each in self.groups.get(LENGTH, ()) if _number(each[LENGTH])}

    @property
    def groups(self) -> Mapping[str, Sequence[Score]]:
        found: Mapping[str, Sequence[Score]] = self.summary["groups"]
        return found

    @property
    def by_kind(self) -> dict[str, Score]:
        return {each["kind"]: each for each in self.summary["kinds"]}

    def crossed(self, rows: str, columns: str) -> Sequence[Score]:
        """Scores by two groups at a time; none where samples have not both."""
        for table in self.summary["crossed"]:
            if (table["rows"], table["columns"]) == (rows, columns):
                cells: Sequence[Score] = table["cells"]
                return cells
        return ()

    @property
    def costs_by_length(self) -> dict[float, Mapping[str, Any]]:
        """Costs by length of video; all under 0 where lengths are not told apart."""
        if self.records is None or not self.records.samples:
            return {}
        if not self.by_length:
            return {0.0: self.summary["costs"]}
        parts = split(self.samples, LENGTH)
        return {
            float(level.value): costs(part)
            for (level,), part in parts.items()
            if _number(level.value)
        }

    @property
    def state(self) -> str:
        """How far it is, in words."""
        if self.records is None:
            return "not begun" if self.failure is None else "given up"
        done, total = len(self.records.samples), self.records.header.samples_total
        if self.records.complete:
            return "complete"
        failed = f", {self.records.failed:,} failed" if self.records.failed else ""
        return f"{done:,} of {total:,}{failed}"

    @property
    def complete(self) -> bool:
        return self.records is not None and self.records.complete

    @property
    def ratio_text(self) -> str:
        return MISSING if self.ratio is None else share_text(self.ratio)


def view(name: str, method: str, records: RunRecords | None, ratio: float | None) -> RunView:
    """A run's view; the share kept is measured where it is not given."""
    if records is None:
        return RunView(name, method, ratio, None, summarise([]))
    ratio = measured_ratio(records) if ratio is None else ratio
    samples = [attrs.asdict(sample, recurse=False) for sample in records.samples]
    results = read_results(records)
    metrics = results["metrics"] if results else ()
    summary = summarise(samples, records.videos)
    return RunView(name, method, ratio, records, summary, samples, metrics=metrics)


def measured_ratio(records: RunRecords) -> float | None:
    """Video tokens kept in an average layer over those seen; one over a whole number if close."""
    seen = sum(video.compression.tokens_seen for video in records.videos)
    kept = sum(
        sum(video.compression.tokens_kept) / len(video.compression.tokens_kept)
        for video in records.videos
        if video.compression.tokens_kept
    )
    if not seen or not kept:
        return None
    near = 1 / max(1, round(seen / kept))
    return near if abs(kept / seen - near) < 0.03 * near else round(kept / seen, 3)


def lengths(views: Sequence[RunView]) -> list[float]:
    """Every length of video in any of the runs, ascending."""
    return sorted({length for each in views for length in each.by_length})


def ratios(views: Sequence[RunView]) -> list[float]:
    """Every share kept in any of the runs, the largest first."""
    return sorted({each.ratio for each in views if each.ratio is not None}, reverse=True)


def by_method(views: Sequence[RunView]) -> dict[str, list[RunView]]:
    """Runs under their method, in order of appearance."""
    found: dict[str, list[RunView]] = {}
    for each in views:
        found.setdefault(each.method, []).append(each)
    return found


def reference(views: Sequence[RunView]) -> str | None:
    """The method that keeps everything and has no curve: what others are held against."""
    if len(ratios(views)) < 2:
        return None
    for method, runs in by_method(views).items():
        if len(runs) == 1 and runs[0].ratio == 1:
            return method
    return None


def ranked(views: Sequence[RunView]) -> list[str]:
    """Methods, best first: by mean accuracy over the shares below 1 that it was run at."""
    reference_method = reference(views)

    def worth(method: str) -> float:
        runs = [each for each in by_method(views)[method] if each.overall is not None]
        below = [each for each in runs if each.ratio is not None and each.ratio < 1] or runs
        scores = [each.overall["accuracy"] for each in below if each.overall is not None]
        return sum(scores) / len(scores) if scores else -1.0

    methods = sorted(by_method(views), key=worth, reverse=True)
    return sorted(methods, key=lambda method: method != reference_method)


def at_length(length: float) -> Callable[[RunView], Score | None]:
    """Picks a run's score on videos of that length."""
    return lambda each: each.by_length.get(length)


def length_text(score: Score, name: str = LENGTH) -> str:
    """A length, or a range of them, as a label."""
    within = score.get(f"{name}_range")
    if within is not None:
        return f"{within[0]:g}–{seconds_long(within[1])}"
    return seconds_long(score[name])


def _number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
