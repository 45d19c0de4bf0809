"""Steps drawn by chance."""

import attrs
import torch

from retake.core.options import between, count_of, fraction
from retake.core.selector import FrameSelector
from retake.core.tokens import Selection, VisualTokens


@attrs.frozen
class Random(FrameSelector):
    """Keep steps drawn by chance, without repeats: what any choice should beat.

    Videos of the same length keep the same steps, whatever they show. No pivots.

    Attributes:
        keep_ratio: fraction of the steps to keep, in (0, 1].
        seed: which draw it is, 0 or more.
    """

    keep_ratio: float = attrs.field(default=0.5, validator=fraction)
    seed: int = attrs.field(default=0, validator=between(0, 2**31 - 1))

    def select(self, tokens: VisualTokens) -> Selection:
        draw = torch.Generator().manual_seed(self.seed)
        order = torch.randperm(tokens.steps, generator=draw)
        kept = order[: count_of(self.keep_ratio, tokens.steps)]
        return Selection.gather(tokens, kept.sort().values)
