"""Operators that retake must not use on Ascend, each with its reason and where that is written.

Three sources, all of torch_npu 2.13.0 or the newest documentation before it:

* `docs/en/native_apis/pytorch_2-10-0/torch.md` and `torch-nn-functional.md` of Ascend/pytorch,
  the tables of what is supported, with which dtypes, and what "may fall back to CPU execution";
* `torch_npu/csrc/aten/npu_native_functions_by_codegen.yaml` of the wheel, the operators that have
  a kernel. Their names are in `simulated_npu/torch_npu/kernels.txt`. What has neither a kernel nor
  a definition by other operators is computed on the host, with a copy there and back;
* issues of Ascend/pytorch, by number.

That a table lists no bf16 is no reason: it lists none for matrix products, either.

The simulated device asks `refusal` before it runs anything.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch._ops import OpOverload

_TABLE = "torch.md"
_FUNCTIONS = "torch-nn-functional.md"
_INDICES = "pooling with indices"

#: Refused whatever the arguments.
DENIED: dict[str, str] = {
    "max_pool1d_with_indices": f"{_INDICES}: not supported ({_FUNCTIONS}; Ascend/pytorch #56)",
    "max_pool2d_with_indices": f"{_INDICES}: a 1-D pool arrives here, too (Ascend/pytorch #56)",
    "max_pool3d_with_indices": f"{_INDICES}: indices come as int32, dilation is 1 ({_FUNCTIONS})",
    "adaptive_max_pool1d": f"{_INDICES}: not supported ({_FUNCTIONS})",
    "adaptive_max_pool2d": f"{_INDICES}: not supported ({_FUNCTIONS})",
    "adaptive_max_pool3d": f"{_INDICES}: fp32 and fp64 only ({_FUNCTIONS})",
    "fractional_max_pool2d": f"{_INDICES}: runs on the host ({_FUNCTIONS})",
    "fractional_max_pool3d": f"{_INDICES}: no 16-bit floats",
    "avg_pool3d": f"not supported ({_FUNCTIONS})",
    "_embedding_bag": f"not supported ({_FUNCTIONS})",
    "_pdist_forward": f"not supported ({_FUNCTIONS})",
    "hardswish": f"runs on the host ({_FUNCTIONS})",
    "unique_consecutive": f"not supported ({_TABLE})",
    "scatter": f"may run on the host ({_TABLE})",
    "scatter_": f"may run on the host ({_TABLE})",
    "scatter_reduce": f"not supported ({_TABLE})",
    "scatter_reduce_": f"not supported ({_TABLE})",
    "index_reduce": f"may run on the host ({_TABLE})",
    "narrow_copy": f"may run on the host ({_TABLE})",
    "heaviside": f"not supported ({_TABLE})",
    "nanquantile": f"not supported ({_TABLE})",
    "std": f"may run on the host ({_TABLE})",
    "std_mean": f"not supported ({_TABLE})",
    "var_mean": f"not supported ({_TABLE})",
    "trunc": f"may run on the host ({_TABLE})",
    "copysign": f"may run on the host ({_TABLE})",
    "acosh": f"may run on the host ({_TABLE})",
    "poisson": f"not supported ({_TABLE})",
    "histc": f"values on a boundary may fall on either side ({_TABLE})",
}

#: Dtypes refused in every operator but those that make or copy a tensor.
_DTYPES: dict[torch.dtype, str] = {
    torch.float64: f"mul, div, clamp, gather, sort and comparisons list no fp64 ({_TABLE})",
    torch.complex64: f"most operators list no complex dtype ({_TABLE})",
    torch.complex128: f"most operators list no complex dtype ({_TABLE})",
    torch.uint16: "no dtype of the device's",
    torch.uint32: "no dtype of the device's",
    torch.uint64: "no dtype of the device's (Ascend/pytorch #83)",
}
_REPEATED = 2**22

KERNELS = frozenset(
    (Path(__file__).parent / "simulated_npu" / "torch_npu" / "kernels.txt").read_text().split()
)


def refusal(func: OpOverload, args: Sequence[Any], kwargs: Mapping[str, Any]) -> str | None:
    """Why this call must not happen on the device, or None where it may.

    Args:
        func: the operator as it is dispatched, `aten.sort.stable` for one.
        args, kwargs: what it is called with; tensors of any device.
    """
    name = func.overloadpacket.__name__
    if name in DENIED:
        return DENIED[name]
    reason = _dtypes(args, kwargs)
    if reason is None and name in _CHECKS:
        reason = _CHECKS[name](func, args, kwargs)
    if reason is None and not _served(func):
        reason = "torch_npu 2.13.0 has no kernel for it and would compute it on the host"
    return reason


def _tensors(args: Sequence[Any], kwargs: Mapping[str, Any]) -> list[Tensor]:
    found: list[Tensor] = []
    for value in (*args, *kwargs.values()):
        if isinstance(value, Tensor):
            found.append(value)
        elif isinstance(value, (list, tuple)):
            found += [entry for entry in value if isinstance(entry, Tensor)]
    return found


def _dtypes(args: Sequence[Any], kwargs: Mapping[str, Any]) -> str | None:
    for tensor in _tensors(args, kwargs):
        # A number without dimensions is a scalar of the host, whatever its dtype.
        if tensor.dtype in _DTYPES and (tensor.ndim or tensor.device.type != "cpu"):
            return f"{tensor.dtype}: {_DTYPES[tensor.dtype]}"
    wanted = kwargs.get("dtype")
    return f"{wanted}: {_DTYPES[wanted]}" if wanted in _DTYPES else None


def _sorting(_: OpOverload, args: Sequence[Any], kwargs: Mapping[str, Any]) -> str | None:
    if args[0].dtype == torch.bool:
        return f"sort and argsort list no bool ({_TABLE})"
    return None


def _topk(_: OpOverload, args: Sequence[Any], kwargs: Mapping[str, Any]) -> str | None:
    if (len(args) > 4 and not args[4]) or kwargs.get("sorted") is False:
        return f"sorted=False is not supported ({_TABLE})"
    return None


def _repeating(func: OpOverload, args: Sequence[Any], kwargs: Mapping[str, Any]) -> str | None:
    if func._overloadname == "Tensor":
        return None
    repeats = args[1]
    times = repeats if isinstance(repeats, int) else int(repeats.max())
    if args[0].numel() * times >= _REPEATED:
        return f"the result must have fewer than 2^22 elements ({_TABLE})"
    return None


def _summing(_: OpOverload, args: Sequence[Any], kwargs: Mapping[str, Any]) -> str | None:
    if kwargs.get("dtype") is not None:
        return f"the dtype parameter is not supported ({_TABLE})"
    return None


_CHECKS: dict[str, Callable[[OpOverload, Sequence[Any], Mapping[str, Any]], str | None]] = {
    **dict.fromkeys(("sort", "argsort", "msort"), _sorting),
    "topk": _topk,
    "repeat_interleave": _repeating,
    "sum": _summing,
}


@cache
def _served(func: OpOverload) -> bool:
    """Whether the device has a kernel for an operator, or torch defines it by others."""
    if func.namespace != "aten":
        return True
    name, overload = func.overloadpacket.__name__, func._overloadname
    spellings = {name if overload == "default" else f"{name}.{overload}"}
    # A functional operator is served by its out variant, too.
    spellings |= {f"{name}.out", f"{name}.{overload}_out"}
    return bool(spellings & KERNELS) or _composite(func)


_EXPLICIT: Sequence[str] = ("CompositeExplicitAutograd", "CompositeImplicitAutograd")


def _composite(func: OpOverload) -> bool:
    """Whether torch defines an operator by others, on every device."""
    has: Callable[[str, str], bool] = torch._C._dispatch_has_kernel_for_dispatch_key
    return any(has(func.name(), key) for key in _EXPLICIT)
