"""How sure a score is, and whether two runs differ.

Questions about one video are not independent: a video that is hard is hard for all of them.
Everything here therefore takes the video that each question is about, and counts videos, not
questions, where they disagree. Knows nothing of runs and files: numbers in, numbers out.
"""

import math
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import product
from statistics import NormalDist
from typing import Any

import attrs
import numpy as np

from retake.core.errors import UsageError

CONFIDENCE = 0.95
#: Below it a difference, by its corrected p, is marked wherever differences are shown.
SIGNIFICANT = 0.05
RESAMPLES = 10_000

_EXACT_FLIPS = 12  # videos whose signs are all tried, 2^12 ways; beyond it they are drawn
_EXACT_T = 100  # degrees of freedom up to which Student's t is summed, not expanded
_BLOCK = 2**20  # numbers held at a time by a resampling

_Array = np.ndarray[Any, Any]


@attrs.frozen
class Estimate:
    """A mean score, and what it says of questions and videos like these.

    Attributes:
        mean: 0 … 1.
        low, high: the interval around it, 0 … 1.
        count: questions.
        clusters: videos.
        effective: how many independent questions would say as much.
    """

    mean: float
    low: float
    high: float
    count: int
    clusters: int
    effective: float


@attrs.frozen
class Difference:
    """How much better a second run did than a first on the same questions.

    Attributes:
        mean: the second's mean score less the first's, -1 … 1.
        low, high: the interval around it.
        count: questions.
        clusters: videos.
        better, worse: questions that the second answered better, and worse.
        p: how often a difference as large comes of chance alone (`sign_flips`).
        p_mcnemar: the same by McNemar's test, were all questions independent; None where scores
            are not all 0 or 1.
    """

    mean: float
    low: float
    high: float
    count: int
    clusters: int
    better: int
    worse: int
    p: float
    p_mcnemar: float | None


def estimate(
    scores: Sequence[float], clusters: Sequence[object], *, confidence: float = CONFIDENCE
) -> Estimate:
    """A mean score with its interval.

    Wilson's interval (Wilson 1927, J. Am. Stat. Assoc. 22), which stays inside 0 … 1 and has a
    width where all is right, with the number of questions replaced by the effective one: the
    questions, over the design effect of the cluster-robust variance (Liang & Zeger 1986,
    Biometrika 73; for evaluations of language models Miller 2024, arXiv 2411.00640), and less
    where few videos say how much videos differ (Korn & Graubard 1998, Survey Methodology 24).
    Never more than the questions there are, never less than one.

    Args:
        scores: of each question, 0 … 1.
        clusters: the video that each is about.
        confidence: how often such an interval holds the truth, between 0 and 1.

    Raises:
        UsageError: no scores, scores outside 0 … 1, or not a cluster for each.
    """
    values, index = _checked(scores, clusters)
    count, groups = len(values), int(index.max()) + 1
    mean = float(values.mean())
    effective = _effective(values, index, confidence)
    low, high = wilson(mean, effective, confidence=confidence)
    return Estimate(mean, low, high, count, groups, effective)


def wilson(share: float, count: float, *, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Wilson's interval of a share seen in so many independent trials (a fraction is allowed)."""
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    shrink = 1 + z * z / count
    centre = (share + z * z / (2 * count)) / shrink
    half = z / shrink * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    # Rounding must not push the share itself out of its interval.
    return max(0.0, min(share, centre - half)), min(1.0, max(share, centre + half))


def paired(
    first: Sequence[float],
    second: Sequence[float],
    clusters: Sequence[object],
    *,
    confidence: float = CONFIDENCE,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Difference:
    """How much better the second run's scores are, question by question.

    The interval is the widest of three. A bootstrap draws whole videos, with all their questions
    (Field & Welsh 2007, J. R. Stat. Soc. B 69), at percentiles widened for few videos (Hesterberg
    2014, arXiv 1411.5279); but what it draws never leaves the range of the videos seen, which is
    narrow by chance where they are few. So it is joined with Student's, whose error leaves out a
    video at a time (Efron & Stein 1981, Annals of Statistics 9), and with how large a difference
    may yet be that was never seen in so many. One video says nothing of others.

    Args:
        first, second: scores of the same questions in the same order, 0 … 1.
        clusters: the video that each is about.
        confidence: how often such an interval holds the truth, between 0 and 1.
        resamples: how many times videos are drawn.
        seed: of the drawing; the same seed gives the same numbers.

    Raises:
        UsageError: no scores, scores outside 0 … 1, or not as many in each.
    """
    a, index = _checked(first, clusters)
    b, _ = _checked(second, clusters)
    gains = b - a
    sums, sizes = np.bincount(index, weights=gains), np.bincount(index)
    mean = float(gains.mean())
    low, high = _around(gains, sums, sizes, confidence, resamples, seed)
    better, worse = int((gains > 0).sum()), int((gains < 0).sum())
    binary = bool(np.isin(a, (0, 1)).all() and np.isin(b, (0, 1)).all())
    return Difference(
        mean,
        low,
        high,
        len(gains),
        len(sums),
        better,
        worse,
        sign_flips(sums, resamples=resamples, seed=seed),
        mcnemar(better, worse) if binary else None,
    )


def mcnemar(better: int, worse: int) -> float:
    """The two-sided exact p of McNemar's test: a coin thrown for each question that changed.

    McNemar 1947, Psychometrika 12; exact by the binomial distribution.
    """
    thrown, fewer = better + worse, min(better, worse)
    if thrown == 0:
        return 1.0
    logs = [
        math.lgamma(thrown + 1) - math.lgamma(k + 1) - math.lgamma(thrown - k + 1)
        for k in range(fewer + 1)
    ]
    return min(1.0, 2 * math.fsum(math.exp(each - thrown * math.log(2)) for each in logs))


def sign_flips(
    sums: Sequence[float] | _Array, *, resamples: int = RESAMPLES, seed: int = 0
) -> float:
    """The two-sided p that each video's total difference might as well have had the other sign.

    Fisher's randomisation test (The Design of Experiments, 1935) over videos: exact for few of
    them, by drawing signs for many. With one question a video it is McNemar's.

    Args:
        sums: the differences of each video's questions, summed.
        resamples: signs drawn where there are too many videos to try all.
        seed: of the drawing.
    """
    moved = np.asarray(sums, dtype=float)
    moved = moved[moved != 0]
    if not len(moved):
        return 1.0
    # A hair less, so that sums equal but for rounding count as equal.
    seen = abs(float(moved.sum())) * (1 - 1e-9)
    if len(moved) <= _EXACT_FLIPS:
        signs = np.array(list(product((-1.0, 1.0), repeat=len(moved))))
        return float((np.abs(signs @ moved) >= seen).mean())
    extreme = 0
    for number, count in _blocks(resamples, len(moved)):
        extreme += int((np.abs(_signs(len(moved), count, seed, number) @ moved) >= seen).sum())
    return (extreme + 1) / (resamples + 1)


def holm(values: Sequence[float]) -> list[float]:
    """p values corrected for being several: the chance that any of them is found wrongly.

    Holm 1979, Scandinavian Journal of Statistics 6.
    """
    order = sorted(range(len(values)), key=lambda at: values[at])
    corrected = [0.0] * len(values)
    largest = 0.0
    for rank, at in enumerate(order):
        largest = max(largest, min(1.0, (len(values) - rank) * values[at]))
        corrected[at] = largest
    return corrected


@lru_cache(maxsize=4096)
def student(confidence: float, freedom: int) -> float:
    """How many standard errors to each side hold so much of Student's t distribution."""
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    if freedom > _EXACT_T:
        # Abramowitz & Stegun 26.7.5; at 100 degrees of freedom right to eight digits.
        first = (z**3 + z) / 4
        second = (5 * z**5 + 16 * z**3 + 3 * z) / 96
        third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
        return z + first / freedom + second / freedom**2 + third / freedom**3
    low, high = 0.0, 1.0
    while _inside(high, freedom) < confidence:
        high *= 2
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if _inside(middle, freedom) < confidence else (low, middle)
    return (low + high) / 2


def _checked(scores: Sequence[float], clusters: Sequence[object]) -> tuple[_Array, _Array]:
    """Scores as an array, and the number of each one's cluster."""
    values = np.asarray(scores, dtype=float)
    if values.ndim != 1 or not len(values):
        raise UsageError("There are no scores to average.")
    if len(values) != len(clusters):
        raise UsageError(
            f"{len(values)} scores need as many clusters and partners, got {len(clusters)}."
        )
    if not bool(((values >= 0) & (values <= 1)).all()):
        raise UsageError(f"A score is a number from 0 to 1; got {_outside(values)}.")
    numbers: dict[object, int] = {}
    index = [numbers.setdefault(each, len(numbers)) for each in clusters]
    return values, np.asarray(index, dtype=np.int64)


def _outside(values: _Array) -> float:
    return float(values[~((values >= 0) & (values <= 1))][0])


def _effective(values: _Array, index: _Array, confidence: float) -> float:
    """How many independent questions would say as much as these."""
    count, groups = len(values), int(index.max()) + 1
    if groups == 1:
        return 1.0
    left = values - values.mean()
    spread = float(left @ left)
    effect = 1.0
    if spread > 0:
        sums = np.bincount(index, weights=left)
        effect = max(1.0, groups / (groups - 1) * float(sums @ sums) / spread * (count - 1) / count)
    ratio = student(confidence, count - 1) / student(confidence, groups - 1)
    return min(float(count), max(1.0, count / effect * ratio**2))


def _around(
    gains: _Array,
    sums: _Array,
    sizes: _Array,
    confidence: float,
    resamples: int,
    seed: int,
) -> tuple[float, float]:
    """The interval of a mean difference, which is in it, -1 … 1."""
    groups = len(sums)
    if groups == 1:
        return -1.0, 1.0
    mean = float(gains.mean())
    half = student(confidence, groups - 1) * _error(sums, sizes)
    clusters = np.repeat(np.arange(groups), sizes)
    unseen = wilson(0.0, _effective(np.zeros(len(gains)), clusters, confidence))[1]
    low, high = _drawn(sums, sizes, confidence, resamples, seed)
    half = max(half, unseen)
    return max(-1.0, min(low, mean - half)), min(1.0, max(high, mean + half))


def _error(sums: _Array, sizes: _Array) -> float:
    """The standard error of a mean over videos, by how it moves without each of them."""
    groups = len(sums)
    without = (sums.sum() - sums) / (sizes.sum() - sizes)
    moved = without - sums.sum() / sizes.sum()
    return math.sqrt((groups - 1) / groups * float(moved @ moved))


def _drawn(
    sums: _Array, sizes: _Array, confidence: float, resamples: int, seed: int
) -> tuple[float, float]:
    """Where a mean lies when videos are drawn anew."""
    groups = len(sums)
    means = []
    for number, count in _blocks(resamples, groups):
        times = _times(groups, count, seed, number)
        means.append((times @ sums) / (times @ sizes))
    # As wide as Student's t on the spread of the sample, which a bootstrap takes for the truth.
    tail = NormalDist().cdf(-math.sqrt(groups / (groups - 1)) * student(confidence, groups - 1))
    low, high = np.quantile(np.concatenate(means), (tail, 1 - tail))
    return float(low), float(high)


def _blocks(resamples: int, width: int) -> Iterable[tuple[int, int]]:
    """Resamples in numbered blocks that fit in memory, whatever the number of videos."""
    size = max(1, _BLOCK // width)
    for number, first in enumerate(range(0, resamples, size)):
        yield number, min(size, resamples - first)


# Of as many videos the same is drawn, so that many comparisons draw once.
@lru_cache(maxsize=8)
def _times(groups: int, count: int, seed: int, block: int) -> _Array:
    """How often each video is drawn, `[count, groups]`."""
    random = np.random.default_rng([seed, block])
    return random.multinomial(groups, np.full(groups, 1 / groups), size=count).astype(float)


@lru_cache(maxsize=8)
def _signs(groups: int, count: int, seed: int, block: int) -> _Array:
    """A drawn sign for each video, `[count, groups]`."""
    return np.random.default_rng([seed, block]).integers(0, 2, (count, groups)) * 2.0 - 1.0


def _inside(t: float, freedom: int) -> float:
    """How much of Student's distribution lies within ±t: Abramowitz & Stegun 26.7.3 and 26.7.4."""
    angle = math.atan(t / math.sqrt(freedom))
    squared = math.cos(angle) ** 2
    odd = freedom % 2
    term = math.cos(angle) if odd else 1.0
    total = term if freedom > 1 else 0.0
    for k in range(3 if odd else 2, freedom - 1, 2):
        term *= squared * (k - 1) / k
        total += term
    if not odd:
        return math.sin(angle) * total
    return 2 / math.pi * (angle + math.sin(angle) * total)
