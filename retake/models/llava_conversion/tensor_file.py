"""The safetensors format: where the tensors of a file lie, and the header of a new one.

Such a file is a length, a JSON header and the tensors' bytes. Read and written by its bytes here,
so that a tensor of several gigabytes is copied a piece at a time and never held.
"""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from attrs import frozen

from retake.core.errors import ModelError

_MOST_HEADER = 100_000_000  # bytes; more is refused by safetensors too
_AGAIN = "Fetch it again."
DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I8": torch.int8,
    "U8": torch.uint8,
}
NAMES = {dtype: name for name, dtype in DTYPES.items()}


@frozen
class Stored:
    """A tensor in a file: its name there, what it holds, and which bytes of the file are it."""

    file: Path
    name: str
    dtype: torch.dtype
    shape: tuple[int, ...]
    start: int
    stop: int

    @property
    def is_real(self) -> bool:
        """Whether its numbers are real ones, not whole."""
        return self.dtype.is_floating_point

    @property
    def count(self) -> int:
        """Numbers in it."""
        return math.prod(self.shape)


def stored_tensors(file: Path) -> tuple[list[Stored], bytes]:
    """Every tensor of a file, and the file's header.

    Raises:
        ModelError: the file is missing, cut short, or no safetensors file.
    """
    try:
        size = file.stat().st_size
        with file.open("rb") as opened:
            length = int.from_bytes(opened.read(8), "little")
            if size < 8 or length > _MOST_HEADER:
                raise _broken(file, "it does not begin like a safetensors file")
            header = opened.read(length)
    except OSError as error:
        raise ModelError(f"Cannot read '{file}': {error.strerror}.") from error
    if len(header) < length:
        raise _broken(file, "it is cut short within its header")
    try:
        table = json.loads(header)
        entries = {name: entry for name, entry in table.items() if name != "__metadata__"}
        found = [_stored(file, name, entry, 8 + length) for name, entry in entries.items()]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise _broken(file, "its header is damaged") from None
    if max((each.stop for each in found), default=0) > size:
        raise _broken(file, "it is cut short: the bytes of its last tensors are missing")
    return found, header


def _stored(file: Path, name: str, entry: dict[str, Any], base: int) -> Stored:
    if entry["dtype"] not in DTYPES:
        raise ModelError(
            f"The tensor '{name}' in '{file}' is stored as {entry['dtype']}.",
            hint="Quantised checkpoints are not converted; take the one before quantisation.",
        )
    start, stop = (base + offset for offset in entry["data_offsets"])
    stored = Stored(file, name, DTYPES[entry["dtype"]], tuple(entry["shape"]), start, stop)
    if start < base or stop - start != stored.count * stored.dtype.itemsize:
        raise ValueError(name)
    return stored


def _broken(file: Path, reason: str) -> ModelError:
    return ModelError(f"'{file}' cannot be used: {reason}.", hint=_AGAIN)


def header(tensors: Sequence[tuple[str, torch.dtype, tuple[int, ...]]]) -> bytes:
    """The first bytes of a file that holds tensors in this order, up to the first tensor.

    Args:
        tensors: name, dtype and shape of each.
    """
    table: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    start = 0
    for name, dtype, shape in tensors:
        stop = start + math.prod(shape) * dtype.itemsize
        table[name] = {"dtype": NAMES[dtype], "shape": shape, "data_offsets": [start, stop]}
        start = stop
    text = json.dumps(table, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text
