"""What each chunk may keep while the video is still arriving and its length is only expected."""

from fractions import Fraction

import attrs

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
    up to the token. A video that turns out shorter lets later chunks keep more. One that goes on
    beyond what was expected, or of which nothing was known, is planned for twice its length
    each time that it outgrows the plan: what was kept is thinned to its new share, and later
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
        self._limit = budget - text
        self._plan = self._limit if expected is None else expected
        self._ratio = _at_most_one(self._limit, self._plan)
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
                self._rebase(expected)
        elif end > self._plan:
            thin = self._stretch(end)
        since = self._seen - self._base
        keep = int(self._ratio * (since + chunk)) - int(self._ratio * since)
        self._seen = end
        self._kept += keep
        return Ration(keep, thin)

    def _rebase(self, expected: int) -> None:
        """Spread what is left of the budget over what is left of the video."""
        self._plan, self._base = expected, self._seen
        self._ratio = _at_most_one(self._limit - self._kept, expected - self._seen)
        self.respread += 1

    def _stretch(self, end: int) -> int | None:
        """Plan for twice the length; what may stay of the video so far, if that is less."""
        self._plan = max(2 * self._plan, end)
        self._ratio, self._base = _at_most_one(self._limit, self._plan), 0
        share = int(self._ratio * self._seen)
        if share >= self._kept:
            # Kept less than its share so far: go on from here at a rate that still fits.
            self._base = self._seen
            self._ratio = _at_most_one(self._limit - self._kept, self._plan - self._seen)
            self.respread += 1
            return None
        self._kept = share
        self.thinned += 1
        return share


@attrs.define
class RatioAllowance:
    """The same for a fixed ratio, which needs no expectation."""

    share: Share
    respread: int = 0
    thinned: int = 0
    _seen: int = 0

    def next(self, chunk: int, expected: int | None) -> Ration:
        """The ration of the next chunk."""
        keep = self.share.keep(self._seen, chunk)
        self._seen += chunk
        return Ration(keep)


def _at_most_one(part: int, whole: int) -> Fraction:
    return min(Fraction(1), Fraction(part, whole)) if whole > 0 else Fraction(1)
