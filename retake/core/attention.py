"""Attention of a chunk over its past, and the attention mass that compressors score with.

Both work in blocks of queries: memory grows with the block, not with `Q × L`.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

# Elements of one block's logits (heads × queries × keys) at most: 32 MiB in float32.
_BLOCK_ELEMENTS = 8 * 1024 * 1024
# The same for attention mass, which walks over its logits several times: 2 MiB stay in a cache.
_MASS_ELEMENTS = 512 * 1024


def block_rows(heads: int, keys: int, elements: int | None = None) -> int:
    """Queries in a block, so that the block's logits stay within a fixed size."""
    return max(1, (elements or _BLOCK_ELEMENTS) // max(1, heads * keys))


def _share_heads(states: Tensor, heads: int) -> Tensor:
    """Repeat key or value heads `[B, KV, L, D]` so that there is one for each query head."""
    # Not `repeat_interleave`, which some devices limit to small results.
    share = heads // states.shape[1]
    return states[:, :, None].expand(-1, -1, share, -1, -1).flatten(1, 2)


def _causal_block(rows: int, first: int, past: int, device: torch.device) -> Tensor:
    """Which keys each of `rows` queries sees, the first being number `first` of its chunk."""
    last_seen = torch.arange(past + first, past + first + rows, device=device)
    return torch.arange(past + first + rows, device=device)[None, :] <= last_seen[:, None]


def attend_sdpa(queries: Tensor, keys: Tensor, values: Tensor, scaling: float) -> Tensor:
    """Bottom-right causal attention through torch's fused kernel, a block of queries at a time.

    Shapes as in `Backend.attend`. A block reads only the keys that it may see.
    """
    heads, count, total = queries.shape[1], queries.shape[2], keys.shape[2]
    grouped = heads != keys.shape[1]
    if count == 1:
        return F.scaled_dot_product_attention(
            queries, keys, values, scale=scaling, enable_gqa=grouped
        )
    past = total - count
    if past == 0:
        return F.scaled_dot_product_attention(
            queries, keys, values, is_causal=True, scale=scaling, enable_gqa=grouped
        )
    rows = max(16, block_rows(1, total))
    outputs = []
    for first in range(0, count, rows):
        block = queries[:, :, first : first + rows]
        seen = past + first + block.shape[2]
        mask = _causal_block(block.shape[2], first, past, queries.device)
        outputs.append(
            F.scaled_dot_product_attention(
                block,
                keys[:, :, :seen],
                values[:, :, :seen],
                attn_mask=mask,
                scale=scaling,
                enable_gqa=grouped,
            )
        )
    return torch.cat(outputs, dim=2) if len(outputs) > 1 else outputs[0]


def attend_eager(queries: Tensor, keys: Tensor, values: Tensor, scaling: float) -> Tensor:
    """The same attention in plain float32 products: the reference for every faster path."""
    heads, count, total = queries.shape[1], queries.shape[2], keys.shape[2]
    all_keys = _share_heads(keys, heads).float()
    all_values = _share_heads(values, heads).float()
    past = total - count
    rows = block_rows(heads, total)
    outputs = []
    for first in range(0, count, rows):
        block = queries[:, :, first : first + rows].float()
        seen = past + first + block.shape[2]
        logits = block @ all_keys[:, :, :seen].transpose(-1, -2) * scaling
        visible = _causal_block(block.shape[2], first, past, queries.device)
        weights = logits.masked_fill(~visible, float("-inf")).softmax(-1)
        outputs.append(weights @ all_values[:, :, :seen])
    return torch.cat(outputs, dim=2).to(queries.dtype)


def attention_mass(queries: Tensor, keys: Tensor, scaling: float) -> Tensor:
    """Softmax weight each key receives, summed over queries and averaged over heads.

    Shapes as in `Backend.attention_mass`; logits and sums are float32. The queries of a group of
    heads are rows of one matrix, and its logits are made, turned to weights and summed a block
    at a time in buffers used again and again.
    """
    heads, count, width = queries.shape
    groups, length = keys.shape[0], keys.shape[1]
    folded = queries.reshape(groups, heads // groups * count, width)
    rows = min(folded.shape[1], block_rows(1, length, _MASS_ELEMENTS))
    logits, weights = folded.new_empty((2, rows, length), dtype=torch.float32)
    part = folded.new_empty(length, dtype=torch.float32)
    mass = torch.zeros_like(part)
    for group in range(groups):
        turned = (keys[group].float() * scaling).T
        for block in torch.split(folded[group], rows):
            held = block.shape[0]
            torch.mm(block.float(), turned, out=logits[:held])
            torch.softmax(logits[:held], -1, out=weights[:held])
            torch.sum(weights[:held], 0, out=part)
            mass += part
    return mass / heads


def attention_mass_reference(queries: Tensor, keys: Tensor, scaling: float) -> Tensor:
    """The same with the whole `heads × queries × keys` matrix, to test the others against."""
    shared = _share_heads(keys[None].float(), queries.shape[0])[0]
    logits = queries.float() @ shared.transpose(-1, -2) * scaling
    return logits.softmax(-1).sum(1).mean(0)
