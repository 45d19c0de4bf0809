"""The CPU: always there, and what every other device is compared with."""

from typing import ClassVar

import attrs
import torch
from torch import Tensor

from retake.backends import cpu_attention
from retake.core.backend import Backend
from retake.core.host import peak_resident, reset_peak_resident


@attrs.frozen
class CPU(Backend):
    """Runs on the processor, in torch's fused kernels.

    Peak memory is the process's resident set. On Linux its high-water mark can be reset, so
    that each stage has a peak of its own; elsewhere it is that of the whole process.
    """

    name: ClassVar[str] = "cpu"
    on_host: ClassVar[bool] = True

    @property
    def device(self) -> torch.device:
        return torch.device("cpu")

    def attend(self, queries: Tensor, keys: Tensor, values: Tensor, scaling: float) -> Tensor:
        if self.kernel == "eager":
            return super().attend(queries, keys, values, scaling)
        return cpu_attention.attend(queries, keys, values, scaling)

    def reset_peak_memory(self) -> None:
        reset_peak_resident()

    def peak_memory(self) -> int | None:
        return peak_resident()

    def describe(self) -> str:
        return f"cpu, {torch.get_num_threads()} threads, {self.kernel} attention"
