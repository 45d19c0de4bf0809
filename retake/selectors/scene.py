"""Shots, found where visual features jump: every shot gets its share of the steps."""

import attrs
import torch
import torch.nn.functional as F
from torch import Tensor

from retake.core.options import at_least, count_of, fraction
from retake.core.selector import FrameSelector
from retake.core.tokens import Selection, VisualTokens
from retake.selectors.dpselect import dissimilarity


@attrs.frozen
class Scene(FrameSelector):
    """Cut the video into shots, and keep steps of each, evenly spaced from its first one on.

    A step begins a shot where its features differ from the previous step's (one minus the
    cosine similarity, mean over patches) by much more than is usual around it: more than
    `threshold` times the median of the steps nearby. An adaptive threshold, because what a moving
    camera changes from step to step is no cut. Shots keep steps in proportion to their length,
    but each at least one; where there is no room for that, the longest keep one each.

    Cuts are found in features and not in pixels, as film tools such as PySceneDetect find them:
    selectors see a video after it was encoded, a stream never holds all its frames, and features
    leave out what the model cannot see anyway. A cut between two similar pictures may be missed.

    Attributes:
        keep_ratio: fraction of the steps to keep, in (0, 1]; 1 keeps all and only marks pivots.
        threshold: how many times the usual change a cut is.
        least: a change that is no cut however still the rest is, in [0, 2].
        window: steps on either side that say what is usual.
        pivots: mark the shots' first steps, so that compressors keep them.
    """

    keep_ratio: float = attrs.field(default=0.5, validator=fraction)
    threshold: float = attrs.field(default=3.0, validator=at_least(1))
    least: float = attrs.field(default=0.1, validator=at_least(0))
    window: int = attrs.field(default=4, validator=at_least(1))
    pivots: bool = True

    @property
    def lookahead(self) -> int | None:
        return self.window if self.keep_ratio == 1 else None

    @property
    def lookback(self) -> int:
        # The usual change is measured around a step, and a change from the step before.
        return self.window + 1

    def select(self, tokens: VisualTokens) -> Selection:
        change = dissimilarity(tokens.features).mean(dim=1)
        begins = self.cuts(change)
        lengths = begins.diff(append=torch.tensor([tokens.steps]))
        counts = shares(lengths, count_of(self.keep_ratio, tokens.steps))
        steps = _spread(begins, lengths, counts)
        marks = torch.isin(steps, begins) if self.pivots else None
        return Selection.gather(tokens, steps, marks)

    def cuts(self, change: Tensor) -> Tensor:
        """The first steps of shots, int64, of changes `[T]`; step 0 is one."""
        usual = _usual(change, self.window)
        cut = (change >= self.least) & (change > self.threshold * usual)
        cut[0] = True
        return cut.nonzero()[:, 0]


def _usual(change: Tensor, window: int) -> Tensor:
    """The median change of up to `window` steps before and after each: `[T]`.

    What the first step changes is not known and does not count; where nothing else is near, the
    usual change is 0.
    """
    known = change.clone()
    known[0] = torch.nan
    spans = F.pad(known, (window, window), value=torch.nan).unfold(0, 2 * window + 1, 1)
    around = torch.cat((spans[:, :window], spans[:, window + 1 :]), dim=1)
    return around.nanmedian(dim=1).values.nan_to_num(0.0)


def shares(lengths: Tensor, count: int) -> Tensor:
    """How many of `count` steps each shot keeps, int64 `[S]`; at most its length.

    Args:
        lengths: int64 `[S]`, together at least `count`.
        count: steps to keep of all.
    """
    counts = torch.zeros_like(lengths)
    counts[lengths.argsort(descending=True, stable=True)[:count]] = 1
    if count <= len(lengths):
        return counts
    # Shots too short for one step in proportion have theirs; the others share the rest.
    large = torch.ones_like(lengths, dtype=torch.bool)
    while (small := large & (lengths * _left(counts, large, count) < lengths[large].sum())).any():
        large &= ~small
    # In whole numbers, so that nothing is lost: the largest remainders get what rounding left.
    shared, total = lengths * large * _left(counts, large, count), lengths[large].sum()
    counts = torch.where(large, shared // total, counts)
    order = (shared % total).argsort(descending=True, stable=True)
    counts[order[: count - int(counts.sum())]] += 1
    return counts


def _left(counts: Tensor, large: Tensor, count: int) -> int:
    """How many of `count` steps are left when the other shots have theirs."""
    return count - int(counts[~large].sum())


def _spread(begins: Tensor, lengths: Tensor, counts: Tensor) -> Tensor:
    """Evenly spaced steps of each shot, from its first on: int64, ascending."""
    number = torch.arange(int(counts.sum())) - (counts.cumsum(0) - counts).repeat_interleave(counts)
    each = [values.repeat_interleave(counts) for values in (begins, lengths, counts)]
    return each[0] + number * each[1] // each[2]
