"""Shares: exact by default, and never more than the budget."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retake.core.budget import Share, share_of
from retake.core.errors import UsageError
from retake.core.options import count_of

_CHUNKS = st.lists(st.integers(1, 400), min_size=1, max_size=20)


def _kept(share: Share, chunks: list[int]) -> list[int]:
    seen, kept = 0, []
    for chunk in chunks:
        kept.append(share.keep(seen, chunk))
        seen += chunk
    return kept


@given(_CHUNKS, st.integers(0, 200), st.integers(1, 5000))
def test_a_budget_is_used_up_exactly(chunks: list[int], text: int, left: int) -> None:
    """Text and what is kept make the budget, to the token, however the video is chunked."""
    video = sum(chunks)
    share = share_of(video=video, text=text, budget=text + left, keep_ratio=None)
    kept = _kept(share, chunks)
    assert sum(kept) == min(left, video)
    assert all(0 <= count <= chunk for count, chunk in zip(kept, chunks, strict=True))


@given(_CHUNKS, st.integers(1, 1000))
def test_a_ratio_is_kept_exactly(chunks: list[int], thousandths: int) -> None:
    """The whole video keeps the ratio, rounded down once and not once a chunk."""
    total = sum(chunks)
    if thousandths * total < 1000:
        with pytest.raises(UsageError, match=f"keeps none of {total} visual tokens"):
            share_of(video=total, text=7, budget=None, keep_ratio=thousandths / 1000)
        return
    share = share_of(video=total, text=7, budget=None, keep_ratio=thousandths / 1000)
    assert sum(_kept(share, chunks)) == thousandths * total // 1000


@given(_CHUNKS, st.floats(0.001, 1.0))
def test_published_rounding(chunks: list[int], ratio: float) -> None:
    """The published code truncates each chunk in floating point and keeps at least one token."""
    share = share_of(video=sum(chunks), text=7, budget=None, keep_ratio=ratio, published=True)
    assert _kept(share, chunks) == [max(1, int(ratio * chunk)) for chunk in chunks]


def test_published_ratio_counts_text() -> None:
    """The published ratio is the budget over text and video, applied to the video alone."""
    share = share_of(video=144, text=18, budget=81, keep_ratio=None, published=True)
    assert share.published_ratio == 0.5
    assert _kept(share, [24] * 6) == [12] * 6
    assert share_of(video=10, text=5, budget=99, keep_ratio=None, published=True).keep(0, 10) == 10


def test_decimal_ratios_are_exact() -> None:
    """0.29 of 100 is 29, where floating point truncates to 28."""
    assert int(0.29 * 100) == 28
    share = share_of(video=100, text=0, budget=None, keep_ratio=0.29)
    assert share.ratio == Fraction(29, 100)
    assert share.keep(0, 100) == 29
    assert count_of(0.29, 100) == 29
    assert share_of(video=100, text=0, budget=None, keep_ratio=0.29, published=True).keep(
        0, 100
    ) == int(0.29 * 100)


@pytest.mark.parametrize("budget", [0, 1, 40])
def test_impossible_budget(budget: int) -> None:
    """A budget that the prompt uses up is refused, with what the prompt needs."""
    with pytest.raises(UsageError) as raised:
        share_of(video=100, text=40, budget=budget, keep_ratio=None)
    assert "needs 40" in raised.value.message
    assert "at least 41" in (raised.value.hint or "")


def test_smallest_possible_budget() -> None:
    """One token more than the prompt keeps one token of the video."""
    assert _kept(share_of(video=100, text=40, budget=41, keep_ratio=None), [50, 50]) == [0, 1]


@pytest.mark.parametrize(("budget", "keep_ratio"), [(None, None), (100, 0.5)])
def test_one_of_budget_and_ratio(budget: int | None, keep_ratio: float | None) -> None:
    """Exactly one of the two is given."""
    with pytest.raises(UsageError, match="not both or neither"):
        share_of(video=100, text=4, budget=budget, keep_ratio=keep_ratio)


@given(st.floats(0.0001, 1.0), st.integers(1, 2000))
def test_count_of_is_nearest_and_at_least_one(ratio: float, total: int) -> None:
    """A count is within half of the ratio's share, at least one and at most all."""
    count = count_of(ratio, total)
    assert 1 <= count <= total
    assert count == 1 or abs(count - ratio * total) <= 0.5 + 1e-9
