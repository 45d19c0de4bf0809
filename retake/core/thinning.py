"""Thinning: making room where a video turns out longer than its budget was planned for."""

import torch
from torch import Tensor


def evenly(pivots: Tensor, count: int) -> Tensor:
    """Which of L pairs stay when only `count` may: pivots first, evenly spread in each kind.

    The scores by which chunks were compressed are gone by then, and those of different chunks
    could not be compared; spreading keeps every part of the video in reach.

    Args:
        pivots: bool `[L]`.
        count: how many stay, 0 … L.

    Returns:
        int64 `[count]`, ascending.
    """
    marked, plain = pivots.nonzero()[:, 0], (~pivots).nonzero()[:, 0]
    first = _spread(marked, min(count, len(marked)))
    rest = _spread(plain, count - len(first))
    return torch.cat((first, rest)).sort().values


def _spread(indices: Tensor, count: int) -> Tensor:
    """`count` of the indices, the middle one of each of as many equal spans."""
    if not count:
        return indices[:0]
    spans = torch.arange(count, device=indices.device)
    return indices[(2 * spans + 1) * len(indices) // (2 * count)]
