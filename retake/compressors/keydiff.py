"""KeyDiff: keys unlike the others are kept."""

from typing import ClassVar

import attrs
import torch.nn.functional as F
from torch import Tensor

from retake.core.compressor import KVCompressor
from retake.core.kv import KVChunk


@attrs.frozen
class KeyDiff(KVCompressor):
    """Keep the pairs whose keys are least like the mean key of the chunk.

    Likeness is the cosine between a key and the mean of all keys at length one, averaged over key
    heads; no query is looked at. From KeyDiff (arXiv 2504.15364).
    """

    source: ClassVar[str] = "arXiv 2504.15364"

    def score(self, chunk: KVChunk) -> Tensor:
        directions = F.normalize(chunk.keys.float(), dim=-1)
        mean = directions.mean(1, keepdim=True)
        return -F.cosine_similarity(directions, mean, dim=-1).mean(0)
