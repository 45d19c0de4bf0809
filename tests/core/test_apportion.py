"""Splitting a budget: exact, within limits, as the weights say."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retake.core.apportion import apportion

_PARTS = st.lists(
    st.tuples(st.floats(0, 1e9, allow_subnormal=False), st.integers(0, 50)), min_size=1, max_size=20
)


@given(_PARTS, st.floats(0, 1))
def test_exact_and_within_limits(parts: list[tuple[float, int]], share: float) -> None:
    """Shares add up to the total, and none is negative or above its cap."""
    weights, caps = map(list, zip(*parts, strict=True))
    total = int(share * sum(caps))
    shares = apportion(total, weights, caps)
    assert sum(shares) == total
    assert all(0 <= part <= cap for part, cap in zip(shares, caps, strict=True))


@given(st.lists(st.integers(1, 100), min_size=1, max_size=12), st.integers(0, 500))
def test_off_by_less_than_one(weights: list[int], total: int) -> None:
    """Where no cap is in the way, each share is the exact one, rounded up or down."""
    shares = apportion(total, weights, [total] * len(weights))
    for share, weight in zip(shares, weights, strict=True):
        assert abs(share - total * weight / sum(weights)) < 1


@pytest.mark.parametrize(
    ("total", "weights", "caps", "want"),
    [
        (6, [1, 2, 3], [9, 9, 9], [1, 2, 3]),
        # what a cap cuts off goes to the others in proportion
        (9, [8, 1, 2], [3, 9, 9], [3, 2, 4]),
        # among equal remainders the earlier
        (4, [1, 1, 1], [9, 9, 9], [2, 1, 1]),
        # weights of nothing get what no other has room for
        (5, [1, 0, 0], [2, 9, 9], [2, 2, 1]),
        (0, [1, 1], [0, 0], [0, 0]),
    ],
)
def test_by_example(total: int, weights: list[float], caps: list[int], want: list[int]) -> None:
    """Known splits."""
    assert apportion(total, weights, caps) == want


@pytest.mark.parametrize(
    ("total", "weights"), [(4, [1.0]), (1, [-1.0]), (1, [math.nan]), (1, [1.0, 1.0])]
)
def test_refusals(total: int, weights: list[float]) -> None:
    """More than there is room for, weights that are none, and too many of them."""
    with pytest.raises(ValueError, match=r"needed|shared out"):
        apportion(total, weights, [3])
