"""Floating-point operations from shapes; a multiplication and an addition are two.

Softmax, norms, activations and other element-wise work are left out, as is usual: next to the
matrix products they are small.
"""

from math import prod
from typing import Any

from torch import Tensor, nn

#: Modules whose work is counted from their weight and their output.
CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
COUNTED = (nn.Linear, *CONVOLUTIONS)


def is_counted(module: nn.Module) -> bool:
    """Whether `module_flops` has a formula for a module.

    Quantised layers need not be `nn.Linear`; they are known by the features that they say.
    """
    return isinstance(module, COUNTED) or _is_linear(module)


def _is_linear(module: nn.Module) -> bool:
    features = (getattr(module, name, None) for name in ("in_features", "out_features"))
    # One that wraps another would be counted twice.
    return all(isinstance(each, int) for each in features) and not any(module.children())


def visible_pairs(queries: int, keys: int, *, causal: bool) -> int:
    """Pairs of a query and a key that it sees.

    Causal is bottom-right: the last query sees every key, the one before it all but the last.
    """
    return queries * keys - (queries * (queries - 1) // 2 if causal else 0)


def attention_flops(
    *,
    queries: int,
    keys: int,
    heads: int,
    width: int,
    value_width: int | None = None,
    batch: int = 1,
    causal: bool = False,
) -> int:
    """Logits and weighted values of an attention: 4 · heads · width · visible pairs.

    Args:
        queries, keys: how many of each.
        heads: query heads; sharing keys among them saves memory, not operations.
        width: numbers a head's query and key have.
        value_width: numbers a head's value has, if another.
        batch: sequences.
        causal: masked pairs are not counted, whether or not a kernel computes them.
    """
    widths = width + (width if value_width is None else value_width)
    return 2 * batch * heads * widths * visible_pairs(queries, keys, causal=causal)


def mass_flops(*, queries: int, keys: int, heads: int, width: int) -> int:
    """Attention mass: the logits of every query with every key, 2 · heads · width · pairs."""
    return 2 * heads * width * queries * keys


def module_flops(module: nn.Module, output: Tensor) -> int:
    """What one call of a linear or convolutional module computed: 2 · outputs · inputs of each.

    Args:
        module: one that `is_counted`.
        output: what the call returned.
    """
    if isinstance(module, CONVOLUTIONS):
        inputs = module.in_channels // module.groups * prod(module.kernel_size)
        return 2 * output.numel() * inputs
    if is_counted(module):
        linear: Any = module
        return 2 * output.numel() * int(linear.in_features)
    raise TypeError(f"no formula for a {type(module).__name__}")
