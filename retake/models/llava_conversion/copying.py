"""Bytes of tensors from file to file, a block at a time.

The idea: the content of a new file is a stream of blocks. It is written, or, where a file of
that name is there already, compared with it: a file is finished when it is what would be written,
and nothing else is believed, no list and no date. So an interrupted conversion goes on where it
was, and what was damaged meanwhile is written again. Memory is a few blocks, whatever the size of
a shard or of a tensor.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch

from retake.core.errors import ModelError
from retake.models.llava_conversion.plan import Shard
from retake.models.llava_conversion.tensor_file import NAMES, Stored

_BLOCK = 1 << 20  # bytes that are read at once


def content(shard: Shard) -> Iterator[bytes]:
    """A shard's bytes from first to last.

    Raises:
        ModelError: a tensor cannot be read, or not be stored in the dtype asked for.
    """
    yield shard.header
    for stored in shard.tensors.values():
        for block in blocks(stored):
            same = shard.dtype is None or shard.dtype == stored.dtype
            yield block if same else _converted(block, stored, shard.dtype)


def blocks(stored: Stored) -> Iterator[bytes]:
    """A stored tensor's bytes.

    Raises:
        ModelError: the file cannot be read, or has become shorter.
    """
    try:
        with stored.file.open("rb", buffering=0) as file:
            file.seek(stored.start)
            left = stored.stop - stored.start
            while left:
                block = file.read(min(left, _BLOCK))
                if not block:
                    raise ModelError(f"'{stored.file}' became shorter while it was read.")
                left -= len(block)
                # What a read returns need not end where a number does.
                while len(block) % stored.dtype.itemsize:
                    rest = file.read(stored.dtype.itemsize - len(block) % stored.dtype.itemsize)
                    if not rest:
                        raise ModelError(f"'{stored.file}' became shorter while it was read.")
                    block, left = block + rest, left - len(rest)
                yield block
    except OSError as error:
        raise ModelError(f"Cannot read '{stored.file}': {error.strerror}.") from error


def _converted(block: bytes, stored: Stored, dtype: torch.dtype | None) -> bytes:
    """Rounded as torch rounds, small numbers down to 0; an infinity would be no rounding."""
    numbers = torch.frombuffer(bytearray(block), dtype=stored.dtype)
    new = numbers.to(dtype)
    if not torch.equal(new.isfinite(), numbers.isfinite()):
        raise ModelError(
            f"'{stored.name}' holds numbers too large for {str(dtype).removeprefix('torch.')}.",
            hint="Choose another --dtype; without it, each tensor stays as it is stored "
            f"(this one: {NAMES[stored.dtype]}).",
        )
    return bytes(new.view(torch.uint8).numpy().data)


def is_finished(shard: Shard, path: Path, told: Callable[[int], None]) -> bool:
    """Whether a file holds a shard's bytes, all of them and no other.

    Args:
        shard: what should be there.
        path: the file, which need not exist.
        told: called with the bytes of each block that is right.

    Raises:
        ModelError: it cannot be read, or the original cannot.
    """
    if not path.is_file() or path.stat().st_size != shard.size:
        return False
    try:
        with path.open("rb") as file:
            for block in content(shard):
                if file.read(len(block)) != block:
                    return False
                told(len(block))
    except OSError as error:
        raise ModelError(f"Cannot read '{path}': {error.strerror}.") from error
    return True


def equal(first: Stored, second: Stored) -> bool:
    """Whether two stored tensors are the same, number by number."""
    if (first.dtype, first.shape) != (second.dtype, second.shape):
        return False
    return all(
        np.array_equal(np.frombuffer(one, np.uint8), np.frombuffer(other, np.uint8))
        for one, other in zip(blocks(first), blocks(second), strict=True)
    )
