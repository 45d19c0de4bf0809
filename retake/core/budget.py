"""How many of a chunk's tokens survive, so that the whole keeps what was asked for.

Exact by default: shares are computed over the video read so far with whole numbers, so
rounding never adds up. `published` reproduces the research code, which truncates each
chunk's share in floating point and keeps at least one token of each.
"""

import math
from fractions import Fraction

import attrs

from retake.core.errors import NoRoomError, UsageError


@attrs.frozen
class Share:
    """The fraction of the video's tokens that each layer keeps.

    Attributes:
        ratio: exact, 0 … 1.
        published: reproduce the research code's rounding.
        published_ratio: the floating-point ratio that it computes.
    """

    ratio: Fraction
    published: bool = False
    published_ratio: float = 1.0

    def keep(self, seen: int, chunk: int) -> int:
        """Tokens to keep of a chunk of so many, `seen` tokens having come before it."""
        if self.published:
            return min(chunk, max(1, int(self.published_ratio * chunk)))
        return int(self.ratio * (seen + chunk)) - int(self.ratio * seen)


def share_of(
    *,
    video: int | None,
    text: int,
    budget: int | None,
    keep_ratio: float | None,
    published: bool = False,
) -> Share:
    """The share that a budget or a ratio leaves to a video.

    Args:
        video: visual tokens that enter the language model; None, for a ratio, where that is
            not known yet.
        text: tokens of the prompt besides, which count towards the budget.
        budget: tokens that each layer may hold after prefill, text included.
        keep_ratio: fraction of the video's tokens to keep, in (0, 1].
        published: the ratio is budget / (text + video), applied to the video alone.

    Raises:
        UsageError: both or neither are given, or the budget leaves the video nothing.
    """
    if (budget is None) == (keep_ratio is None):
        raise UsageError("Give either a budget in tokens or a keep_ratio, not both or neither.")
    if keep_ratio is not None:
        # Through its decimal form: 0.1 means one tenth, not the nearest binary fraction.
        ratio = Fraction(str(keep_ratio))
        if not published and video is not None:
            check_kept(keep_ratio, video)
        return Share(ratio, published, float(keep_ratio))
    assert budget is not None
    assert video is not None
    if published:
        published_ratio = min(1.0, budget / (text + video))
        return Share(Fraction(published_ratio), True, published_ratio)
    check_room(budget, text)
    return Share(min(Fraction(1), Fraction(budget - text, video)))


def check_room(budget: int, text: int) -> None:
    """Refuse a budget that the prompt's own `text` tokens use up."""
    if budget - text < 1:
        raise NoRoomError(
            f"A budget of {budget} tokens is used up by the prompt, which needs {text}.",
            hint=f"Ask for at least {text + 1} tokens, or for a keep_ratio instead.",
        )


def check_kept(keep_ratio: float, video: int) -> None:
    """Refuse a ratio that keeps none of a video's tokens."""
    if int(Fraction(str(keep_ratio)) * video) == 0:
        raise NoRoomError(
            f"A keep_ratio of {keep_ratio:g} keeps none of {video} visual tokens.",
            hint=f"Use at least {math.ceil(1e4 / video) / 1e4:g}.",
        )
