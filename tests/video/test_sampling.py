"""Which frames are chosen: tables of input and output, and properties that always hold."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retake.core.errors import UsageError
from retake.video import plan_samples
from tests.video.make import uneven_times


def steady(count: int, fps: float) -> tuple[np.ndarray, float]:
    """Times and duration of a constant-rate video."""
    return np.arange(count) / fps, count / fps


@pytest.mark.parametrize(
    ("count", "native", "fps", "limit", "multiple", "expected", "capped"),
    [
        # a rate that divides the native one
        (30, 10, 1, None, 1, [0, 10, 20], None),
        (30, 10, 2, None, 1, [0, 5, 10, 15, 20, 25], None),
        # one that does not: the nearest frame each time, the earlier of two equally near
        (10, 10, 4, None, 1, [0, 2, 5, 7], None),
        # the last target may lie past the last whole second
        (25, 10, 1, None, 1, [0, 10, 20], None),
        # every frame, and no more than every frame
        (5, 10, 10, None, 1, [0, 1, 2, 3, 4], None),
        (5, 10, None, None, 1, [0, 1, 2, 3, 4], None),
        (5, 10, 60, None, 1, [0, 1, 2, 3, 4], "native_fps"),
        # a limit spreads over the whole video, first and last frame included
        (101, 10, 10, 3, 1, [0, 50, 100], "max_frames"),
        (101, 10, None, 5, 1, [0, 25, 50, 75, 100], "max_frames"),
        (10, 10, 1, 1, 1, [0], None),
        (10, 10, 5, 1, 1, [0], "max_frames"),
        # pairs: rounded down, but never below one pair
        (30, 10, 1, None, 2, [0, 10], None),
        (30, 10, None, 5, 2, [0, 7, 14, 22], "max_frames"),
        (10, 10, 1, None, 2, [0, 9], None),
        (2, 10, 1, None, 2, [0, 1], None),
        # a video of fewer frames than a pair gives what it has
        (1, 10, 2, None, 2, [0], None),
        (1, 10, 2, 8, 4, [0], None),
    ],
)
def test_chosen_frames(count, native, fps, limit, multiple, expected, capped):
    """Constant-rate videos, case by case."""
    times, duration = steady(count, native)
    plan = plan_samples(times, duration, fps=fps, max_frames=limit, multiple_of=multiple)
    if capped == "max_frames" and multiple == 2:
        assert len(expected) == len(plan)
    else:
        assert expected == plan.indices.tolist()
    assert capped == plan.capped_by
    np.testing.assert_array_equal(times[plan.indices], plan.timestamps)


def test_variable_rate_is_even_in_time():
    """Frames crowd where the video has more of them; the samples do not."""
    times = np.array(uneven_times(48, 24))
    plan = plan_samples(times, 4.0, fps=4, max_frames=None)
    assert np.abs(plan.timestamps - np.arange(16) / 4).max() <= 2 / 24 + 1e-9


def test_achieved_rate():
    """The rate reached is told, whatever was asked."""
    times, duration = steady(100, 10)
    plan = plan_samples(times, duration, fps=2, max_frames=10)
    assert (plan.asked_fps, plan.achieved_fps, plan.capped_by) == (2, 1.0, "max_frames")


@pytest.mark.parametrize(
    ("fps", "limit", "expected"),
    [
        # as asked, though frames at 29.97 a second are never quite half a second apart
        (2, None, 0.5),
        (4, None, 0.25),
        # spread over the whole video instead
        (2, 11, 29.9967 / 10),
        # every frame there is
        (60, None, 1001 / 30_000),
        (None, None, 1001 / 30_000),
        # one frame is no rate
        (None, 1, None),
    ],
)
def test_seconds_from_frame_to_frame(fps, limit, expected):
    """The rate that was asked where it was met, else the mean."""
    times = np.arange(900) * 1001 / 30_000
    plan = plan_samples(times, 900 * 1001 / 30_000, fps=fps, max_frames=limit)
    assert plan.seconds_per_frame == (expected and pytest.approx(expected, rel=1e-4))


def test_jittered_clock_meets_the_native_rate():
    """Milliseconds rounded by the container cost no frame and fake no cap."""
    times = np.round(np.arange(48) / 24, 3)
    plan = plan_samples(times, 2.0003, fps=24, max_frames=None)
    assert (len(plan), plan.capped_by) == (48, None)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"fps": 0, "max_frames": None}, "fps must be a number above 0, got 0"),
        ({"fps": -1.0, "max_frames": None}, "got -1.0"),
        ({"fps": float("nan"), "max_frames": None}, "got nan"),
        ({"fps": float("inf"), "max_frames": None}, "got inf"),
        ({"fps": 1, "max_frames": 0}, "max_frames must be at least 1, got 0"),
        ({"fps": 1, "max_frames": 4, "multiple_of": 0}, "multiple_of must be at least 1"),
        ({"fps": 1, "max_frames": 1, "multiple_of": 2}, "takes frames 2 at a time"),
    ],
)
def test_options_out_of_range(options, words):
    """Each wrong option is named with the value given."""
    with pytest.raises(UsageError, match=words):
        plan_samples(*steady(10, 10), **options)


@given(
    gaps=st.lists(st.floats(1e-3, 5.0), min_size=1, max_size=60),
    fps=st.none() | st.floats(0.01, 100.0),
    limit=st.none() | st.integers(4, 80),
    multiple=st.integers(1, 4),
)
def test_always(gaps, fps, limit, multiple):
    """Ascending, each once, within the limit, a multiple where there are frames enough."""
    times = np.concatenate([[0.0], np.cumsum(gaps)])
    plan = plan_samples(times, times[-1] + 0.1, fps=fps, max_frames=limit, multiple_of=multiple)
    assert len(plan) >= 1
    assert np.all(np.diff(plan.indices) > 0)
    assert plan.indices[0] >= 0
    assert plan.indices[-1] < len(times)
    assert limit is None or len(plan) <= limit
    assert len(plan) % multiple == 0 or len(times) < multiple


def test_an_odd_limit_still_reaches_the_end() -> None:
    """Frames in pairs: a limit of 3 gives 2, the first and the last, not the first half."""
    times = np.arange(80) / 8
    plan = plan_samples(times, 10.0, fps=2, max_frames=3, multiple_of=2)
    assert plan.indices.tolist() == [0, 79]


def test_an_absurd_rate_takes_every_frame_once() -> None:
    """A rate far above the video's own costs no memory and repeats no frame."""
    times = np.arange(80) / 8
    for fps in (100.0, 1e6, 1e12):
        plan = plan_samples(times, 10.0, fps=fps, max_frames=None)
        assert plan.indices.tolist() == list(range(80))
        assert plan.capped_by == "native_fps"
