"""NVIDIA GPUs, and whatever else torch reaches under the name "cuda"."""

from typing import ClassVar

import attrs
import torch

from retake.core.backend import Backend


@attrs.frozen
class CUDA(Backend):
    """Runs on the current CUDA device, in torch's fused kernels."""

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

    def reset_peak_memory(self) -> None:
        torch.cuda.reset_peak_memory_stats(self.device)

    def peak_memory(self) -> int | None:
        return torch.cuda.max_memory_allocated(self.device)

    def synchronize(self) -> None:
        torch.cuda.synchronize(self.device)

    def describe(self) -> str:
        return f"{self.device} {torch.cuda.get_device_name(self.device)}, {self.kernel} attention"
