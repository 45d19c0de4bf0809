"""Every step enters the language model."""

import attrs
import torch

from retake.core.selector import FrameSelector
from retake.core.tokens import Selection, VisualTokens


@attrs.frozen
class NoSelection(FrameSelector):
    """Keep every step and mark no pivots: the uncompressed baseline."""

    @property
    def lookahead(self) -> int | None:
        return 0

    def select(self, tokens: VisualTokens) -> Selection:
        return Selection.gather(tokens, torch.arange(tokens.steps))
