"""What the machine could do at best, measured: matrix products and reading memory."""

import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import torch

from retake.core.backend import Backend

_SIZES = (256, 512, 1024, 2048, 4096, 8192)
# A size of which one product would take longer is not tried; the rate has levelled off by then.
_LONGEST_SECONDS = 1.0
_SECONDS_A_SIZE = 0.4
_BANDWIDTH_BYTES = 256 * 1024**2


@attrs.frozen
class MatmulRate:
    """The best rate of square matrix products.

    Attributes:
        flops_per_second: median of the best size.
        size: rows of that size's matrices.
        dtype: of the matrices.
        by_size: the median rate of every size tried.
    """

    flops_per_second: float
    size: int
    dtype: str
    by_size: dict[int, float]


@attrs.frozen
class Bandwidth:
    """The best rate at which memory is read, or read and written.

    Attributes:
        bytes_per_second: the better of the two medians.
        reading: median rate of summing a buffer.
        copying: median rate of copying it, bytes read and bytes written.
        buffer_bytes: its size.
    """

    bytes_per_second: float
    reading: float
    copying: float
    buffer_bytes: int


def matmul_rate(
    backend: Backend, dtype: torch.dtype, *, sizes: tuple[int, ...] = _SIZES
) -> MatmulRate:
    """Measure the best rate of `[n, n] @ [n, n]`, with torch's threads and settings as they are.

    Args:
        backend: the device, and how to wait for it.
        dtype: of the matrices, the model's.
        sizes: rows to try, ascending, as long as one product should take less than a second.
    """
    rates: dict[int, float] = {}
    for size in sizes:
        if rates and 2 * size**3 / max(rates.values()) > _LONGEST_SECONDS:
            break
        left, right = (torch.randn(size, size, device=backend.device).to(dtype) for _ in range(2))
        out = torch.empty(size, size, device=backend.device, dtype=dtype)
        seconds = _median_seconds(lambda: torch.matmul(left, right, out=out), backend)  # noqa: B023
        rates[size] = 2 * size**3 / seconds
    best = max(rates, key=lambda size: rates[size])
    return MatmulRate(rates[best], best, str(dtype).removeprefix("torch."), rates)


def read_bandwidth(backend: Backend, *, size: int = _BANDWIDTH_BYTES) -> Bandwidth:
    """Measure how fast a buffer of `size` bytes is read and copied; make it exceed the caches."""
    source = torch.ones(size // 4, device=backend.device)
    target = torch.empty_like(source)
    reading = source.nbytes / _median_seconds(source.sum, backend)
    copying = 2 * source.nbytes / _median_seconds(lambda: target.copy_(source), backend)
    return Bandwidth(max(reading, copying), reading, copying, source.nbytes)


@torch.inference_mode()
def _median_seconds(work: Callable[[], Any], backend: Backend) -> float:
    """Median time of some work, done once unmeasured and then for a while, three times at least."""
    work()
    backend.synchronize()
    times: list[float] = []
    while len(times) < 3 or (sum(times) < _SECONDS_A_SIZE and len(times) < 1000):
        start = time.perf_counter()
        work()
        backend.synchronize()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def machine(backend: Backend) -> dict[str, Any]:
    """The machine in words and numbers: processor, cores, threads, memory, device."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    memory = None
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "processor": _processor(),
        "cores": cores,
        "threads": torch.get_num_threads(),
        "memory_bytes": memory,
        "device": backend.describe(),
        "system": platform.platform(),
    }


def _processor() -> str:
    """The processor's name, where the system tells it."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
