"""What each chunk may keep while the video is still arriving and its length is only expected."""

from collections.abc import Sequence
from fractions import Fraction

import attrs

from retake.core.apportion import apportion
from retake.core.budget import Share, check_room


@attrs.frozen
class Ration:
    """What a chunk may keep.

    Attributes:
        keep: tokens of the chunk that stay.
        thin: tokens of the video before it that may stay, where it must make room; else None.
    """

    keep: int
    thin: int | None = None


class Allowance:
    """Spends a budget over a video whose length may turn out otherwise than expected.

    As long as the expectation holds, shares are those of `Share`: exact, and the budget is used
    up to the token. What is left is spread anew where less is expected than was planned, or a
    little more. Where much more is, or a video goes on of which nothing was known (which is then
    planned for twice its length each time), what was kept is thinned to its new share, and later
    chunks keep at that rate. The budget is never exceeded.
    """

    def __init__(self, *, budget: int, text: int, expected: int | None) -> None:
        """Plan for a video.

        Args:
            budget: tokens that each layer may hold, text included.
            text: tokens of the prompt besides the video.
            expected: visual tokens to come, where that is known.

        Raises:
            UsageError: the text alone uses up the budget.
        """
        check_room(budget, text)
        #: Tokens that the video may keep in a layer.
        self.limit = budget - text
        self._plan = self.limit if expected is None else expected
        self._ratio = _at_most_one(self.limit, self._plan)
        self._base = 0
        self._seen = 0
        self._kept = 0
        #: How often the rest of the budget was spread anew, and what was kept was thinned.
        self.respread = 0
        self.thinned = 0

    def next(self, chunk: int, expected: int | None) -> Ration:
        """The ration of the next chunk.

        Args:
            chunk: tokens in it.
            expected: tokens of the whole video as far as is known by now, this chunk and those
                before it included; None where that is not known.
        """
        end = self._seen + chunk
        thin = None
        if expected is not None and expected >= end:
            if expected != self._plan:
                thin = self._replan(expected)
        elif end > self._plan:
            thin = self._replan(max(2 * self._plan, end))
        since = self._seen - self._base
        keep = int(self._ratio * (since + chunk)) - int(self._ratio * since)
        self._seen = end
        self._kept += keep
        return Ration(keep, thin)

    def _replan(self, expected: int) -> int | None:
        """Plan for another length; what may stay of the video so far, if that is less."""
        self._plan = expected
        fair = _at_most_one(self.limit, expected)
        rest = _at_most_one(self.limit - self._kept, expected - self._seen)
        share = int(fair * self._seen)
        if share >= self._kept or rest >= fair / 2:
            self._base, self._ratio = self._seen, rest
            self.respread += 1
            return None
        # So little would be left for the rest that the end would hardly be there.
        self._base, self._ratio, self._kept = 0, fair, share
        self.thinned += 1
        return share


@attrs.define
class CacheAllowance:
    """For a compressor that evicts from the whole cache, which is filled from the start.

    A ration is what the whole video so far may keep.

    Attributes:
        share: of the video that is kept, where a ratio is asked for.
        limit: tokens that the video may keep, where a budget is.
    """

    share: Share | None = None
    limit: int | None = None
    _seen: int = 0

    def next(self, chunk: int, expected: int | None) -> Ration:
        """The ration of the video up to and with the next chunk."""
        self._seen += chunk
        if self.limit is not None:
            return Ration(min(self._seen, self.limit))
        assert self.share is not None
        whole = self.share.keep(0, max(self._seen, expected or 0))
        return Ration(min(self._seen, whole))


class WeightedAllowance:
    """For chunks that are all there and are not worth the same: rations in proportion.

    Args:
        total: tokens that the video may keep.
        weights: what a token of each chunk is worth against the others.
        sizes: tokens of each chunk.
    """

    def __init__(self, total: int, weights: Sequence[float], sizes: Sequence[int]) -> None:
        worth = [weight * size for weight, size in zip(weights, sizes, strict=True)]
        self._rations = iter(apportion(min(total, sum(sizes)), worth, sizes))

    def next(self, chunk: int, expected: int | None) -> Ration:
        """The ration of the next chunk."""
        return Ration(next(self._rations))


@attrs.define
class RatioAllowance:
    """The same for a fixed ratio, which needs no expectation."""

    share: Share
    _seen: int = 0

    def next(self, chunk: int, expected: int | None) -> Ration:
        """The ration of the next chunk."""
        keep = self.share.keep(self._seen, chunk)
        self._seen += chunk
        return Ration(keep)


def _at_most_one(part: int, whole: int) -> Fraction:
    return min(Fraction(1), Fraction(part, whole)) if whole > 0 else Fraction(1)
