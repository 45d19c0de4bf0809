"""Where the modules of a model compute, and their weights, wherever those are kept.

A model spread over several devices or offloaded by `accelerate` carries hooks that move what a
module is called with, and that bring its weights while it runs; between calls an offloaded weight
is on the "meta" device. What is read or placed outside such a call asks here. What this module
does not know: how a model came to be spread.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from retake.core.errors import ModelError


def execution_device(module: nn.Module) -> torch.device | None:
    """The device on which a module computes.

    That which its `accelerate` hook moves inputs to, else the one its first weight is on; of a
    module that has neither, its parts are asked in order.

    Returns:
        None where nothing says: no hooks, and no weights or buffers but on "meta".
    """
    for part in module.modules():
        for hook in _hooks(part):
            if getattr(hook, "execution_device", None) is not None:
                return torch.device(hook.execution_device)
        for weight in part.parameters(recurse=False):
            if not weight.is_meta:
                return weight.device
    return next((each.device for each in module.buffers() if not each.is_meta), None)


def held(module: nn.Module, name: str) -> Tensor:
    """A module's own weight, read from where it is kept if that is not the module.

    Args:
        module: whose attribute it is.
        name: of the parameter or buffer.

    Raises:
        ModelError: it is on "meta", and no hook knows its numbers.
    """
    weight: Tensor = getattr(module, name)
    if not weight.is_meta:
        return weight.detach()
    for hook in _hooks(module):
        kept = getattr(hook, "weights_map", None)
        if kept is not None:
            found: Tensor = kept[name]
            return found.detach()
    raise ModelError(
        f"The weight '{name}' of {type(module).__name__} is offloaded where nothing reads it.",
        hint=f"Map '{name}' to a device, or offload the module that holds it.",
    )


def weights(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Every weight once, by name, as the model would list them on one device.

    Weights that are stored as buffers, as some quantised layers store them, come behind.
    """
    copies = _copies(model)
    for name, _ in model.named_parameters():
        if name not in copies:
            yield name, held(*_owner(model, name))
    for name, _ in model.named_buffers():
        module, own = _owner(model, name)
        if own not in module._non_persistent_buffers_set:
            yield name, held(module, own)


def _hooks(module: nn.Module) -> list[Any]:
    """The hooks that `accelerate` put on a module, outermost first."""
    hook: Any = getattr(module, "_hf_hook", None)
    return list(getattr(hook, "hooks", (hook,) if hook is not None else ()))


def _copies(model: Any) -> set[str]:
    """Weights shared with another that dispatching made weights of their own."""
    if getattr(model, "hf_device_map", None) is None:
        return set()
    return set(getattr(model, "all_tied_weights_keys", None) or ())


def _owner(model: nn.Module, name: str) -> tuple[nn.Module, str]:
    """The module that has a weight, and the weight's name in it."""
    path, _, own = name.rpartition(".")
    return model.get_submodule(path), own
