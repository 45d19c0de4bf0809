"""Intervals and tests: known values, and what must hold of any scores."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retake.core.errors import UsageError
from retake.evaluation.statistics import (
    estimate,
    holm,
    mcnemar,
    paired,
    sign_flips,
    student,
    wilson,
)

_SCORES = st.lists(st.floats(0, 1, allow_subnormal=False), min_size=1, max_size=60)
_MARKS = st.lists(st.sampled_from([0.0, 1.0]), min_size=1, max_size=60)


@pytest.mark.parametrize(
    ("freedom", "expected"),
    [(1, 12.70620), (2, 4.30265), (5, 2.57058), (30, 2.04227), (100, 1.98397), (1000, 1.96234)],
)
def test_student(freedom: int, expected: float) -> None:
    """As in the printed tables."""
    assert student(0.95, freedom) == pytest.approx(expected, abs=1e-5)


def test_student_has_no_seam() -> None:
    """The sum and the expansion that follows it agree where they meet."""
    assert student(0.95, 101) == pytest.approx(
        (student(0.95, 100) + student(0.95, 102)) / 2, abs=1e-5
    )


def test_wilson_known_values() -> None:
    """Published examples: 0 of 10, 5 of 10 and 10 of 10."""
    assert wilson(0, 10) == pytest.approx((0, 0.27753), abs=1e-5)
    assert wilson(0.5, 10) == pytest.approx((0.23659, 0.76341), abs=1e-5)
    assert wilson(1, 10) == pytest.approx((0.72247, 1), abs=1e-5)


@given(_MARKS)
def test_a_question_a_video_is_plain_wilson(marks: list[float]) -> None:
    """Where no video is asked twice, questions are independent."""
    found = estimate(marks, range(len(marks)))
    assert found.effective == pytest.approx(len(marks))
    assert (found.low, found.high) == pytest.approx(wilson(found.mean, len(marks)))


@given(_SCORES, st.data())
def test_an_interval_holds_its_mean_and_stays_inside(
    scores: list[float], data: st.DataObject
) -> None:
    """For any scores of any videos; and never narrower than for independent questions."""
    videos = data.draw(st.lists(st.integers(0, 5), min_size=len(scores), max_size=len(scores)))
    found = estimate(scores, videos)
    assert 0 <= found.low <= found.mean <= found.high <= 1
    assert 1 <= found.effective <= len(scores)
    narrow = wilson(found.mean, len(scores))
    assert found.low <= narrow[0] + 1e-12
    assert found.high >= narrow[1] - 1e-12


@given(_MARKS.filter(lambda marks: len(marks) > 1))
def test_repeated_questions_say_nothing_new(marks: list[float]) -> None:
    """Each question asked five times about its video is worth one."""
    once = estimate(marks, range(len(marks)))
    five = estimate(marks * 5, list(range(len(marks))) * 5)
    if 0 < once.mean < 1:
        assert five.effective <= once.effective * 1.01
    assert five.mean == pytest.approx(once.mean)


def test_one_video_is_one_observation() -> None:
    """Twenty right answers about one video promise little of the next."""
    assert estimate([1.0] * 20, ["a"] * 20).low == pytest.approx(wilson(1, 1)[0])


def test_all_right_is_not_certain() -> None:
    """And is no less sure than all right but one, as a formula that jumps would have it."""
    videos = [number // 20 for number in range(120)]
    all_right, all_but_one = estimate([1.0] * 120, videos), estimate([0.0] + [1.0] * 119, videos)
    assert 0.9 < all_but_one.low < all_right.low < 1
    assert estimate([0.0] * 120, videos).high == pytest.approx(1 - all_right.low)


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    """Videos of differing difficulty, ten questions each: 95 % of intervals hold the mean."""
    random = np.random.default_rng(5)
    videos = np.repeat(np.arange(30), 10)
    held, naive, rounds = 0, 0, 400
    for _ in range(rounds):
        hardness = random.beta(2, 1, 30)
        scores = (random.random(300) < hardness[videos]).astype(float)
        found = estimate(scores.tolist(), videos.tolist())
        held += found.low <= 2 / 3 <= found.high
        low, high = wilson(found.mean, 300)
        naive += low <= 2 / 3 <= high
    assert held / rounds > 0.92
    assert naive / rounds < 0.85  # which is why videos count, and not questions


@pytest.mark.parametrize(
    ("better", "worse", "expected"),
    [(5, 15, 0.04139), (15, 5, 0.04139), (0, 6, 0.03125), (0, 0, 1.0), (1, 1, 1.0), (2, 0, 0.5)],
)
def test_mcnemar(better: int, worse: int, expected: float) -> None:
    """Twice the tail of the binomial distribution, at most 1."""
    assert mcnemar(better, worse) == pytest.approx(expected, abs=1e-5)


def test_mcnemar_of_many() -> None:
    """Large counts neither overflow nor lose the tail: the normal approximation is near."""
    z = (5200 - 4800 - 1) / 100
    assert mcnemar(5200, 4800) == pytest.approx(math.erfc(z / math.sqrt(2)), rel=0.01)


@given(st.lists(st.sampled_from([-1.0, 0.0, 1.0]), max_size=12))
def test_flipping_single_questions_is_mcnemars(gains: list[float]) -> None:
    """With one question a video the two tests are one."""
    better, worse = gains.count(1.0), gains.count(-1.0)
    assert sign_flips(gains) == pytest.approx(mcnemar(better, worse))


def test_drawn_flips_are_near_the_exact() -> None:
    """Beyond a dozen videos signs are drawn, by a seed."""
    gains = [1.0] * 14 + [-1.0] * 6
    assert sign_flips(gains) == pytest.approx(mcnemar(14, 6), abs=0.01)
    assert sign_flips(gains) == sign_flips(gains)


@settings(max_examples=40)
@given(st.data())
def test_a_difference_turns_its_sign(data: st.DataObject) -> None:
    """Runs exchanged, the difference is the same the other way round; and bounded."""
    size = data.draw(st.integers(1, 40))
    many = st.lists(st.floats(0, 1), min_size=size, max_size=size)
    first, second = data.draw(many), data.draw(many)
    videos = data.draw(st.lists(st.integers(0, 6), min_size=size, max_size=size))
    there = paired(first, second, videos, resamples=500)
    back = paired(second, first, videos, resamples=500)
    assert -1 <= there.low <= there.mean <= there.high <= 1
    assert 0 < there.p <= 1
    assert (there.mean, there.low, there.high) == pytest.approx((-back.mean, -back.high, -back.low))
    assert (there.better, there.worse, there.p) == (back.worse, back.better, back.p)


def test_a_run_against_itself() -> None:
    """No difference, none likely; and how large one could still be."""
    marks = [1.0, 0.0] * 30
    same = paired(marks, marks, [number // 3 for number in range(60)])
    assert (same.mean, same.better, same.worse, same.p, same.p_mcnemar) == (0, 0, 0, 1, 1)
    assert -0.2 < same.low < 0 < same.high < 0.2


def test_pairs_are_surer_than_two_means() -> None:
    """The same small gain over videos that differ much: seen in pairs, drowned in means."""
    random = np.random.default_rng(1)
    videos = np.repeat(np.arange(50), 4)
    first = (random.random(200) < random.random(50)[videos]).astype(float)
    second = np.where(random.random(200) < 0.15, 1.0, first)
    found = paired(first.tolist(), second.tolist(), videos.tolist())
    assert found.low > 0
    assert found.p < 0.001
    apart = (estimate(each.tolist(), videos.tolist()) for each in (first, second))
    assert next(apart).high > next(apart).low


def test_few_videos_widen_a_difference() -> None:
    """All of five videos gained a little: as sure as Student's t of five, and no surer."""
    first, second = [0.0] * 5, [0.1, 0.2, 0.3, 0.4, 0.9]
    found = paired(first, second, range(5))
    half = student(0.95, 4) * float(np.std(second, ddof=1)) / math.sqrt(5)
    assert found.high - found.low == pytest.approx(2 * half, rel=0.25)
    assert found.p == 2 / 2**5  # which five videos cannot push below


def test_differences_hold_the_truth_as_often_as_they_say() -> None:
    """Six videos of ten questions, a true loss of 6 points: 95 % of intervals hold it."""
    random = np.random.default_rng(7)
    videos = np.repeat(np.arange(6), 10)
    held, rounds = 0, 300
    for _ in range(rounds):
        ease = random.random(6)[videos]
        first = (random.random(60) < ease).astype(float)
        anew = (random.random(60) < 0.7 * ease).astype(float)
        second = np.where(random.random(60) < 0.4, anew, first)
        found = paired(first.tolist(), second.tolist(), videos.tolist(), resamples=1000)
        held += found.low <= -0.4 * 0.3 * 0.5 <= found.high
    assert 0.92 < held / rounds < 0.99


@pytest.mark.parametrize("number", [2, 3, 4, 6, 8, 12])
def test_no_difference_is_seldom_found_in_few_videos(number: int) -> None:
    """Videos that gain or lose by chance, 8 questions each: no interval is off 0 too often."""
    random = np.random.default_rng(number)
    videos = np.repeat(np.arange(number), 8)
    off, rounds = 0, 300
    for _ in range(rounds):
        leaning = random.uniform(-1, 1, number)[videos]
        first = (random.random(len(videos)) < 0.5).astype(float)
        moved = random.random(len(videos)) < np.abs(leaning)
        second = np.where(moved, leaning > 0, first)
        first = np.where(moved, leaning < 0, first)
        found = paired(first.tolist(), second.tolist(), videos.tolist(), resamples=500)
        off += found.low > 0 or found.high < 0
    assert off / rounds <= 0.08


@pytest.mark.parametrize("kept", [(1, 0), (1, 1), (2, 0), (2, 1)])
def test_weaker_evidence_is_no_surer(kept: tuple[int, int]) -> None:
    """Two videos of four questions: all lost says most, each one kept says less."""
    videos = [0] * 4 + [1] * 4
    second = [float(at % 4 < kept[at // 4]) for at in range(8)]
    all_lost = paired([1.0] * 8, [0.0] * 8, videos)
    found = paired([1.0] * 8, second, videos)
    assert (all_lost.low, found.low) == (-1, -1)
    assert all_lost.high < found.high


def test_one_change_is_no_surer_than_none() -> None:
    """How far a difference may be is not forgotten once a single question changed."""
    videos = [number // 10 for number in range(120)]
    same, one = ([0.0] * 120, [1.0] + [0.0] * 119)
    none, changed = paired(same, same, videos), paired(same, one, videos)
    assert changed.low < 0 < none.high < changed.high


def test_a_large_video_among_small_ones_is_one_video() -> None:
    """Leaving it out moves the mean far: so little is sure, however many questions it has."""
    videos = [0] * 90 + list(range(1, 11))
    found = paired([0.0] * 100, [1.0] * 90 + [0.0] * 10, videos)
    assert found.low < 0 < found.high


def test_a_bootstrap_is_the_known_standard_error() -> None:
    """For one question a video the interval is the mean ± 1.96 standard errors."""
    random = np.random.default_rng(2)
    first, second = random.random(500), random.random(500)
    found = paired(first.tolist(), second.tolist(), range(500))
    error = float((second - first).std() / np.sqrt(500))
    assert (found.high - found.low) / (2 * 1.96) == pytest.approx(error, rel=0.03)


def test_one_video_compares_nothing() -> None:
    """Of other videos it says nothing."""
    found = paired([0.0] * 5, [1.0] * 5, ["a"] * 5)
    assert (found.low, found.high, found.p) == (-1, 1, 1)


def test_scores_between_have_no_mcnemar() -> None:
    """The test is of right and wrong."""
    assert paired([0.5, 1.0], [1.0, 1.0], "ab").p_mcnemar is None


def test_holm_known_values() -> None:
    """The textbook's example, in any order."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), max_size=20))
def test_holm_corrects_upwards_and_keeps_the_order(values: list[float]) -> None:
    """Never below the p itself, never above Bonferroni's, and the order stays."""
    found = holm(values)
    for p, corrected in zip(values, found, strict=True):
        assert p <= corrected <= min(1, len(values) * p) + 1e-15
    order = sorted(range(len(values)), key=lambda at: values[at])
    assert [found[at] for at in order] == sorted(found)


@pytest.mark.parametrize(
    ("scores", "videos", "message"),
    [
        ([], [], "no scores"),
        ([0.5, 1.2], "ab", "from 0 to 1; got 1.2"),
        ([math.nan], "a", "from 0 to 1; got nan"),
        ([1.0], "ab", "1 scores"),
    ],
)
def test_wrong_scores_are_refused(scores: list[float], videos: str, message: str) -> None:
    """With what was given."""
    with pytest.raises(UsageError, match=message):
        estimate(scores, videos)
