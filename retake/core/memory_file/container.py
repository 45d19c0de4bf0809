"""A safetensors file that knows its own hash.

The idea: such a file is a length, a JSON header and the tensors' bytes. It is written here a
tensor at a time, so that a cache on its way to disk is never held twice, and its last tensor,
"sha256", is the hash of every byte before it. It is read in one pass too: what was hashed is
what is returned, whatever happens to the file meanwhile. Any safetensors reader opens it.
What this module does not know: what the document and the tensors mean.
"""

import hashlib
import json
import math
from collections.abc import Callable, Mapping
from io import BufferedReader, BufferedWriter
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from retake.core.errors import MemoryFileError

#: The metadata's one key; its value is a JSON document.
KEY = "retake"
_HASH = "sha256"
_HASH_BYTES = 32
_MOST_HEADER = 100_000_000  # bytes; more is refused by safetensors too
_AGAIN = "Fetch it again, or make it anew: retake watch VIDEO -o FILE."
_MAKE = "retake watch VIDEO -o FILE makes one."
_DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "I64": torch.int64,
    "I8": torch.int8,
    "U8": torch.uint8,
}
_NAMES = {dtype: name for name, dtype in _DTYPES.items()}

Entry = tuple[str, list[int]]


def damaged(path: Path, reason: str) -> MemoryFileError:
    """The error for a file that was a memory once."""
    return MemoryFileError(f"The memory '{path}' cannot be used: {reason}.", hint=_AGAIN)


def _strange(path: Path, reason: str) -> MemoryFileError:
    """The error for a file that is something else."""
    return MemoryFileError(f"'{path}' is no memory of retake: {reason}.", hint=_MAKE)


def write(file: BufferedWriter, document: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
    """Write a document and tensors.

    Args:
        file: empty.
        document: plain data.
        tensors: of any device and stride; those with the widest elements first, so that each
            starts where its dtype may be read in place.
    """
    header = _header(document, tensors)
    digest = hashlib.sha256()

    def put(held: bytes | memoryview) -> None:
        digest.update(held)
        file.write(held)

    put(len(header).to_bytes(8, "little"))
    put(header)
    for tensor in tensors.values():
        put(_bytes_of(tensor.detach().cpu().contiguous()))
    file.write(digest.digest())


def _header(document: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> bytes:
    """The JSON header, filled up with spaces to a multiple of 8 bytes."""
    # ASCII, so that a path that is no valid Unicode does not make the header invalid.
    text = json.dumps(document, allow_nan=False)
    table: dict[str, Any] = {"__metadata__": {KEY: text}}
    entries: dict[str, Entry] = {
        name: (_NAMES[tensor.dtype], list(tensor.shape)) for name, tensor in tensors.items()
    }
    start = 0
    for name, (dtype, shape) in {**entries, _HASH: ("U8", [_HASH_BYTES])}.items():
        end = start + _nbytes(dtype, shape)
        table[name] = {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}
        start = end
    header = json.dumps(table, separators=(",", ":")).encode()
    return header + b" " * (-len(header) % 8)


def _nbytes(dtype: str, shape: list[int]) -> int:
    return math.prod(shape) * _DTYPES[dtype].itemsize


def _bytes_of(tensor: Tensor) -> memoryview:
    """The bytes of a contiguous tensor on the CPU, not copied."""
    # Of one element or none, a tensor is contiguous whatever its strides say.
    flat = tensor.as_strided((tensor.numel(),), (1,))
    return flat.view(torch.uint8).numpy().data


def read(
    path: Path, accept: Callable[[dict[str, Any]], None]
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The document and the tensors of a file, on the CPU.

    Args:
        path: the file.
        accept: called with the document before any tensor is read; raises to refuse it.

    Raises:
        MemoryFileError: the file is missing, unreadable, something else, cut short or changed.
    """
    with _reading(path) as file:
        try:
            head, table = _read_header(file, path)
            document = _document(table, path)
            accept(document)
            entries = _entries(table, path, _size(file) - len(head))
            digest = hashlib.sha256(head)
            tensors = {}
            for name, (dtype, shape) in entries.items():
                tensors[name] = torch.empty(shape, dtype=_DTYPES[dtype])
                held = _bytes_of(tensors[name])
                if file.readinto(held) != len(held):
                    raise damaged(path, "it became shorter while it was read")
                if name != _HASH:
                    digest.update(held)
        except OSError as error:
            raise MemoryFileError(f"Cannot read the memory '{path}': {error.strerror}.") from error
    if bytes(_bytes_of(tensors.pop(_HASH))) != digest.digest():
        raise damaged(path, "its content does not match its hash: it was changed or damaged")
    return document, tensors


def read_document(path: Path) -> dict[str, Any]:
    """The document of a file, of whatever version, not compared with the hash.

    Raises:
        MemoryFileError: there is no such file, or it is no memory.
    """
    with _reading(path) as file:
        try:
            return _document(_read_header(file, path)[1], path)
        except OSError as error:
            raise MemoryFileError(f"Cannot read the memory '{path}': {error.strerror}.") from error


def _reading(path: Path) -> BufferedReader:
    try:
        # Opening a pipe would wait for whoever writes to it.
        if path.exists() and not path.is_file():
            raise _strange(path, "it is a folder" if path.is_dir() else "it is no regular file")
        return path.open("rb")
    except FileNotFoundError:
        raise MemoryFileError(f"There is no memory at '{path}'.", hint=_MAKE) from None
    except OSError as error:
        raise MemoryFileError(f"Cannot open the memory '{path}': {error.strerror}.") from error


def _size(file: BufferedReader) -> int:
    """Bytes of an open file; where it stands does not change."""
    place = file.tell()
    size = file.seek(0, 2)
    file.seek(place)
    return size


def _read_header(file: BufferedReader, path: Path) -> tuple[bytes, dict[str, Any]]:
    """The file's bytes up to the first tensor, and the header in them."""
    size = _size(file)
    start = file.read(9)
    length = int.from_bytes(start[:8], "little")
    if size == 0:
        raise _strange(path, "it is empty")
    if len(start) < 9 or length > _MOST_HEADER or start[8:] != b"{":
        raise _strange(path, "it does not begin like a safetensors file")
    if size < 8 + length:
        raise damaged(path, f"it is cut short within its header, at {size:,} bytes")
    head = start + file.read(length - 1)
    try:
        table = json.loads(head[8:])
    except (ValueError, RecursionError):
        raise damaged(path, "its header is damaged") from None
    return head, table


def _document(table: dict[str, Any], path: Path) -> dict[str, Any]:
    metadata = table.get("__metadata__")
    if not isinstance(metadata, dict) or not isinstance(metadata.get(KEY), str):
        raise _strange(path, "it is a safetensors file of something else")
    try:
        document = json.loads(metadata[KEY])
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise damaged(path, "its document is no JSON object")
    return document


def _entries(table: dict[str, Any], path: Path, available: int) -> dict[str, Entry]:
    """Name, dtype and shape of every tensor in the order of their bytes, all checked."""
    entries: dict[str, Entry] = {}
    start = 0
    for name, entry in table.items():
        if name == "__metadata__":
            continue
        if not _sound(entry, start):
            raise damaged(path, f"its entry for the tensor '{name}' is wrong")
        entries[name] = (entry["dtype"], entry["shape"])
        start = entry["data_offsets"][1]
    if entries.get(_HASH) != ("U8", [_HASH_BYTES]) or next(reversed(entries)) != _HASH:
        raise damaged(path, f"it does not end in its hash, the tensor '{_HASH}'")
    if start > available:
        raise damaged(path, f"it is cut short: {start - available:,} bytes are missing")
    if start < available:
        raise damaged(path, f"it has {available - start:,} bytes too many")
    return entries


def _sound(entry: Any, start: int) -> bool:
    """Whether an entry describes a tensor whose bytes begin at `start`."""
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        return False
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in _DTYPES or not isinstance(shape, list):
        return False
    if not all(type(side) is int and side >= 0 for side in shape):
        return False
    if math.prod(filter(None, shape)) * 8 >= 2**63:
        return False
    return bool(offsets == [start, start + _nbytes(dtype, shape)])
