"""NVIDIA GPUs, and whatever else torch reaches under the name "cuda"."""

from importlib.util import find_spec
from typing import ClassVar

import attrs
import torch
import torch.nn.functional as F
from torch import Tensor

from retake.core.backend import Backend


@attrs.frozen
class CUDA(Backend):
    """Runs on the current CUDA device, in torch's flash kernel and a Triton kernel of its own.

    What they cannot serve (flash: float32, heads of more than 256; Triton: not installed) runs
    in the portable blocks that every device has.
    """

    name: ClassVar[str] = "cuda"

    @property
    def device(self) -> torch.device:
        return torch.device("cuda", torch.cuda.current_device())

    @classmethod
    def unavailable(cls) -> str | None:
        if torch.cuda.is_available():
            return None
        if torch.version.cuda is None:
            return "this torch was built without CUDA"
        return "torch finds no CUDA device"

    def random_devices(self) -> list[int]:
        return list(range(torch.cuda.device_count()))

    def attend(self, queries: Tensor, keys: Tensor, values: Tensor, scaling: float) -> Tensor:
        count, total = queries.shape[2], keys.shape[2]
        if (
            self.kernel == "eager"
            or count in (1, total)
            or not _flash_serves(queries, keys, values)
        ):
            return super().attend(queries, keys, values, scaling)
        # Imported where it is needed: it brings torch's compiler with it.
        from torch.nn.attention.bias import causal_lower_right

        return F.scaled_dot_product_attention(
            queries,
            keys,
            values,
            attn_mask=causal_lower_right(count, total),
            scale=scaling,
            enable_gqa=True,
        )

    def attention_mass(self, queries: Tensor, keys: Tensor, scaling: float) -> Tensor:
        if self.kernel == "eager" or not _has_triton():
            return super().attention_mass(queries, keys, scaling)
        from retake.backends import cuda_attention_mass

        with torch.cuda.device(queries.device):
            return cuda_attention_mass.attention_mass(queries, keys, scaling)

    def reset_peak_memory(self) -> None:
        torch.cuda.reset_peak_memory_stats(self.device)

    def peak_memory(self) -> int | None:
        return torch.cuda.max_memory_allocated(self.device)

    def synchronize(self) -> None:
        torch.cuda.synchronize(self.device)

    def describe(self) -> str:
        name = f"{self.device} {torch.cuda.get_device_name(self.device)}"
        if self.kernel == "eager":
            return f"{name}, eager attention"
        mass = "by a Triton kernel" if _has_triton() else "in blocks, Triton is not installed"
        return f"{name}, sdpa attention (flash in 16 bits), attention mass {mass}"


def _has_triton() -> bool:
    return find_spec("triton") is not None


def _flash_serves(queries: Tensor, keys: Tensor, values: Tensor) -> bool:
    """Whether torch would run these through its flash kernel, which needs no mask.

    Asked first, with the parameters that `causal_lower_right` asks with, because that would
    otherwise make a whole mask without a word.
    """
    params = torch.backends.cuda.SDPAParams(queries, keys, values, None, 0.0, False, True)
    return torch.backends.cuda.can_use_flash_attention(params)
