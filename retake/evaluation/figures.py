"""A benchmark's own figures for a run, with intervals.

The idea: a macro mean, or the mean of a judge's points, is no mean over questions. How much it
would vary with other videos comes from a bootstrap that draws whole videos with all of their
questions (Field & Welsh 2007, J. R. Stat. Soc. B 69). A share then gets Wilson's interval of as
many questions as would vary so much, fewer where few videos say how much videos differ (Korn &
Graubard 1998, Survey Methodology 24), as `statistics.estimate` does; anything else Student's.
"""

from collections.abc import Mapping, Sequence
from math import isclose, isfinite, sqrt
from statistics import NormalDist
from typing import Any

import attrs
import numpy as np

from retake.core.benchmark import Benchmark, Group, Marked
from retake.core.errors import RetakeError, UsageError, blame
from retake.evaluation.records import RunRecords, SampleRecord
from retake.evaluation.statistics import CONFIDENCE, Estimate, estimate, student, wilson

#: Videos are drawn so often; less often where there are many questions.
_MOST, _LEAST = 500, 200
_WORK = 1_000_000  # questions looked at in all
_LOOKED_AT = 100  # videos
_ROUNDING = 1e-9
#: The range of a share.
SHARE = (0.0, 1.0)


def marked_samples(
    run: RunRecords, aspects: Mapping[str, Mapping[str, float]] | None = None
) -> list[Marked]:
    """A run's answers as a benchmark takes them.

    Args:
        aspects: what a judge gave, by sample.
    """
    given = aspects or {}
    return [_marked(sample, given.get(sample.id, {})) for sample in run.samples]


@attrs.frozen
class Figures:
    """A benchmark's metrics.

    Attributes:
        metrics: for each "name", "value", "scale" (its range; None is no end) and "low" and "high",
            which are None where a single video, or videos that are all alike, cannot say.
        trouble: why there are none, or none with an interval; None where nothing was wrong.
    """

    metrics: tuple[dict[str, Any], ...] = ()
    trouble: str | None = None


def figures(
    benchmark: Benchmark, marked: Sequence[Marked], *, confidence: float = CONFIDENCE, seed: int = 0
) -> Figures:
    """The benchmark's metrics in its order.

    What is wrong with them is told and not raised: the answers behind them took days.
    """
    try:
        scales = _scales(benchmark)
        found = _metrics(benchmark, marked, scales) if marked else {}
    except RetakeError as error:
        return Figures(trouble=error.message)
    by_video: dict[str, list[Marked]] = {}
    for each in marked:
        by_video.setdefault(each.video, []).append(each)
    made = _Intervals(benchmark, list(by_video.values()), found, scales, confidence)
    drawn, trouble = made.drawn(seed) if found else ({}, None)
    metrics = tuple(
        {
            "name": name,
            "value": value,
            "scale": [end if isfinite(end) else None for end in scales.get(name, SHARE)],
            **made.interval(name, drawn.get(name, ())),
        }
        for name, value in found.items()
    )
    return Figures(metrics, trouble)


class _Intervals:
    """How far each metric may be from what other videos would have given."""

    def __init__(
        self,
        benchmark: Benchmark,
        videos: Sequence[list[Marked]],
        found: Mapping[str, float],
        scales: Mapping[str, tuple[float, float]],
        confidence: float,
    ) -> None:
        self._benchmark = benchmark
        self._videos = videos
        self._found = found
        self._scales = scales
        self._confidence = confidence
        self._resting = self._resting_on() if found and len(videos) > 1 else {}
        self._whole = estimate_of(videos, confidence)

    def drawn(self, seed: int) -> tuple[dict[str, list[float]], str | None]:
        """What each metric comes to over resampled videos, and what was wrong with any draw."""
        videos, values = self._videos, dict[str, list[float]]()
        times = max(_LEAST, min(_MOST, _WORK // sum(map(len, videos))))
        random = np.random.default_rng(seed)
        for _ in range(times if len(videos) > 1 else 0):
            chosen = random.integers(0, len(videos), len(videos))
            try:
                found = self._metrics([each for video in chosen for each in videos[video]])
            except RetakeError as error:
                return {}, f"no intervals: {error.message}"
            for name, value in found.items():
                values.setdefault(name, []).append(value)
        return values, None

    def interval(self, name: str, drawn: Sequence[float]) -> dict[str, float | None]:
        """The interval of a metric."""
        value, scale = self._found[name], self._scales.get(name, SHARE)
        videos = self._resting.get(name, 1)
        if len(drawn) < 2 or videos < 2:
            return {"low": None, "high": None}
        whole = self._whole
        if whole and scale == SHARE and isclose(value, whole.mean) and videos >= whole.clusters:
            return {"low": whole.low, "high": whole.high}
        # What a bootstrap draws spreads less than videos do, the more so the fewer there are.
        spread = float(np.std(drawn)) * sqrt(videos / (videos - 1))
        times = student(self._confidence, videos - 1)
        if scale == SHARE:
            few = (NormalDist().inv_cdf((1 + self._confidence) / 2) / times) ** 2
            variance = value * (1 - value)
            count = variance / spread**2 if spread > 0 and variance > 0 else float(videos)
            low, high = wilson(value, max(1.0, few * count), confidence=self._confidence)
            return {"low": low, "high": high}
        if spread == 0:
            return {"low": None, "high": None}
        low, high = scale
        return {"low": max(low, value - times * spread), "high": min(high, value + times * spread)}

    def _metrics(self, marked: Sequence[Marked]) -> dict[str, float]:
        return _metrics(self._benchmark, marked, self._scales)

    def _resting_on(self) -> dict[str, int]:
        """On how many videos each metric rests: those where other scores would make it another.

        Where scores change nothing, a judge's points are behind it: then those that were judged.
        Of many videos only some are looked at.
        """
        videos = self._videos
        places = range(0, len(videos), max(1, len(videos) // _LOOKED_AT))
        changed = dict.fromkeys(self._found, 0)
        for place in places:
            others = [one for at, video in enumerate(videos) if at != place for one in video]
            try:
                ends = [
                    self._metrics([*others, *(_scored(one, score) for one in videos[place])])
                    for score in (0.0, 1.0)
                ]
            except RetakeError:
                return {}
            for name in self._found:
                changed[name] += ends[0].get(name) != ends[1].get(name)
        judged = sum(any(one.aspects for one in video) for video in videos)
        return {
            name: round(count * len(videos) / len(places)) or judged or len(videos)
            for name, count in changed.items()
        }


def estimate_of(videos: Sequence[Sequence[Marked]], confidence: float) -> Estimate | None:
    """The plain mean over all questions that have a score; None where none has."""
    scored = [(one.score, one.video) for video in videos for one in video if one.score is not None]
    if not scored:
        return None
    scores, names = zip(*scored, strict=True)
    return estimate(scores, names, confidence=confidence)


def _scored(one: Marked, score: float) -> Marked:
    return one if one.score is None else attrs.evolve(one, score=score)


def _scales(benchmark: Benchmark) -> dict[str, tuple[float, float]]:
    with blame(benchmark, "scales"):
        given = {name: tuple(map(float, ends)) for name, ends in dict(benchmark.scales).items()}
    for name, ends in given.items():
        if len(ends) != 2 or not ends[0] < ends[1]:
            raise UsageError(
                f"{type(benchmark).__name__}.scales must say from where to where {name!r} goes, "
                f"got {ends!r}."
            )
    return {name: (ends[0], ends[1]) for name, ends in given.items()}


def _metrics(
    benchmark: Benchmark, marked: Sequence[Marked], scales: Mapping[str, tuple[float, float]]
) -> dict[str, float]:
    with blame(benchmark, "metrics"):
        found = dict(benchmark.metrics(marked))
    for name, value in found.items():
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not isinstance(name, str) or not number or not isfinite(value):
            raise UsageError(
                f"{type(benchmark).__name__}.metrics() must return finite numbers by name, but "
                f"returned {value!r:.80} for {name!r:.80}."
            )
        low, high = scales.get(name, SHARE)
        if not low - _ROUNDING <= value <= high + _ROUNDING:
            raise UsageError(
                f"{type(benchmark).__name__}.metrics() returned {value:g} for {name!r}, which is "
                f"outside {low:g} … {high:g}.",
                hint="A metric that is no share says from where to where it goes in `scales`.",
            )
    return {name: float(value) for name, value in found.items()}


def _marked(sample: SampleRecord, aspects: Mapping[str, float]) -> Marked:
    groups: dict[str, Group] = dict(sample.groups)
    return Marked(
        id=sample.id,
        video=sample.video,
        kind=sample.kind,
        groups=groups,
        options=sample.options,
        expected=sample.expected,
        said=sample.answer,
        parsed=sample.parsed,
        score=sample.score,
        chance=sample.chance,
        aspects=dict(aspects),
    )
