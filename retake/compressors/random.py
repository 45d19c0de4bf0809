"""A random choice: what any method must beat."""

import attrs
import torch
from torch import Tensor

from retake.core.compressor import KVCompressor
from retake.core.kv import KVChunk
from retake.core.options import between


@attrs.frozen
class Random(KVCompressor):
    """Keep pairs at random, pivots before all others; another choice in each layer and chunk.

    The numbers come from the seed, the layer and the chunk's last token, so that the same video
    is compressed the same way again, on every device.

    Attributes:
        seed: another one gives another choice.
        together: make the same choice in all layers. Apart, what one layer loses another keeps,
            so that more of the video is left somewhere.
    """

    seed: int = attrs.field(default=0, validator=between(0, 2**31 - 1))
    together: bool = False

    def score(self, chunk: KVChunk) -> Tensor:
        seen = attrs.evolve(chunk, layer=0) if self.together else chunk
        drawn = torch.rand(len(chunk), generator=seen.generator(self.seed))
        return drawn.to(chunk.keys.device)
