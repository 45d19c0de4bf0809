"""Turning keys and queries by rotary angles, and back.

Rotary embedding (arXiv 2104.09864) in the half-split layout of Llama and Qwen: dimension
i is paired with i + D/2. Angles come per dimension, `[Q, D]`, so that one function serves
1-D RoPE and M-RoPE.
"""

import torch
from torch import Tensor


def _quarter_turn(states: Tensor) -> Tensor:
    first, second = states.chunk(2, dim=-1)
    return torch.cat((-second, first), dim=-1)


def rotate(states: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn `[..., Q, D]` forward by angles given as `cos` and `sin` `[Q, D]`, in float32."""
    wide = states.float()
    return (wide * cos + _quarter_turn(wide) * sin).to(states.dtype)


def unrotate(states: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Undo `rotate`, also where `cos` and `sin` carry an attention scaling (YaRN)."""
    wide = states.float()
    scale = cos[:, :1] ** 2 + sin[:, :1] ** 2
    return ((wide * cos - _quarter_turn(wide) * sin) / scale).to(states.dtype)
