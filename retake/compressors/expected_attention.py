"""Expected attention: what queries yet to come will look at."""

from typing import ClassVar

import attrs
import torch
from torch import Tensor

from retake.core.compressor import KVCompressor
from retake.core.kv import KVChunk
from retake.core.options import at_least


@attrs.frozen
class ExpectedAttention(KVCompressor):
    """Keep the pairs that queries yet to come are expected to attend to, by what they would get.

    Queries to come are taken to be distributed as the chunk's, normally, with mean μ and covariance
    Σ for each head. The expectation of a key's unnormalised weight is then exp(s·μ·k + s²·kᵀΣk/2),
    s being the factor of the logits; it is normalised over the chunk's keys, averaged over the
    heads that share a key head, multiplied by the norm of the value and averaged over key heads.
    From expected attention (arXiv 2510.00636).

    The paper turns μ and Σ by the mean rotation of the positions to come. That is not done here,
    and need not be. Where positions stay, the chunk's queries are turned by the chunk's positions,
    so that their mean and covariance already average over a stretch of positions, the one just
    before those to come. Where positions are about to be reforged, queries and keys are free of
    them, and so is the expectation: how alike contents are, at whatever distance. The sinks that
    the paper sets aside are those of the prompt, which is never evicted.

    Attributes:
        covariance: False leaves the spread of the queries out.
        epsilon: added to the expected weight, so that large values count even where little
            attention is expected.
    """

    source: ClassVar[str] = "arXiv 2510.00636"

    covariance: bool = True
    epsilon: float = attrs.field(default=0.0, validator=at_least(0))

    def score(self, chunk: KVChunk) -> Tensor:
        groups, _, width = chunk.keys.shape
        asking = chunk.queries.reshape(groups, -1, chunk.newest, width)
        expected = torch.stack(
            [self._expected(asking[at], chunk.keys[at], chunk.scaling) for at in range(groups)]
        )
        lengths: Tensor = torch.linalg.vector_norm(chunk.values.float(), dim=-1)
        return ((expected + self.epsilon) * lengths).mean(0)

    def _expected(self, asking: Tensor, keys: Tensor, scaling: float) -> Tensor:
        """`[L]`, the mean of the heads `[heads, Q, D]` that share the keys `[L, D]`."""
        wide = keys.float()
        total = wide.new_zeros(len(wide))
        for queries in asking:
            spread = queries.float()
            mean = spread.mean(0)
            logits = wide @ mean * scaling
            if self.covariance:
                spread = spread - mean
                sigma = spread.T @ spread / len(spread)
                logits += ((wide @ sigma) * wide).sum(-1) * (scaling**2 / 2)
            total += logits.softmax(-1)
        return total / len(asking)
