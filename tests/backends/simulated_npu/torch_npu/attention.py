"""The fused attention of torch_npu, as its documentation describes the modes that retake uses."""

from functools import cache
from typing import Any

import torch
from torch import Tensor

from torch_npu.tensors import DeviceTensor, RefusedError

# Side of the mask that stands for a causal one of any size.
_SIDE = 2048
_NONE, _RIGHT_DOWN = 0, 3
_DTYPES = (torch.float16, torch.bfloat16, torch.float32)

#: How often it was called, by sparse mode.
calls: dict[int, int] = {}


def npu_fusion_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    head_num: int,
    input_layout: str,
    *,
    atten_mask: Tensor | None = None,
    scale: float = 1.0,
    sparse_mode: int = _NONE,
    **others: Any,
) -> tuple[Any, ...]:
    """Attention in the layout BNSD without a mask, or causal from the last key back."""
    _check(query, key, value, head_num, input_layout)
    _check_mask(atten_mask, sparse_mode, query.device)
    if others:
        raise RefusedError(f"the simulated npu_fusion_attention knows no {', '.join(others)}")
    calls[sparse_mode] = calls.get(sparse_mode, 0) + 1
    # Computed on what the tensors hold: this is one operator of the device.
    queries, keys, values = (each.held.float() for each in (query, key, value))  # type: ignore[attr-defined]
    share = queries.shape[1] // keys.shape[1]
    keys, values = (each.repeat_interleave(share, dim=1) for each in (keys, values))
    logits = queries @ keys.transpose(-1, -2) * scale
    if atten_mask is not None:
        hidden = torch.ones(logits.shape[-2:], dtype=torch.bool)
        logits = logits.masked_fill(
            hidden.triu(logits.shape[-1] - logits.shape[-2] + 1), float("-inf")
        )
    peak, total = logits.amax(-1), (logits - logits.amax(-1, keepdim=True)).exp().sum(-1)
    output = (logits.softmax(-1) @ values).to(query.dtype)
    results = (output, *(part[..., None].expand(*part.shape, 8) for part in (peak, total)))
    nothing = torch.empty(0)
    return (*(DeviceTensor(each, query.device) for each in (*results, nothing)), 0, 0, 0)


def _check(query: Tensor, key: Tensor, value: Tensor, heads: int, layout: str) -> None:
    for each in (query, key, value):
        if not isinstance(each, DeviceTensor) or each.device != query.device:
            raise RefusedError("npu_fusion_attention: tensors must be on one npu device")
    if layout != "BNSD" or heads != query.shape[1]:
        raise RefusedError(f"npu_fusion_attention: layout {layout} with head_num {heads}")
    if query.dtype not in _DTYPES or len({query.dtype, key.dtype, value.dtype}) > 1:
        raise RefusedError(
            f"npu_fusion_attention: dtypes {query.dtype}, {key.dtype}, {value.dtype}"
        )
    if heads % key.shape[1] or heads > 256 or query.shape[3] > 768 or key.shape != value.shape:
        raise RefusedError("npu_fusion_attention: heads or sizes that it does not serve")


def _check_mask(mask: Tensor | None, mode: int, device: torch.device) -> None:
    if mask is None:
        return
    if mode != _RIGHT_DOWN:
        raise RefusedError(
            f"the simulated npu_fusion_attention takes no mask with sparse_mode {mode}"
        )
    if mask.device != device or mask.dtype != torch.bool or mask.shape != (_SIDE, _SIDE):
        raise RefusedError("npu_fusion_attention: sparse_mode 3 takes a bool mask [2048, 2048]")
    if not torch.equal(mask.held, _above()):  # type: ignore[attr-defined]
        raise RefusedError(
            "npu_fusion_attention: True must stand above the diagonal, and only there"
        )


@cache
def _above() -> Tensor:
    """The mask that the device takes: True above the diagonal."""
    return torch.ones(_SIDE, _SIDE, dtype=torch.bool).triu(1)
