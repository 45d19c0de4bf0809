"""Key norm: keys of small norm are attended to."""

from typing import ClassVar

import attrs
import torch
from torch import Tensor

from retake.core.compressor import KVCompressor
from retake.core.kv import KVChunk


@attrs.frozen
class KNorm(KVCompressor):
    """Keep the pairs whose keys have the smallest L2 norm, averaged over key heads.

    A key's norm and the attention it will receive are found to go against each other; no query is
    looked at, and positions do not matter, because turning a key leaves its norm. From the paper
    on key norms (arXiv 2406.11430).
    """

    source: ClassVar[str] = "arXiv 2406.11430"

    def score(self, chunk: KVChunk) -> Tensor:
        norms: Tensor = torch.linalg.vector_norm(chunk.keys.float(), dim=-1)
        return -norms.mean(0)
