"""Bottom-right causal attention on the CPU, from torch's flash kernel, without any mask."""

import torch
from torch import Tensor

# Attention and the logarithm of each row's sum of exponentials, which merging needs.
_flash = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu


def attend(queries: Tensor, keys: Tensor, values: Tensor, scaling: float) -> Tensor:
    """A chunk over its past, which it sees whole, and over itself, causally; then merged.

    Shapes as in `Backend.attend`. Two halves with a softmax of their own are merged by how much
    weight each had. Query heads that share a key head become rows over it, so that no past key
    is repeated. In 16 bits both halves are rounded before they are merged.
    """
    batch, heads, count, width = queries.shape
    groups, past = keys.shape[1], keys.shape[2] - count
    if count == 1:
        past = keys.shape[2]  # the newest query sees itself, too
    if not past:
        return _attend_itself(queries, keys, values, scaling)[0]
    rows = queries.reshape(batch, groups, heads // groups * count, width)
    seen_keys, seen_values = keys[:, :, :past], values[:, :, :past]
    attended, weight_before = _flash(rows, seen_keys, seen_values, 0.0, False, scale=scaling)
    before: Tensor = attended.reshape(batch, heads, count, width)
    if count == 1:
        return before
    itself, weight_itself = _attend_itself(queries, keys[:, :, past:], values[:, :, past:], scaling)
    share = torch.sigmoid(weight_before.reshape(batch, heads, count) - weight_itself)
    return torch.lerp(itself.to(share.dtype), before.to(share.dtype), share[..., None]).to(
        queries.dtype
    )


def _attend_itself(
    queries: Tensor, keys: Tensor, values: Tensor, scaling: float
) -> tuple[Tensor, Tensor]:
    """Causal attention of a chunk over its own keys, and the log-sum-exp of each query."""
    share = queries.shape[1] // keys.shape[1]
    keys, values = (part.repeat_interleave(share, dim=1) for part in (keys, values))
    attended, weight = _flash(queries, keys, values, 0.0, True, scale=scaling)
    return attended, weight
