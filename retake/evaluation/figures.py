"""A benchmark's own figures for a run, with intervals.

The idea: a macro mean, or the mean of a judge's points, is no mean over questions, so its
interval comes from a bootstrap that draws whole videos with all of their questions (Field & Welsh
2007, J. R. Stat. Soc. B 69): the spread of what is drawn, times Student's quantile for so many
videos, which is wide where they are few.
"""

from collections.abc import Mapping, Sequence
from math import isfinite, sqrt
from typing import Any

import numpy as np

from retake.core.benchmark import Benchmark, Group, Marked
from retake.core.errors import UsageError, blame
from retake.evaluation.records import RunRecords, SampleRecord
from retake.evaluation.statistics import CONFIDENCE, student

#: Videos are drawn so often; less often where there are many questions.
_MOST, _LEAST = 1000, 200
_WORK = 1_500_000  # questions looked at in all


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
        For each "name", "value", and "low" and "high", which are None where videos are too few to
        say.

    Raises:
        UsageError: the benchmark's `metrics` are not numbers by name.
    """
    found = _metrics(benchmark, marked) if marked else {}
    if not found:
        return []
    drawn = _drawn(benchmark, marked, seed)
    return [
        {"name": name, "value": value, **_interval(value, drawn, name, confidence)}
        for name, value in found.items()
    ]


class _Drawn:
    """What metrics come to over resampled videos."""

    def __init__(self, videos: int) -> None:
        self.videos = videos
        self.values: dict[str, list[float]] = {}

    def add(self, found: Mapping[str, float]) -> None:
        for name, value in found.items():
            self.values.setdefault(name, []).append(value)


def _drawn(benchmark: Benchmark, marked: Sequence[Marked], seed: int) -> _Drawn:
    by_video: dict[str, list[Marked]] = {}
    for each in marked:
        by_video.setdefault(each.video, []).append(each)
    videos = list(by_video.values())
    drawn = _Drawn(len(videos))
    times = max(_LEAST, min(_MOST, _WORK // len(marked)))
    random = np.random.default_rng(seed)
    for _ in range(times if len(videos) > 1 else 0):
        chosen = random.integers(0, len(videos), len(videos))
        drawn.add(_metrics(benchmark, [each for video in chosen for each in videos[video]]))
    return drawn


def _interval(value: float, drawn: _Drawn, name: str, confidence: float) -> dict[str, float | None]:
    values = drawn.values.get(name, [])
    if len(values) < 2:
        return {"low": None, "high": None}
    # What a bootstrap draws spreads less than videos do, the more so the fewer there are.
    spread = float(np.std(values)) * sqrt(drawn.videos / (drawn.videos - 1))
    half = student(confidence, drawn.videos - 1) * spread
    return {"low": value - half, "high": value + half}


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
