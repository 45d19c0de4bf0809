"""H2O: the heavy hitters, and the newest."""

from typing import ClassVar

import attrs
from torch import Tensor

from retake.compressors.observing import received
from retake.core.compressor import KVCompressor, Scope
from retake.core.kv import KVChunk
from retake.core.options import between


@attrs.frozen
class H2O(KVCompressor):
    """Keep the pairs that have drawn most attention since they came, and the newest.

    Every query attends causally to the video's pairs that the layer holds; the attention a pair
    receives, averaged over heads, adds up from chunk to chunk for as long as it stays. What is not
    for pivots is split between the newest pairs and the heavy hitters. From H2O (arXiv
    2306.14048), which evicts after every token; here a chunk comes before each eviction. Attention
    to the prompt is left out: its keys stand at other positions than the video's, which may be free
    of theirs.

    Attributes:
        recent: fraction of the room that goes to the newest pairs; the paper's is half.
    """

    source: ClassVar[str] = "arXiv 2306.14048"
    scope: ClassVar[Scope] = "cache"
    accumulates: ClassVar[bool] = True

    recent: float = attrs.field(default=0.5, validator=between(0, 1))

    def score(self, chunk: KVChunk) -> Tensor:
        drawn = received(chunk.queries, chunk.keys, chunk.scaling, causal=True).mean(0)
        return drawn if chunk.carried is None else drawn + chunk.carried

    def keep(self, chunk: KVChunk, scores: Tensor, count: int) -> Tensor:
        plain = (~chunk.pivots).nonzero()[:, 0]
        room = max(0, count - (len(chunk) - len(plain)))
        newest = plain[len(plain) - round(self.recent * room) :]
        ahead = scores.index_fill(0, newest, float("inf"))
        # Slotted attrs classes are rebuilt, which a bare super() would not find.
        return KVCompressor.keep(self, chunk, ahead, count)
