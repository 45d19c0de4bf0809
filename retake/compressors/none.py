"""Nothing is evicted."""

from typing import ClassVar

import attrs
import torch
from torch import Tensor

from retake.core.compressor import KVCompressor
from retake.core.kv import KVChunk


@attrs.frozen
class NoCompression(KVCompressor):
    """Keep every key/value pair: chunked prefill with the full cache."""

    evicts: ClassVar[bool] = False

    def score(self, chunk: KVChunk) -> Tensor:
        return torch.ones(len(chunk), device=chunk.keys.device)
