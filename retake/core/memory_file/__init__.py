"""A watched video as one file: `docs/memory-files.md` says what is in it.

The idea: watching takes minutes to hours, asking seconds; what watching leaves behind is small
and worth keeping. A file holds the pairs of every layer, and all that is needed to say where
they come from and whether a model may use them. No code is stored, and none is run on loading.
"""

from collections.abc import Sequence
from pathlib import Path

import attrs
import torch
from torch import Tensor

from retake.core.arena import ASKING_ROOM, ArenaCache, ArenaLayer
from retake.core.errors import UsageError
from retake.core.heads import HeadsLayer
from retake.core.memory import VideoMemory
from retake.core.memory_file.consistency import PARTS, check, name_of
from retake.core.memory_file.container import read, write
from retake.core.memory_file.document import (
    FORMAT,
    check_format,
    describe,
    settings,
    understand,
)
from retake.core.memory_file.target import check_target, replacing

__all__ = ["FORMAT", "check_target", "load_memory", "on_device", "save_memory"]


def save_memory(memory: VideoMemory, path: str | Path) -> Path:
    """Write a memory to one file; see `VideoMemory.save`."""
    target = Path(path).expanduser()
    check_target(target)
    _check_kept(memory)
    document, tensors = describe(memory), _tensors(memory)
    with replacing(target) as file:
        write(file, document, tensors)
    return target


def _check_kept(memory: VideoMemory) -> None:
    """Refuse what no file holds."""
    if memory.question is not None:
        raise UsageError(
            "This memory answers one question only, so there is nothing to keep it for.",
            hint="A selector and a compressor that do not look at the question make memories "
            "that are asked again.",
        )
    if any(isinstance(layer, HeadsLayer) for layer in memory.cache.layers):
        raise UsageError(
            "A memory whose heads hold different pairs cannot be kept in a file.",
            hint="Ask it in the process that watched, or watch without a budget across heads "
            "(adakv).",
        )


def load_memory(
    path: str | Path, device: str | torch.device | Sequence[torch.device] = "cpu"
) -> VideoMemory:
    """The memory of a watched video, from the file that `VideoMemory.save` wrote.

    Args:
        path: the file.
        device: that of the model that will be asked; one for each layer, if it is spread.

    Raises:
        MemoryFileError: the file is missing, no memory, of a later version, cut short or
            changed since it was written.
    """
    source = Path(path).expanduser()
    plain, tensors = read(source, lambda document: check_format(document, source))
    document = understand(plain, source)
    check(document, tensors, source)
    layers = range(len(document.compression.tokens_kept))
    devices = _devices(device, len(layers))
    kept = tuple(tensors[name_of(layer, "kept")].numpy() for layer in layers)
    return VideoMemory(
        cache=ArenaCache([_layer(tensors, layer, devices[layer]) for layer in layers]),
        next_position=document.next_position,
        kept=kept,
        compression=document.compression,
        frames=document.frames,
        video=document.video,
        costs=document.costs,
        config=settings(document),
        source=document.source,
    )


def _tensors(memory: VideoMemory) -> dict[str, Tensor]:
    """Every layer's tensors by name, without the room that is spare; whole numbers first."""
    numbers, pairs = {}, {}
    layers = zip(memory.cache.layers, memory.kept, strict=True)
    for layer, (held, kept) in enumerate(layers):
        numbers[name_of(layer, "positions")] = held.cached_positions()
        numbers[name_of(layer, "kept")] = torch.as_tensor(kept, dtype=torch.int64)
        pairs[name_of(layer, "keys")] = held.keys[:, :, : held.length]
        pairs[name_of(layer, "values")] = held.values[:, :, : held.length]
    return {**numbers, **pairs}


def on_device(
    memory: VideoMemory, device: str | torch.device | Sequence[torch.device]
) -> VideoMemory:
    """The same memory where a model can read it; itself, where it is there already.

    Args:
        memory: stays as it is.
        device: one for all layers, or one for each.
    """
    devices = _devices(device, len(memory.cache.layers))
    if all(
        layer.device == there for layer, there in zip(memory.cache.layers, devices, strict=True)
    ):
        return memory
    layers = [
        _arena(
            layer.cached_positions().to(there),
            layer.keys[:, :, : layer.length].to(there),
            layer.values[:, :, : layer.length].to(there),
        )
        for layer, there in zip(memory.cache.layers, devices, strict=True)
    ]
    return attrs.evolve(memory, cache=ArenaCache(layers))


def _devices(
    device: str | torch.device | Sequence[torch.device], layers: int
) -> list[torch.device]:
    """A device for each layer."""
    if isinstance(device, (str, torch.device)):
        return [torch.device(device)] * layers
    return list(device)


def _layer(tensors: dict[str, Tensor], layer: int, device: str | torch.device) -> ArenaLayer:
    """A layer's arena; its tensors leave the table."""
    positions, _, keys, values = (tensors.pop(name_of(layer, part)).to(device) for part in PARTS)
    return _arena(positions, keys, values)


def _arena(positions: Tensor, keys: Tensor, values: Tensor) -> ArenaLayer:
    """An arena with these pairs, and room behind them to ask without copying them."""
    held = ArenaLayer(keys.shape[2] + ASKING_ROOM, positions.shape[0])
    held.expect(positions)
    held.update(keys, values)
    return held
