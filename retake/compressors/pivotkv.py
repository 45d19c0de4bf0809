"""PivotKV: evict what the model attended to least, never the pivots."""

from typing import Any, ClassVar, Literal

import attrs
import torch
from torch import Tensor

from retake.core.compressor import KVCompressor, best_first
from retake.core.kv import KVChunk


def _first_or_number(_: Any, attribute: "attrs.Attribute[Any]", value: Any) -> None:
    if value != "first" and (isinstance(value, (bool, str)) or not isinstance(value, (int, float))):
        raise ValueError(f"{attribute.name} must be 'first' or a number, got {value!r}")


@attrs.frozen
class PivotKV(KVCompressor):
    """Keep the pairs of a chunk that its own tokens attend to most, pivots before all others.

    A pair's score is the attention its key receives from the chunk's queries: not causal,
    summed over queries, averaged over heads, so that its mean over the chunk is 1. From
    ReTaKe (arXiv 2412.20504).

    Attributes:
        pivot_score: "first" keeps pivots before everything else, as the paper says; where
            there are more pivots than room, the best-scored. A number replaces their score
            instead: the published code uses 1.0, an average token's score, so that pivots
            lose to tokens attended to more.
    """

    source: ClassVar[str] = "arXiv 2412.20504"

    pivot_score: float | Literal["first"] = attrs.field(default="first", validator=_first_or_number)

    def score(self, chunk: KVChunk) -> Tensor:
        return chunk.attention_mass()

    def keep(self, chunk: KVChunk, scores: Tensor, count: int) -> Tensor:
        if self.pivot_score == "first":
            # Slotted attrs classes are rebuilt, which a bare super() would not find.
            return KVCompressor.keep(self, chunk, scores, count)
        marked = torch.where(chunk.pivots, float(self.pivot_score), scores)
        return best_first(marked)[:count].sort().values
