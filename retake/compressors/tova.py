"""TOVA: what the last token looks at."""

from typing import ClassVar

import attrs
from torch import Tensor

from retake.compressors.observing import received
from retake.core.compressor import KVCompressor, Scope
from retake.core.kv import KVChunk


@attrs.frozen
class TOVA(KVCompressor):
    """Keep the pairs that the newest query attends to, averaged over heads.

    A token's fate hangs on the latest look alone; nothing adds up. From TOVA (arXiv 2401.06104),
    which evicts one pair after every token; here the newest query of a chunk decides on as many
    as the chunk brought.
    """

    source: ClassVar[str] = "arXiv 2401.06104"
    scope: ClassVar[Scope] = "cache"

    def score(self, chunk: KVChunk) -> Tensor:
        return received(chunk.queries[:, -1:], chunk.keys, chunk.scaling, causal=True).mean(0)
