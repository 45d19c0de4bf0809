"""DPSelect: keyframes at the peaks of visual change."""

from typing import ClassVar

import attrs
import torch
import torch.nn.functional as F
from torch import Tensor

from retake.core.options import count_of, fraction, odd
from retake.core.selector import FrameSelector
from retake.core.tokens import Selection, VisualTokens

# Lifts every peak above every step that is none: dissimilarity is at most 2.
_PEAK = 2.0
# Shorter tokens count as this long, as in `torch.nn.functional.cosine_similarity`.
_SHORTEST = 1e-8


@attrs.frozen
class DPSelect(FrameSelector):
    """Keep the steps where visual features change most, and mark the peaks as pivots.

    A step's dissimilarity is one minus the cosine similarity of its tokens to the previous
    step's; the first step's is 1. Steps that are the (first) largest within a window are
    peaks. Peaks are kept before other steps, then the more dissimilar before the less, ties
    going to the earlier. From ReTaKe (arXiv 2412.20504).

    Attributes:
        keep_ratio: fraction of the steps to keep, in (0, 1]; 1 keeps all and only marks pivots.
        per_patch: decide for each of the N patches on its own (the paper's setting), or for
            whole steps by the mean over patches.
        window: steps within which a peak must be largest; odd.
        pivots: mark the peaks, so that compressors keep them.
    """

    source: ClassVar[str] = "arXiv 2412.20504"

    keep_ratio: float = attrs.field(default=1.0, validator=fraction)
    per_patch: bool = True
    window: int = attrs.field(default=3, validator=odd)
    pivots: bool = True

    @property
    def lookahead(self) -> int | None:
        return self.window // 2 if self.keep_ratio == 1 else None

    @property
    def lookback(self) -> int:
        # A peak must exceed the changes before it, and a change is measured from the step before.
        return self.window // 2 + 1

    def select(self, tokens: VisualTokens) -> Selection:
        change = dissimilarity(tokens.features)
        if not self.per_patch:
            change = change.mean(dim=1, keepdim=True)
        peaks = local_peaks(change, self.window)
        kept = count_of(self.keep_ratio, tokens.steps)
        ranked = torch.argsort(change + _PEAK * peaks, dim=0, descending=True, stable=True)
        steps = ranked[:kept].sort(dim=0).values
        marks = peaks.gather(0, steps)
        shape = (-1, tokens.patches)
        return Selection.gather(
            tokens, steps.expand(shape), marks.expand(shape) if self.pivots else None
        )


def dissimilarity(features: Tensor) -> Tensor:
    """One minus each token's cosine similarity to the step before: float32 `[T, N]`, on the host.

    One pass: a step is read once, converted to float32 in a buffer that stays in the cache, and
    leaves two numbers a token, its length and its product with the step before. Beyond the
    result that takes two steps of float32. A row depends on its own step and the one before
    and on nothing else, so a video cut into pieces that share a step gives the same bits.

    Args:
        features: `[T, N, C]`, of any floating dtype.
    """
    steps, patches, _ = features.shape
    lengths, products = features.new_zeros((2, steps, patches), dtype=torch.float32)
    before, now = features.new_zeros((2, *features.shape[1:]), dtype=torch.float32)
    for step in range(steps):
        now.copy_(features[step])
        torch.linalg.vector_norm(now, dim=-1, out=lengths[step])
        torch.sum(before.mul_(now), dim=-1, out=products[step])
        before, now = now, before
    # In float64, where the product of two lengths neither overflows nor vanishes. Not every
    # device has it, and the host does; what follows are few numbers.
    lengths, products = lengths.cpu(), products.cpu()
    scales = lengths.double().clamp_min(_SHORTEST)
    change = torch.ones_like(products)
    change[1:] -= (products[1:] / (scales[1:] * scales[:-1])).float()
    return change


def dissimilarity_reference(features: Tensor) -> Tensor:
    """The same in the plainest words, with float32 copies of the whole video: for tests."""
    change = torch.ones(features.shape[:2], dtype=torch.float32, device=features.device)
    if features.shape[0] > 1:
        now, before = features[1:].float(), features[:-1].float()
        change[1:] -= F.cosine_similarity(before, now, dim=-1)
    return change


def local_peaks(change: Tensor, window: int) -> Tensor:
    """Which entries of `[T, N]` are the first largest of the window around them: bool `[T, N]`."""
    reach = window // 2
    if not reach:
        return torch.ones_like(change, dtype=torch.bool)
    padded = F.pad(change.T, (reach, reach), value=float("-inf"))
    spans = padded.unfold(1, window, 1)
    earlier, later = spans[..., :reach], spans[..., reach + 1 :]
    centre = spans[..., reach]
    return ((centre > earlier.amax(-1)) & (centre >= later.amax(-1))).T
