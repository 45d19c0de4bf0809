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

    As strict as safetensors itself, which refuses files whose tensors share bytes or leave some
    out; stricter about a name that is there twice, where one of the two would be lost.

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
        table = json.loads(header, object_pairs_hook=_once)
        entries = {name: entry for name, entry in table.items() if name != "__metadata__"}
        found = [_stored(file, name, entry, 8 + length) for name, entry in entries.items()]
    except ValueError as error:
        raise _broken(file, f"its header is damaged: {error}") from None
    except (KeyError, TypeError, AttributeError, RecursionError):
        raise _broken(file, "its header is damaged") from None
    _check_covered(file, found, 8 + length, size)
    return found, header


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object, of which no name is given twice: `json` would take the last of them."""
    table: dict[str, Any] = {}
    for name, value in pairs:
        if name in table:
            raise ValueError(f"it names '{name}' twice")
        table[name] = value
    return table


def _check_covered(file: Path, tensors: list[Stored], start: int, size: int) -> None:
    """Refuse tensors that do not lie one behind the other up to the file's end."""
    if max((each.stop for each in tensors), default=start) > size:
        raise _broken(file, "it is cut short: the bytes of its last tensors are missing")
    for each in sorted(tensors, key=lambda tensor: (tensor.start, tensor.stop)):
        if each.start != start:
            where = "shares bytes with another tensor" if each.start < start else "follows a gap"
            raise _broken(file, f"its tensor '{each.name}' {where}")
        start = each.stop
    if start != size:
        raise _broken(file, f"it holds {size - start} bytes that belong to no tensor")


def _stored(file: Path, name: str, entry: dict[str, Any], base: int) -> Stored:
    if entry["dtype"] not in DTYPES:
        raise ModelError(
            f"The tensor '{name}' in '{file}' is stored as {entry['dtype']}.",
            hint="Quantised checkpoints are not converted; take the one before quantisation.",
        )
    shape, offsets = (_whole(name, entry[key]) for key in ("shape", "data_offsets"))
    if len(offsets) != 2:
        raise ValueError(f"'{name}' has {len(offsets)} offsets, not two")
    start, stop = (base + offset for offset in offsets)
    stored = Stored(file, name, DTYPES[entry["dtype"]], shape, start, stop)
    if stop - start != stored.count * stored.dtype.itemsize:
        raise ValueError(f"the bytes of '{name}' are not as many as its shape asks for")
    return stored


def _whole(name: str, numbers: Any) -> tuple[int, ...]:
    """Sizes or offsets; 2.0 and true are numbers to Python, but none of safetensors."""
    if not isinstance(numbers, list) or any(type(n) is not int or n < 0 for n in numbers):
        raise ValueError(f"a shape or offset of '{name}' is no whole number")
    return tuple(numbers)


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
