"""What the real `torch.npu` offers and retake, transformers or torch ask for."""

from typing import Any

import torch
from torch import Tensor

from torch_npu import tensors

_current = 0
_generators = [torch.Generator() for _ in range(tensors.COUNT)]


def is_available() -> bool:
    return True


def is_initialized() -> bool:
    return True


def _is_in_bad_fork() -> bool:
    return False


def _lazy_init() -> None:
    """The simulation has nothing to set up."""


def device_count() -> int:
    return tensors.COUNT


def current_device() -> int:
    return _current


def set_device(device: Any) -> None:
    global _current
    _current = _number(device)


def get_device_name(device: Any = None) -> str:
    return "Ascend910B (simulated)"


def is_bf16_supported() -> bool:
    return True


def synchronize(device: Any = None) -> None:
    """Nothing is queued."""


def empty_cache() -> None:
    """Nothing is kept."""


def memory_allocated(device: Any = None) -> int:
    return tensors.held_bytes[_number(device)]


def max_memory_allocated(device: Any = None) -> int:
    return tensors.peak_bytes[_number(device)]


def reset_peak_memory_stats(device: Any = None) -> None:
    number = _number(device)
    tensors.peak_bytes[number] = tensors.held_bytes[number]


def mem_get_info(device: Any = None) -> tuple[int, int]:
    total = 64 * 2**30
    return total - memory_allocated(device), total


def manual_seed(seed: int) -> None:
    _generators[_current].manual_seed(seed)


def manual_seed_all(seed: int) -> None:
    for generator in _generators:
        generator.manual_seed(seed)


def get_rng_state(device: Any = "npu") -> Tensor:
    return _generators[_number(device)].get_state()


def set_rng_state(state: Tensor, device: Any = "npu") -> None:
    _generators[_number(device)].set_state(state)


def generator(device: Any) -> torch.Generator:
    """The random numbers of a device (on the real one `torch.npu.default_generators`)."""
    return _generators[_number(device)]


def _number(device: Any) -> int:
    if device is None:
        return _current
    if isinstance(device, int):
        return device
    index = torch.device(device).index
    return _current if index is None else index
