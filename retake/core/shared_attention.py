"""Attention of a batch of rows over one past that they share and what each row has of its own.

The past is held once and is not copied a row: the rows' queries are folded together, so that a
block of them reads it once.
"""

import torch
from torch import Tensor

from retake.core.attention import block_rows

# Pairs of the past that are widened to float32 at a time, where they are narrower.
_WIDENED = 4096


def attend_shared(
    queries: Tensor,
    past: tuple[Tensor, Tensor],
    own: tuple[Tensor, Tensor],
    pads: Tensor,
    scaling: float,
) -> Tensor:
    """Causal attention of each row's newest tokens over the shared past and the row's own.

    Logits, their one softmax over both parts, and sums are float32 whatever the dtype, as in
    fused kernels. Memory is bounded by blocks of rows and queries.

    Args:
        queries: `[B, H, Q, D]`, rotated.
        past: keys and values `[1, KV, L, D]` that every query sees.
        own: keys and values `[B, KV, O, D]`, O ≥ Q, the last Q of them the queries' own.
        pads: int64 `[B]`, how many of a row's first own pairs stand for nothing. No token sees
            them; a pad sees the past and itself, so that what comes out of it is finite.
        scaling: factor of the logits.

    Returns:
        `[B, H, Q, D]` in the queries' dtype.
    """
    rows, heads, count, _ = queries.shape
    length = own[0].shape[2]
    seen = past[0].shape[2] + length
    at_once = min(rows, block_rows(heads, seen))
    width = block_rows(heads * at_once, seen)
    output = torch.empty_like(queries)
    for row in range(0, rows, at_once):
        part = slice(row, row + at_once)
        mine = own[0][part], own[1][part]
        for first in range(0, count, width):
            block = queries[part, :, first : first + width]
            number = torch.arange(block.shape[2], device=queries.device) + (length - count + first)
            visible = _visible(number, length, pads[part])
            output[part, :, first : first + width] = _block(block, past, mine, visible, scaling)
    return output


def _visible(number: Tensor, length: int, pads: Tensor) -> Tensor:
    """Which of a row's own pairs its tokens of those numbers see: `[B, Q, O]`."""
    pairs = torch.arange(length, device=number.device)
    causal = pairs <= number[:, None]
    itself = pairs == number[:, None]
    return causal & (pairs >= pads[:, None])[:, None] | itself


def _block(
    queries: Tensor,
    past: tuple[Tensor, Tensor],
    own: tuple[Tensor, Tensor],
    visible: Tensor,
    scaling: float,
) -> Tensor:
    """One block; the heads that share a key head, and all rows, are folded into one axis."""
    rows, heads, count, size = queries.shape
    groups, length, before = own[0].shape[1], own[0].shape[2], past[0].shape[2]
    each = heads // groups * count
    asking = (queries.float() * scaling).reshape(rows, groups, each, size)
    folded = asking.transpose(0, 1).reshape(groups, rows * each, size)
    logits = folded.new_empty(groups, rows * each, before + length)
    for start, stop in _tiles(past[0]):
        keys = past[0][0, :, start:stop].float()
        logits[..., start:stop] = folded @ keys.transpose(-1, -2)
    among = asking @ own[0].float().transpose(-1, -2)
    among = among.view(rows, groups, heads // groups, count, length)
    among = among.masked_fill(~visible[:, None, None], float("-inf"))
    logits[..., before:] = among.transpose(0, 1).reshape(groups, rows * each, length)
    weights = logits.softmax(-1)
    del logits
    mixed = folded.new_zeros(groups, rows * each, size)
    for start, stop in _tiles(past[1]):
        mixed += weights[..., start:stop] @ past[1][0, :, start:stop].float()
    ownly = weights[..., before:].reshape(groups, rows, each, length).transpose(0, 1)
    total = mixed.view(groups, rows, each, size).transpose(0, 1) + ownly @ own[1].float()
    return total.reshape(rows, heads, count, size).to(queries.dtype)


def _tiles(pairs: Tensor) -> list[tuple[int, int]]:
    """First and last-plus-one of the pairs taken at a time: all where nothing is widened."""
    length = pairs.shape[2]
    step = max(1, length) if pairs.dtype == torch.float32 else _WIDENED
    return [(start, min(start + step, length)) for start in range(0, length, step)]
