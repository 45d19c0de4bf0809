"""Where a chunk's time starts once the chunks before it were shrunk, where time is absolute.

Families that place tokens by the second need one scale for the whole video: what a chunk lost
at its edges must not bring the chunks around it closer together.
"""

from fractions import Fraction


class TimeScale:
    """The model's own times, mapped piece by piece to shrunk ones.

    Exact fractions, so that nothing is lost to rounding over thousands of chunks. One for each
    layer: they may keep different shares of a chunk.

    Args:
        start: the model's own time of the video's first token.
    """

    def __init__(self, start: int) -> None:
        self.video = start
        self._own = start
        self._at = Fraction(start)
        self._share = Fraction(1)

    def next(self, own: int) -> int:
        """Where a chunk starts whose own time starts at `own`."""
        self._at += (own - self._own) * self._share
        self._own, self._share = own, Fraction(1)
        return int(self._at)

    def keep(self, share: Fraction) -> None:
        """Only `share` of the newest chunk stays."""
        self._share = share

    def level(self, share: Fraction) -> None:
        """`share` of the whole video so far is left, and all of it stands on that one scale."""
        self._at = self.video + (self._own - self.video) * share
        self._share = share

    def shrink(self, share: Fraction) -> None:
        """Only `share` of the whole video so far stays, moved together from its start."""
        self._at = self.video + (self._at - self.video) * share
        self._share *= share
