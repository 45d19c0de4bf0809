"""Random chunks to try compressors on, and the weights of attention in the plainest words."""

from typing import Any

import torch
from torch import Tensor

from retake.backends.cpu import CPU
from retake.core.kv import KVChunk

#: Tokens of a frame.
PLACES = 4


def make_chunk(
    count: int,
    *,
    newest: int | None = None,
    pivots: float = 0.3,
    seed: int = 0,
    heads: int = 4,
    groups: int = 2,
    guide: int = 0,
    dtype: torch.dtype = torch.float32,
    **changed: Any,
) -> KVChunk:
    """`count` random pairs, of which the last `newest` have queries; all of them by default.

    Fewer make it a chunk of scope "cache", whose earlier pairs are what is left of twice as many.
    `guide` adds so many queries of a question; `changed` replaces fields.
    """
    drawn = torch.Generator().manual_seed(seed)
    queries = count if newest is None else newest
    earlier = torch.randperm(2 * (count - queries), generator=drawn)[: count - queries]
    numbers = torch.cat((earlier.sort().values, torch.arange(queries) + 2 * (count - queries)))

    def states(many: int, length: int) -> Tensor:
        return torch.randn(many, length, 8, generator=drawn).to(dtype)

    parts: dict[str, Any] = {
        "layer": 1,
        "layers": 3,
        "queries": states(heads, queries),
        "keys": states(groups, count),
        "values": states(groups, count),
        "positions": torch.arange(count).expand(3, -1),
        "pivots": torch.rand(count, generator=drawn) < pivots,
        "scaling": 8**-0.5,
        "backend": CPU(),
        "past_keys": states(groups, 5),
        "past_values": states(groups, 5),
        "numbers": numbers,
        "rows": numbers // PLACES,
        "patches": numbers % PLACES,
        "guide": states(heads, guide) if guide else None,
    }
    if newest is not None:
        carried = torch.rand(count, generator=drawn) * 3
        carried[count - queries :] = 0
        parts["carried"] = carried
    return KVChunk(**{**parts, **changed})


def plain_weights(chunk: KVChunk, queries: Tensor, *, causal: bool) -> Tensor:
    """Softmax weights `[H, Q, L]` of queries that came last, from the whole matrix at once."""
    keys = chunk.keys.float().repeat_interleave(queries.shape[0] // chunk.keys.shape[0], dim=0)
    logits = queries.float() @ keys.transpose(1, 2) * chunk.scaling
    if causal:
        asked, size = logits.shape[1:]
        own = torch.arange(size - asked, size)
        logits[:, torch.arange(size)[None, :] > own[:, None]] = float("-inf")
    return logits.softmax(-1)
