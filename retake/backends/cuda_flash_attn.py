"""Attention of a chunk in the flash-attn package (arXiv 2307.08691), where it is installed.

Since its release 2.1 it is bottom-right causal, which a chunk over its past needs. It takes
grouped heads as they are, any strides but the last, and its forward pass gives the same bits for
the same input. What this module does not know: what runs where the package cannot serve.
"""

from collections.abc import Callable
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import torch
from packaging.version import InvalidVersion, Version
from torch import Tensor

_BOTTOM_RIGHT_SINCE = Version("2.1")
_DTYPES = (torch.float16, torch.bfloat16)
_WIDEST_HEAD = 256
# Ampere: the package has no kernels for what came before.
_OLDEST = (8, 0)


def why_not(device: torch.device) -> str | None:
    """Why flash-attn is not used on a device, or None where it is."""
    if find_spec("flash_attn") is None:
        return "flash-attn is not installed"
    reason = _installed()[1]
    if reason is None and torch.cuda.get_device_capability(device) < _OLDEST:
        return "flash-attn needs an Ampere GPU or a later one"
    return reason


def serves(queries: Tensor, keys: Tensor, values: Tensor) -> bool:
    """Whether flash-attn is there and its documented limits hold for these."""
    heads, width = queries.shape[1], queries.shape[3]
    return (
        queries.dtype in _DTYPES
        and queries.dtype == keys.dtype == values.dtype
        and width <= _WIDEST_HEAD
        and keys.shape == values.shape
        and heads % keys.shape[1] == 0
        and why_not(queries.device) is None
    )


def attend(queries: Tensor, keys: Tensor, values: Tensor, scaling: float) -> Tensor:
    """Bottom-right causal attention; shapes as in `Backend.attend`."""
    kernel = _installed()[0]
    assert kernel is not None
    # The package counts tokens before heads.
    states = [part.transpose(1, 2) for part in (queries, keys, values)]
    output: Tensor = kernel(*states, softmax_scale=scaling, causal=True)
    return output.transpose(1, 2)


def release() -> str:
    """The release that is installed."""
    return str(import_module("flash_attn").__version__)


@cache
def _installed() -> tuple[Callable[..., Any] | None, str | None]:
    """The package's function, or why it cannot be used."""
    try:
        package = import_module("flash_attn")
        kernel, version = package.flash_attn_func, Version(package.__version__)
    except (ImportError, AttributeError, InvalidVersion, OSError) as error:
        # Built for another torch, it fails on a symbol; the name may be another package's part.
        reason = str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
        return None, f"flash-attn cannot be imported ({reason})"
    if version < _BOTTOM_RIGHT_SINCE:
        return (
            None,
            f"flash-attn {version} aligns chunks otherwise, {_BOTTOM_RIGHT_SINCE} is needed",
        )
    return kernel, None
