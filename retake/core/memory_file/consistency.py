"""Whether a memory file's tensors are those that its document speaks of."""

from pathlib import Path

import torch
from torch import Tensor

from retake.core.memory_file.container import damaged
from retake.core.memory_file.document import Document

#: The tensors of a layer.
PARTS = ("positions", "kept", "keys", "values")


def name_of(layer: int, part: str) -> str:
    """A tensor's name."""
    return f"layers.{layer}.{part}"


def check(document: Document, tensors: dict[str, Tensor], path: Path) -> None:
    """Refuse what does not fit together.

    Raises:
        MemoryFileError: a tensor is missing, unknown or misshapen, or numbers disagree.
    """
    problem = _document_problem(document) or _names_problem(document, tensors)
    for layer in range(len(document.compression.tokens_kept)):
        problem = problem or _layer_problem(document, tensors, layer)
    if problem:
        raise damaged(path, problem)


def _document_problem(document: Document) -> str | None:
    compression, frames = document.compression, document.frames
    layers = len(compression.tokens_kept)
    if not layers or len(compression.pivots_kept) != layers:
        return "its counts of kept tokens and pivots are not of the same layers"
    if compression.tokens_selected < 1 or document.next_position < 0:
        return "its counts of tokens are wrong"
    if frames is not None and len(frames.indices) != len(frames.timestamps):
        return "its frames and their times differ in number"
    return None


def _names_problem(document: Document, tensors: dict[str, Tensor]) -> str | None:
    layers = range(len(document.compression.tokens_kept))
    expected = {name_of(layer, part) for layer in layers for part in PARTS}
    if missing := sorted(expected - tensors.keys()):
        return f"the tensor '{missing[0]}' is missing"
    if unknown := sorted(tensors.keys() - expected):
        return f"it has a tensor '{unknown[0]}', which no memory has"
    return None


def _layer_problem(document: Document, tensors: dict[str, Tensor], layer: int) -> str | None:
    """What is wrong with one layer's tensors, or None."""
    compression = document.compression
    positions, kept, keys, values = (tensors[name_of(layer, part)] for part in PARTS)
    length = compression.text_tokens + compression.tokens_kept[layer]
    axes = tensors[name_of(0, "positions")].shape[0]
    dtype = getattr(torch, document.config["model"]["dtype"], None)
    for name, tensor, kind, shape in (
        ("positions", positions, torch.int64, (axes, length)),
        ("kept", kept, torch.int64, (compression.tokens_kept[layer],)),
        ("keys", keys, dtype, (1, *keys.shape[1:2], length, *keys.shape[3:])),
        ("values", values, dtype, (*keys.shape[:3], *values.shape[3:])),
    ):
        sound = tensor.ndim == len(shape) == {"positions": 2, "kept": 1}.get(name, 4)
        if not sound or tuple(tensor.shape) != shape or tensor.dtype != kind:
            return (
                f"the tensor '{name_of(layer, name)}' is {tensor.dtype} {tuple(tensor.shape)}, "
                f"which does not fit {length} pairs in {document.config['model']['dtype']}"
            )
    outside = len(kept) and (int(kept[0]) < 0 or int(kept[-1]) >= compression.tokens_selected)
    if outside or bool((kept.diff() <= 0).any()):
        return f"the tensor '{name_of(layer, 'kept')}' holds no ascending token numbers"
    return None
