"""BOLT: steps drawn in proportion to how well they fit the question."""

from typing import ClassVar

import attrs
import torch
from torch import Tensor

from retake.core.options import count_of, fraction, positive
from retake.core.selector import QuestionSelector
from retake.core.tokens import Selection, VisualTokens

# A step to be drawn so often is drawn for certain; what sums of float64 lose is far less.
_CERTAIN = 1 - 1e-9


@attrs.frozen(kw_only=True)
class Bolt(QuestionSelector):
    """Draw steps by inverse transform sampling: the more relevant a stretch, the denser.

    Relevance is scaled to [0, 1] over the video and raised to a power; seen as the density of a
    distribution, its evenly spaced quantiles are the steps that are kept. Nothing is random. From
    BOLT (arXiv 2503.21483), with the power of its published settings for Video-MME and MLVU (2.5
    there for LongVideoBench).

    There a step may be drawn several times, which shows the model the same frame again. Here
    a step that would be drawn at least once is kept, and the others share what is left in
    proportion, so that exactly as many different steps are kept as asked. The quantiles are the
    middles of equal parts. Steps of no relevance at all are kept, evenly, only where all
    others are. No pivots.

    Attributes:
        scorer: rates every frame against the question; a step counts as its best frame does.
        keep_ratio: fraction of the steps to keep, in (0, 1].
        power: sharpens the distribution; below 1 it comes closer to an even one.
    """

    source: ClassVar[str] = "arXiv 2503.21483"

    keep_ratio: float = attrs.field(default=0.5, validator=fraction)
    power: float = attrs.field(default=3.0, validator=positive)

    def select(self, tokens: VisualTokens) -> Selection:
        density = self._density(self.relevance(tokens))
        kept = distinct_quantiles(density, count_of(self.keep_ratio, tokens.steps))
        return Selection.gather(tokens, kept)

    def _density(self, relevance: Tensor) -> Tensor:
        """Sharpened relevance in [0, 1], float64 `[T]`; even where all steps fit alike."""
        values = relevance.double()
        low, high = values.aminmax()
        if high <= low:
            return torch.ones_like(values)
        return ((values - low) / (high - low)) ** self.power


def distinct_quantiles(density: Tensor, count: int) -> Tensor:
    """The `count` steps at the quantiles of a density `[T]`, all different: int64, ascending."""
    kept = torch.zeros(len(density), dtype=torch.bool)
    rest = density > 0
    while (missing := count - int(kept.sum())) > 0:
        if not rest.any():
            # Only steps without density are left: an even one for them.
            density, rest = torch.ones_like(density), ~kept
        expected = torch.where(rest, density, 0.0)
        expected = expected / expected.max()  # first, lest the sum of tiny ones vanishes
        expected = expected * (missing / expected.sum())
        certain = expected >= _CERTAIN
        if not certain.any():
            kept[_quantiles(expected, missing)] = True
            break
        kept |= certain
        rest &= ~certain
    return kept.nonzero()[:, 0]


def _quantiles(expected: Tensor, count: int) -> Tensor:
    """Where the middles of `count` equal parts lie in what adds up to `count`."""
    middles = torch.arange(count, dtype=torch.float64) + 0.5
    return torch.searchsorted(expected.cumsum(0), middles)
