"""NVIDIA GPUs, and whatever else torch reaches under the name "cuda"."""

from importlib.util import find_spec
from typing import ClassVar

import attrs
import torch
import torch.nn.functional as F
from torch import Tensor

from retake.backends import cuda_flash_attn
from retake.core.backend import Backend


@attrs.frozen
class CUDA(Backend):
    """Runs on the current CUDA device, or on several over which a model is spread.

    Attention is the flash-attn package's where it is installed and serves, else torch's flash
    kernel's; attention mass is a Triton kernel's. What these cannot serve (flash: float32, heads
    of more than 256; Triton: not installed) runs in the portable blocks that every device has.
    """

    name: ClassVar[str] = "cuda"
    visible: ClassVar[str] = "CUDA_VISIBLE_DEVICES"

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
        if self.kernel != "eager" and cuda_flash_attn.serves(queries, keys, values):
            return cuda_flash_attn.attend(queries, keys, values, scaling)
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
        for number in range(torch.cuda.device_count()):
            torch.cuda.reset_peak_memory_stats(number)

    def peak_memory(self) -> int | None:
        # Of a model that is spread each card holds a part. Cards need not peak at the same time,
        # so this is what all of them together must have, and at least what they held at once.
        cards = range(torch.cuda.device_count())
        return sum(torch.cuda.max_memory_allocated(number) for number in cards)

    def synchronize(self) -> None:
        torch.cuda.synchronize(self.device)
        for number in range(torch.cuda.device_count()):
            # Waiting for a card that nothing uses would claim memory on it.
            if torch.cuda.memory_reserved(number):
                torch.cuda.synchronize(number)

    def describe(self) -> str:
        name = f"{self.device} {torch.cuda.get_device_name(self.device)}"
        if self.kernel == "eager":
            return f"{name}, eager attention"
        mass = "by a Triton kernel" if _has_triton() else "in blocks, Triton is not installed"
        return f"{name}, {self._attention()}, attention mass {mass}"

    def _attention(self) -> str:
        """What attends in 16 bits; float32 is attended to in blocks always."""
        reason = cuda_flash_attn.why_not(self.device)
        if reason is None:
            return f"flash-attn {cuda_flash_attn.release()} in 16 bits, blocks in 32"
        return f"torch's flash kernel in 16 bits ({reason}), blocks in 32"


def _has_triton() -> bool:
    return find_spec("triton") is not None


def _flash_serves(queries: Tensor, keys: Tensor, values: Tensor) -> bool:
    """Whether torch would run these through its flash kernel, which needs no mask.

    Asked first, with the parameters that `causal_lower_right` asks with, because that would
    otherwise make a whole mask without a word.
    """
    params = torch.backends.cuda.SDPAParams(queries, keys, values, None, 0.0, False, True)
    return torch.backends.cuda.can_use_flash_attention(params)
