"""Evenly spaced steps."""

import attrs
import torch

from retake.core.options import count_of, fraction
from retake.core.selector import FrameSelector
from retake.core.tokens import Selection, VisualTokens


@attrs.frozen
class Uniform(FrameSelector):
    """Keep evenly spaced steps, whatever they show: the field's usual baseline.

    The video is cut into equal spans and the middle step of each is kept. No pivots.

    Attributes:
        keep_ratio: fraction of the steps to keep, in (0, 1].
    """

    keep_ratio: float = attrs.field(default=0.5, validator=fraction)

    def select(self, tokens: VisualTokens) -> Selection:
        kept = count_of(self.keep_ratio, tokens.steps)
        spans = torch.arange(kept)
        return Selection.gather(tokens, (2 * spans + 1) * tokens.steps // (2 * kept))
