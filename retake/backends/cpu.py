"""The CPU: always there, and what every other device is compared with."""

import platform
from pathlib import Path
from typing import ClassVar

import attrs
import torch

from retake.core.backend import Backend

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")


@attrs.frozen
class CPU(Backend):
    """Runs on the processor, in torch's portable kernels.

    Peak memory is the process's resident set. On Linux its high-water mark can be reset, so
    that each stage has a peak of its own; elsewhere it is that of the whole process.
    """

    name: ClassVar[str] = "cpu"

    @property
    def device(self) -> torch.device:
        return torch.device("cpu")

    def reset_peak_memory(self) -> None:
        try:
            _CLEAR.write_text("5")
        except OSError:
            return  # the high-water mark then covers the whole process, as documented

    def peak_memory(self) -> int | None:
        if _STATUS.exists():
            for line in _STATUS.read_text().splitlines():
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) * 1024
        if platform.system() == "Windows":
            return None
        import resource  # not there on Windows

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if platform.system() == "Darwin" else peak * 1024

    def describe(self) -> str:
        return f"cpu, {torch.get_num_threads()} threads, {self.kernel} attention"
