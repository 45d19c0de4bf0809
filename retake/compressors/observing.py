"""The attention that keys receive, head by head: what several compressors score with.

Worked out in blocks of queries, so that memory grows with the block and not with `Q × L`.
`KVChunk.attention_mass` is the faster way where heads are averaged and nothing is causal.
"""

import torch
from torch import Tensor

from retake.core.attention import block_rows

# Elements of a block's logits: 2 MiB in float32 stay in a cache.
_ELEMENTS = 512 * 1024


def received(queries: Tensor, keys: Tensor, scaling: float, *, causal: bool) -> Tensor:
    """The softmax weight each key receives from each head, summed over queries.

    Args:
        queries: `[H, Q, D]`.
        keys: `[KV, L, D]`; a group of H / KV query heads shares a key head.
        scaling: factor of the logits.
        causal: whether a query sees only what came no later than itself; the last Q keys are
            then those of the queries.

    Returns:
        float32 `[H, L]`.
    """
    heads, count, width = queries.shape
    groups, length = keys.shape[:2]
    share = heads // groups
    total = queries.new_zeros((groups, share, length), dtype=torch.float32)
    rows = block_rows(share, length, _ELEMENTS)
    for group, asking in enumerate(queries.reshape(groups, share, count, width)):
        turned = (keys[group].float() * scaling).T
        for first in range(0, count, rows):
            block = asking[:, first : first + rows].float()
            seen = length - count + first + block.shape[1] if causal else length
            logits = block @ turned[:, :seen]
            if causal:
                _hide_later(logits)
            total[group, :, :seen] += logits.softmax(-1).sum(1)
    return total.flatten(0, 1)


def _hide_later(logits: Tensor) -> None:
    """In `[heads, rows, keys]`, the last key being the last row's own: nobody sees ahead."""
    rows = logits.shape[1]
    later = torch.ones(rows, rows, dtype=torch.bool, device=logits.device).triu(1)
    logits[:, :, -rows:].masked_fill_(later, float("-inf"))
