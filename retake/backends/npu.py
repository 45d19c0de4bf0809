"""Ascend NPUs, through Huawei's `torch_npu`."""

from importlib import import_module
from importlib.util import find_spec
from typing import Any, ClassVar

import attrs
import torch
from packaging.version import Version
from torch import Tensor

from retake.core.backend import Backend

# The products that torch_npu documents its fused attention for, as the device names itself: the
# A2 and A3 series. Earlier ones take the portable path.
_FUSED_ON = ("Ascend910B", "Ascend910_93")
_MOST_HEADS, _WIDEST_HEAD, _LONGEST = 256, 768, 2**20
_FUSED_DTYPES = (torch.float16, torch.bfloat16, torch.float32)
# Causal from the last key back; the mask is then this one, whatever the sizes.
_RIGHT_DOWN_CAUSAL, _MASK_SIDE = 3, 2048

_masks: dict[torch.device, Tensor] = {}


@attrs.frozen
class NPU(Backend):
    """Runs on the current Ascend device, in torch_npu's fused attention.

    Where that is missing (older products, sizes beyond its limits) the portable blocks that every
    device has take its place; attention mass always runs in those. The random state of a device
    is its own, so it is kept and restored for each of them.
    """

    name: ClassVar[str] = "npu"
    visible: ClassVar[str] = "ASCEND_RT_VISIBLE_DEVICES"

    @property
    def device(self) -> torch.device:
        return torch.device("npu", _npu().current_device())

    @property
    def default_dtype(self) -> torch.dtype:
        return torch.bfloat16 if _npu().is_bf16_supported() else torch.float16

    @classmethod
    def unavailable(cls) -> str | None:
        if find_spec("torch_npu") is None:
            return (
                "torch_npu is not installed. It is made for one release of torch each: with CANN "
                f"installed, pip install 'torch_npu=={_release()}.*' fits the torch that is here"
            )
        try:
            found = _npu().is_available()
        except (ImportError, OSError, RuntimeError, AttributeError) as error:
            reason = str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
            return (
                f"torch_npu cannot be imported ({reason}). It needs the libraries of CANN (source "
                f"its set_env.sh), and the release made for torch {_release()}"
            )
        return None if found else "torch_npu finds no Ascend device (npu-smi info lists them)"

    def random_devices(self) -> list[int]:
        return list(range(_npu().device_count()))

    def attend(self, queries: Tensor, keys: Tensor, values: Tensor, scaling: float) -> Tensor:
        if self.kernel == "eager" or not _fused_serves(queries, keys, values):
            return super().attend(queries, keys, values, scaling)
        causal: dict[str, Any] = {}
        if queries.shape[2] > 1:
            causal = {"atten_mask": _mask(queries.device), "sparse_mode": _RIGHT_DOWN_CAUSAL}
        output: Tensor = import_module("torch_npu").npu_fusion_attention(
            queries, keys, values, queries.shape[1], "BNSD", scale=scaling, **causal
        )[0]
        return output

    def reset_peak_memory(self) -> None:
        _npu().reset_peak_memory_stats(self.device)

    def peak_memory(self) -> int | None:
        return int(_npu().max_memory_allocated(self.device))

    def synchronize(self) -> None:
        _npu().synchronize(self.device)

    def describe(self) -> str:
        name = f"{self.device} {_npu().get_device_name(self.device)}"
        if self.kernel == "eager":
            return f"{name}, eager attention"
        if _has_fused(self.device):
            return f"{name}, torch_npu's fused attention, attention mass in blocks"
        return f"{name}, sdpa attention in blocks (torch_npu's fused attention is for A2 and A3)"


def _npu() -> Any:
    """`torch.npu`, which importing torch_npu brings."""
    import_module("torch_npu")
    return torch.npu  # type: ignore[attr-defined]


def _release() -> str:
    """The torch that is here, without what its build is called."""
    return Version(torch.__version__).base_version


def _has_fused(device: torch.device) -> bool:
    named = str(_npu().get_device_name(device)).startswith(_FUSED_ON)
    return named and hasattr(import_module("torch_npu"), "npu_fusion_attention")


def _fused_serves(queries: Tensor, keys: Tensor, values: Tensor) -> bool:
    """Whether the fused attention's documented limits hold for these."""
    heads, count, width = queries.shape[1:]
    return (
        queries.dtype in _FUSED_DTYPES
        and heads <= _MOST_HEADS
        and heads % keys.shape[1] == 0
        and width <= _WIDEST_HEAD
        and keys.shape == values.shape
        and count <= keys.shape[2] <= _LONGEST
        and _has_fused(queries.device)
    )


def _mask(device: torch.device) -> Tensor:
    """The 4 MiB that stand for a causal mask of any size; made once a device."""
    if device not in _masks:
        side = torch.ones(_MASK_SIDE, _MASK_SIDE, dtype=torch.bool, device=device)
        _masks[device] = side.triu(1)
    return _masks[device]
