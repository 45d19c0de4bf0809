"""A benchmark's own figures for a run, with intervals.

The idea: a macro mean, or the mean of a judge's points, is no mean over questions. How much it
would vary with other videos comes from a bootstrap that draws whole videos with all of their
questions (Field & Welsh 2007, J. R. Stat. Soc. B 69). A share then gets Wilson's interval of as
many questions as would vary so much, fewer where few videos say how much videos differ (Korn &
Graubard 1998, Survey Methodology 24), as `statistics.estimate` does; anything else Student's.
"""

from collections.abc import Mapping, Sequence
from math import isfinite, sqrt
from statistics import NormalDist
from typing import Any

import attrs
import numpy as np

from retake.core.benchmark import Benchmark, Group, Marked
from retake.core.errors import UsageError, blame
from retake.evaluation.records import RunRecords, SampleRecord
from retake.evaluation.statistics import CONFIDENCE, student, wilson

#: Videos are drawn so often; less often where there are many questions.
_MOST, _LEAST = 500, 200
_WORK = 1_000_000  # questions looked at in all
_LOOKED_AT = 100  # videos


def marked_samples(
    run: RunRecords, aspects: Mapping[str, Mapping[str, float]] | None = None
) -> list[Marked]:
    """A run's answers as a benchmark takes them.

    Args:
        aspects: what a judge gave, by sample.
    """
    given = aspects or {}
    return [_marked(sample, given.get(sample.id, {})) for sample in run.samples]


def figures(
    benchmark: Benchmark, marked: Sequence[Marked], *, confidence: float = CONFIDENCE, seed: int = 0
) -> list[dict[str, Any]]:
    """The benchmark's metrics in its order.

    Returns:
        For each "name", "value", and "low" and "high", which are None where a single video, or
        videos that are all alike, cannot say.

    Raises:
        UsageError: the benchmark's `metrics` are not numbers by name.
    """
    found = _metrics(benchmark, marked) if marked else {}
    if not found:
        return []
    by_video: dict[str, list[Marked]] = {}
    for each in marked:
        by_video.setdefault(each.video, []).append(each)
    videos = list(by_video.values())
    drawn, resting = _drawn(benchmark, videos, seed), _resting_on(benchmark, videos, found)
    return [
        {
            "name": name,
            "value": value,
            **_interval(value, drawn.get(name, ()), resting[name], confidence),
        }
        for name, value in found.items()
    ]


def _drawn(
    benchmark: Benchmark, videos: Sequence[list[Marked]], seed: int
) -> dict[str, list[float]]:
    """What each metric comes to over resampled videos."""
    values: dict[str, list[float]] = {}
    questions = sum(map(len, videos))
    times = max(_LEAST, min(_MOST, _WORK // questions))
    random = np.random.default_rng(seed)
    for _ in range(times if len(videos) > 1 else 0):
        chosen = random.integers(0, len(videos), len(videos))
        found = _metrics(benchmark, [each for video in chosen for each in videos[video]])
        for name, value in found.items():
            values.setdefault(name, []).append(value)
    return values


def _resting_on(
    benchmark: Benchmark, videos: Sequence[list[Marked]], found: Mapping[str, float]
) -> dict[str, int]:
    """On how many videos each metric rests: those where other scores would make it another.

    All of them where scores change nothing, as with a judge's points. Of many videos only some
    are looked at.
    """
    step = max(1, len(videos) // _LOOKED_AT)
    places = range(0, len(videos), step)
    changed = dict.fromkeys(found, 0)
    for place in places:
        others = [one for at, video in enumerate(videos) if at != place for one in video]
        mine = videos[place]
        ends = [
            _metrics(benchmark, [*others, *(_scored(one, score) for one in mine)])
            for score in (0.0, 1.0)
        ]
        for name in found:
            changed[name] += ends[0].get(name) != ends[1].get(name)
    return {
        name: round(count * len(videos) / len(places)) or len(videos)
        for name, count in changed.items()
    }


def _scored(one: Marked, score: float) -> Marked:
    return one if one.score is None else attrs.evolve(one, score=score)


def _interval(
    value: float, drawn: Sequence[float], videos: int, confidence: float
) -> dict[str, float | None]:
    """An interval from what resampled videos came to.

    Args:
        videos: on how many the value rests.
    """
    if len(drawn) < 2 or videos < 2:
        return {"low": None, "high": None}
    # What a bootstrap draws spreads less than videos do, the more so the fewer there are.
    spread = float(np.std(drawn)) * sqrt(videos / (videos - 1))
    times = student(confidence, videos - 1)
    if 0 <= value <= 1:
        few = (NormalDist().inv_cdf((1 + confidence) / 2) / times) ** 2
        variance = value * (1 - value)
        count = variance / spread**2 if spread > 0 and variance > 0 else float(videos)
        low, high = wilson(value, max(1.0, few * count), confidence=confidence)
        return {"low": low, "high": high}
    if spread == 0:
        return {"low": None, "high": None}
    return {"low": value - times * spread, "high": value + times * spread}


def _metrics(benchmark: Benchmark, marked: Sequence[Marked]) -> dict[str, float]:
    with blame(benchmark, "metrics"):
        found = dict(benchmark.metrics(marked))
    for name, value in found.items():
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not isinstance(name, str) or not number or not isfinite(value):
            raise UsageError(
                f"{type(benchmark).__name__}.metrics() must return finite numbers by name, but "
                f"returned {value!r:.80} for {name!r:.80}."
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
