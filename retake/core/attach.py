"""Attaching to one model object, and leaving it as it was.

While attached, a forward pre-hook on each attention module gives the layer the rotary
embedding of its own positions, and the attention function registered with `transformers`
under the name "retake" sees queries, keys and values. Both find their session through
the call's own keyword arguments: there is no global state, and a model that is not
attached never comes here.
"""

import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any, Protocol
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from transformers import AttentionInterface

from retake.core.adapter import ModelAdapter
from retake.core.arena import CACHE_ARGUMENT

_NAME = "retake"
_LOCKS: "WeakKeyDictionary[Any, threading.RLock]" = WeakKeyDictionary()
_LOCKS_GUARD = threading.Lock()


class LayerSession(Protocol):
    """What an attached run decides for each layer."""

    def place(self, layer: int, cache: Any, count: int) -> Tensor:
        """Positions `[A, Q]` of the layer's `count` newest tokens; `[A, B, Q]` if rows differ.

        `cache` is the one that the model was called with.
        """

    def attend(
        self, layer: int, queries: Tensor, keys: Tensor, values: Tensor, scaling: float
    ) -> Tensor:
        """Attention output `[B, H, Q, D]`; may compress the layer afterwards."""


def _attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    retake_call: "tuple[LayerSession, int] | None" = None,
    **_: Any,
) -> tuple[Tensor, None]:
    if retake_call is None:
        raise RuntimeError("a model with retake's attention is run outside an attached session")
    session, layer = retake_call
    factor = scaling if scaling is not None else float(query.shape[-1]) ** -0.5
    output = session.attend(layer, query, key, value, factor)
    return output.transpose(1, 2).contiguous(), None


AttentionInterface.register(_NAME, _attention)


def _pre_hook(
    adapter: ModelAdapter, session: LayerSession, layer: int, device: torch.device
) -> Any:
    def hook(_: nn.Module, args: Any, kwargs: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
        hidden = kwargs["hidden_states"] if "hidden_states" in kwargs else args[0]
        cache = kwargs[CACHE_ARGUMENT]
        count = hidden.shape[1]
        # Not where `hidden` is: a model that is spread moves it only after this hook.
        positions = session.place(layer, cache, count).to(device)
        cache.layers[layer].expect(positions)
        batch = hidden.shape[0]
        embeddings = tuple(
            angle.to(hidden.dtype).view(-1, count, angle.shape[-1]).expand(batch, -1, -1)
            for angle in adapter.rotary(positions.flatten(1))
        )
        changed = {
            **kwargs,
            "position_embeddings": embeddings,
            "retake_call": (session, layer),
        }
        return args, changed

    return hook


def _lock_of(model: Any) -> threading.RLock:
    """One lock a model: two threads would put back each other's hooks and settings."""
    with _LOCKS_GUARD:
        return _LOCKS.setdefault(model, threading.RLock())


@contextmanager
def attached(adapter: ModelAdapter, session: LayerSession) -> Iterator[None]:
    """Run the block with the adapter's model attached to a session.

    Another thread that wants the same model waits. Afterwards, also after an exception, hooks
    are gone, and the configuration and whatever state the model keeps between calls are what
    they were before.
    """
    with _lock_of(adapter.model), ExitStack() as undo:
        undo.callback(adapter.restore, adapter.state())
        found: list[Any] = [layer.config for layer in adapter.attention_layers()]
        configs = {id(config): config for config in found}
        for config in configs.values():
            undo.callback(setattr, config, "_attn_implementation", config._attn_implementation)
            config._attn_implementation = _NAME
        placed = zip(adapter.attention_layers(), adapter.layer_devices, strict=True)
        for number, (layer, device) in enumerate(placed):
            handle = layer.register_forward_pre_hook(
                _pre_hook(adapter, session, number, device), with_kwargs=True
            )
            undo.callback(handle.remove)
        yield
