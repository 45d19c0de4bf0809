"""StreamingLLM: the first tokens and the last."""

from typing import ClassVar

import attrs
import torch
from torch import Tensor

from retake.core.compressor import KVCompressor, Scope
from retake.core.kv import KVChunk
from retake.core.options import at_least


@attrs.frozen
class StreamingLLM(KVCompressor):
    """Keep the video's first tokens, which draw attention whatever they hold, and its last.

    A sliding window with attention sinks. The prompt before the video is never evicted, and holds
    sinks of its own; those counted here are visual tokens besides. Everything between the sinks
    and the newest pairs is forgotten, pivots last. From StreamingLLM (arXiv 2309.17453).

    Attributes:
        sinks: how many of the video's first tokens stay.
    """

    source: ClassVar[str] = "arXiv 2309.17453"
    scope: ClassVar[Scope] = "cache"

    sinks: int = attrs.field(default=4, validator=at_least(0))

    def score(self, chunk: KVChunk) -> Tensor:
        # Above 0 and at most 1 by age; the sinks above all of that.
        newer = torch.arange(1, len(chunk) + 1, device=chunk.keys.device) / max(1, len(chunk))
        return torch.where(chunk.numbers < self.sinks, 2.0, newer)
