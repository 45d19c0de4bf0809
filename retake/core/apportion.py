"""Splitting a budget: whole numbers that add up, as near to given weights as limits allow."""

from collections.abc import Sequence
from fractions import Fraction


def apportion(total: int, weights: Sequence[float], caps: Sequence[int]) -> list[int]:
    """Shares of `total` in proportion to the weights, none above its cap.

    What a cap cuts off goes to the others in the same proportion. Fractions left over go to the
    largest remainders, among equals to the earlier.

    Args:
        total: what is shared out; at most the sum of the caps.
        weights: 0 or more, at least one above 0 where there is room.
        caps: the most that each may have.

    Raises:
        ValueError: a weight is negative or no number, or the caps leave no room for the total.
    """
    exact = [Fraction(weight) if weight == weight and weight >= 0 else None for weight in weights]
    if len(exact) != len(caps) or None in exact:
        raise ValueError(f"{len(caps)} weights of 0 or more are needed, got {list(weights)}")
    if not 0 <= total <= sum(caps):
        raise ValueError(f"{total} cannot be shared out among {sum(caps)} places")
    shares = _level(total, [weight or Fraction(0) for weight in exact], caps)
    whole = [int(share) for share in shares]
    rest = total - sum(whole)
    by_remainder = sorted(range(len(shares)), key=lambda i: (whole[i] - shares[i], i))
    for index in by_remainder:
        if rest and whole[index] < caps[index]:
            whole[index] += 1
            rest -= 1
    return whole


def _level(total: int, weights: list[Fraction], caps: Sequence[int]) -> list[Fraction]:
    """The exact shares: those that reach their cap are fixed, the rest is shared out again."""
    shares = [Fraction(0)] * len(weights)
    open_ = list(range(len(weights)))
    left = Fraction(total)
    while open_ and left:
        mass = sum((weights[i] for i in open_), Fraction(0))
        # Where only weights of 0 have room left, they count the same.
        rate = {i: weights[i] / mass if mass else Fraction(1, len(open_)) for i in open_}
        full = [i for i in open_ if left * rate[i] >= caps[i]]
        if not full:
            for i in open_:
                shares[i] = left * rate[i]
            return shares
        for i in full:
            shares[i] = Fraction(caps[i])
            left -= caps[i]
        open_ = [i for i in open_ if i not in full]
    return shares
