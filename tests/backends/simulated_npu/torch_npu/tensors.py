"""Tensors of the simulated device: each holds one of the CPU, and is dispatched in Python."""

import weakref
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor
from torch._ops import OpOverload
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

from tests.backends import ascend

#: Devices there are.
COUNT = 2
#: Bytes copied so far: ("host", "npu:0") for one, or ("npu:0", "npu:1").
transfers: Counter[tuple[str, str]] = Counter()
#: Bytes held by the tensors of each device, and the most that were.
held_bytes, peak_bytes = [0] * COUNT, [0] * COUNT

_COPIES = {"_to_copy", "copy_", "_copy_from", "_local_scalar_dense"}
# Copies take every dtype; they are how a tensor leaves the device.
_MAKERS = {*_COPIES, "empty", "empty_strided", "detach", "alias", "empty_like"}
_VIEWS_IN_PLACE = {"resize_", "set_", "squeeze_", "unsqueeze_", "t_", "transpose_", "as_strided_"}
_ENLARGED = (
    *("arange", "arange.start", "arange.start_step", "linspace", "eye", "eye.m"),
    *("randperm", "randperm.generator"),
)
_INDEXING = {"index", "index_put", "index_put_", "_index_put_impl_", "_unsafe_index"}


class RefusedError(RuntimeError):
    """A call that the real device would refuse, or would serve on the host."""


class DeviceTensor(torch.Tensor):
    """A tensor of the simulated device."""

    __torch_function__ = torch._C._disabled_torch_function_impl
    held: Tensor

    @staticmethod
    def __new__(cls, held: Tensor, device: torch.device) -> "DeviceTensor":
        tensor = torch.Tensor._make_wrapper_subclass(  # type: ignore[attr-defined]
            cls,
            held.shape,
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            layout=held.layout,
            device=device,
        )
        tensor.held = held
        _count(tensor, held, device.index)
        return tensor

    @classmethod
    def __torch_dispatch__(
        cls, func: OpOverload, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        return run(func, args, kwargs or {})

    def tolist(self) -> Any:
        # torch refuses it for subclasses; of a real device's tensor it makes a copy.
        return self.cpu().tolist()

    def __repr__(self, **_: Any) -> str:
        return f"DeviceTensor({self.held!r}, device='{self.device}')"


def register(module: Any) -> None:
    """Make "npu" a device of torch, with this module as `torch.npu`."""
    _setup_privateuseone_for_python_backend("npu", module)
    library = torch.library.Library("_", "IMPL")
    library.fallback(lambda func, *args, **kwargs: run(func, args, kwargs), "PrivateUse1")
    # `torch.tensor` copies to the device with the tensors' own dispatch switched off, where a
    # fallback for all operators is not found.
    own = torch.library.Library("aten", "IMPL")
    own.impl("copy_", _copy, "PrivateUse1")
    # torch makes these by enlarging an empty tensor, whose shape in Python would stay behind.
    for name in _ENLARGED:
        packet, _, overload = name.partition(".")
        func = getattr(getattr(torch.ops.aten, packet), overload or "default")
        own.impl(name, partial(_make, func), "PrivateUse1")
    _KEPT.extend((library, own))


def _make(func: OpOverload, *args: Any, **kwargs: Any) -> Any:
    return run(func, args, kwargs)


def _copy(self: Tensor, src: Tensor, non_blocking: bool = False) -> Any:
    return run(torch.ops.aten.copy_.default, (self, src, non_blocking), {})


# A library's registrations end with it.
_KEPT: list[Any] = []


def run(func: OpOverload, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """One operator: refused, taken apart, or run on the CPU."""
    name = func.overloadpacket.__name__
    if name in ascend.DENIED:
        raise RefusedError(f"{func}: {ascend.DENIED[name]}")
    if name == "_fused_sdp_choice":
        return 0  # plain products; fused attention is another package's
    if _taken_apart(func):
        _refuse(func, args, kwargs)
        result = func.decompose(*args, **kwargs)
        if result is not NotImplemented:
            return result
    device = _device(func, args, kwargs)
    if name not in _MAKERS:
        _refuse(func, args, kwargs)
    if name in _VIEWS_IN_PLACE:
        raise RefusedError(f"{func}: the simulation cannot change a tensor's shape in place")
    _note(name, args, kwargs)
    return _on_host(func, args, kwargs, device)


@cache
def _taken_apart(func: OpOverload) -> bool:
    """Whether torch makes an operator of others."""
    has: Callable[[str, str], bool] = torch._C._dispatch_has_kernel_for_dispatch_key
    return has(func.name(), "CompositeImplicitAutograd")


@cache
def _draws(func: OpOverload) -> bool:
    """Whether an operator takes random numbers."""
    return any(argument.name == "generator" for argument in func._schema.arguments)


# What an operator takes and gives is nested in lists and tuples only; for that, torch's own walk
# takes several times what the operator does.
def _mapped(change: Callable[[Any], Any], value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return type(value)([_mapped(change, each) for each in value])
    return change(value)


def _tensors(values: Iterable[Any]) -> Iterator[Tensor]:
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, (list, tuple)):
            yield from _tensors(value)


def _refuse(func: OpOverload, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
    reason = ascend.refusal(func, args, kwargs)
    if reason is not None:
        raise RefusedError(f"{func}: {reason}")


def _device(func: OpOverload, args: Sequence[Any], kwargs: Mapping[str, Any]) -> torch.device:
    """Where the result will be; refused where the operands are not together."""
    from torch_npu import npu

    name = func.overloadpacket.__name__
    wanted = kwargs.get("device")
    tensors = [*_tensors(args), *_tensors(kwargs.values())]
    if name in _INDEXING and tensors:
        # Indices may be on the host, as torch allows on every device.
        tensors = [tensors[0], *(each for each in tensors[1:] if isinstance(each, DeviceTensor))]
    if name not in _COPIES:
        places = {
            each.device
            for each in tensors
            if each.ndim or isinstance(each, DeviceTensor)  # numbers of the host are welcome
        }
        if len(places) > 1:
            raise RefusedError(
                f"{func}: Expected all tensors to be on the same device, "
                f"but found {', '.join(sorted(map(str, places)))}"
            )
    if wanted is not None:
        place = torch.device(wanted)
        if place.type == "npu" and place.index is None:
            place = torch.device("npu", npu.current_device())
        return place
    if name == "copy_":
        return args[0].device
    return next(
        (each.device for each in tensors if isinstance(each, DeviceTensor)), torch.device("cpu")
    )


def _note(name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
    """Record a copy between host and device."""
    if name == "_local_scalar_dense":
        transfers[str(args[0].device), "host"] += args[0].nbytes
    elif name == "copy_" and args[0].device != args[1].device:
        transfers[_place(args[1]), _place(args[0])] += args[1].nbytes
    elif name == "_to_copy" and kwargs.get("device") is not None:
        target = torch.device(kwargs["device"])
        if target != args[0].device:
            place = "host" if target.type == "cpu" else str(target)
            transfers[_place(args[0]), place] += args[0].nbytes


def _place(tensor: Tensor) -> str:
    return "host" if tensor.device.type == "cpu" else str(tensor.device)


def _on_host(
    func: OpOverload, args: Sequence[Any], kwargs: Mapping[str, Any], device: torch.device
) -> Any:
    """Run an operator on what its operands hold, and wrap what comes out."""
    from torch_npu import npu

    wrappers: dict[int, DeviceTensor] = {}

    def bare(value: Any) -> Any:
        if isinstance(value, DeviceTensor):
            wrappers[id(value.held)] = value
            return value.held
        if isinstance(value, torch.device):
            return torch.device("cpu")
        return value

    plain_args = [_mapped(bare, value) for value in args]
    plain_kwargs = {name: _mapped(bare, value) for name, value in kwargs.items()}
    if plain_kwargs.get("pin_memory"):
        plain_kwargs["pin_memory"] = False
    if _draws(func) and plain_kwargs.get("generator") is None and device.type == "npu":
        plain_kwargs["generator"] = npu.generator(device)
    result = func(*plain_args, **plain_kwargs)
    if func.overloadpacket.__name__ == "_to_copy" and result is plain_args[0]:
        result = result.clone()

    for wrapper in wrappers.values():
        if wrapper.shape != wrapper.held.shape:
            raise RefusedError(f"{func}: the simulation cannot change a tensor's shape in place")

    if device.type != "npu" and not wrappers:
        return result

    def dressed(value: Any) -> Any:
        if not isinstance(value, Tensor) or isinstance(value, DeviceTensor):
            return value
        if id(value) in wrappers:
            return wrappers[id(value)]
        if device.type != "npu":
            return value
        # Also in inference mode: torch keeps count of the views of what came from outside it.
        with torch.inference_mode(False):
            return DeviceTensor(value, device)

    return _mapped(dressed, result)


_OWNERS: Counter[tuple[int, int]] = Counter()


def _count(tensor: DeviceTensor, held: Tensor, device: int) -> None:
    """Count a storage's bytes as long as some tensor holds it."""
    storage = held.untyped_storage()
    key, size = (device, storage.data_ptr()), storage.nbytes()
    if not size:
        return
    if not _OWNERS[key]:
        held_bytes[device] += size
        peak_bytes[device] = max(peak_bytes[device], held_bytes[device])
    _OWNERS[key] += 1
    weakref.finalize(tensor, _release, key, size)


def _release(key: tuple[int, int], size: int) -> None:
    _OWNERS[key] -= 1
    if not _OWNERS[key]:
        del _OWNERS[key]
        held_bytes[key[0]] -= size
