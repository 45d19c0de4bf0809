"""The shrunk scale of absolute time, by example."""

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from retake.core.timescale import TimeScale

_QUARTER = Fraction(1, 4)


def test_what_is_kept_whole_stays() -> None:
    """With nothing evicted every chunk starts at its own time."""
    scale = TimeScale(5)
    assert [scale.next(own) for own in (5, 9, 100)] == [5, 9, 100]


def test_a_chunk_that_shrank_brings_the_next_nearer() -> None:
    """A chunk counts by the share of it that was kept."""
    scale = TimeScale(10)
    starts = [scale.next(10)]
    scale.keep(_QUARTER)
    starts += [scale.next(50), scale.next(60)]
    assert starts == [10, 20, 30]


def test_shrinking_the_whole() -> None:
    """Thinned by half, the video so far ends half as far from its start."""
    scale = TimeScale(10)
    scale.next(10)
    scale.next(30)
    scale.shrink(Fraction(1, 2))
    assert scale.next(50) == 10 + 20 // 2 + 20 // 2


def test_levelling_the_whole() -> None:
    """Whatever chunks kept before, all of the video then stands on one scale."""
    scale = TimeScale(10)
    scale.next(10)
    scale.keep(Fraction(1, 3))
    scale.next(30)
    scale.level(_QUARTER)
    assert scale.next(50) == 10 + (50 - 10) // 4


@given(st.lists(st.integers(0, 9), min_size=1, max_size=300), st.integers(1, 9))
def test_nothing_is_lost_to_rounding(gaps: list[int], ninths: int) -> None:
    """However many chunks there are, a start is its own time times the share, cut once."""
    scale, own = TimeScale(0), 0
    scale.next(0)
    for gap in gaps:
        scale.keep(Fraction(ninths, 9))
        own += gap
        assert scale.next(own) == own * ninths // 9
