"""The format of memory files: what is written is read, and whatever was changed is refused."""

import json
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
import safetensors
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from retake.core.arena import ASKING_ROOM
from retake.core.errors import MemoryFileError
from retake.core.memory import VideoMemory
from retake.core.memory_file import FORMAT, container, load_memory, on_device
from tests.core.memories import KEPT, small_memory


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """The small memory's file."""
    return small_memory().save(tmp_path / "small.retake")


def refused(path: Path) -> MemoryFileError:
    """The one error that loading must end in."""
    caught = None
    try:  # pytest.raises takes too long for thousands of them
        load_memory(path)
    except MemoryFileError as error:
        caught = error
    assert caught is not None
    assert caught.exit_code == 1
    assert str(path) in caught.message
    assert len(caught.message) < 400
    assert caught.hint
    return caught


def reseal(path: Path, change: Callable[[dict[str, Any], dict[str, torch.Tensor]], None]) -> None:
    """Write a file anew with something changed and the hash right: made with intent."""
    document, tensors = container.read(path, lambda _: None)
    change(document, tensors)
    with path.open("wb") as file:
        container.write(file, document, tensors)


@pytest.mark.parametrize(
    "dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64], ids=str
)
def test_everything_comes_back(tmp_path: Path, dtype: torch.dtype) -> None:
    """Every field and every bit, in layers of different lengths."""
    memory = small_memory(dtype)
    loaded = load_memory(memory.save(tmp_path / "m.retake"))
    for field in attrs.fields(VideoMemory):
        if field.name not in ("cache", "kept"):
            assert getattr(loaded, field.name) == getattr(memory, field.name), field.name
    assert [kept.tolist() for kept in loaded.kept] == [list(kept) for kept in KEPT]
    assert all(kept.dtype == np.int64 for kept in loaded.kept)
    for old, new in zip(memory.cache.layers, loaded.cache.layers, strict=True):
        # With room behind, so that asking copies nothing.
        assert (new.length, new.room, new.axes) == (old.length, old.length + ASKING_ROOM, 3)
        assert torch.equal(new.cached_positions(), old.cached_positions())
        for name in ("keys", "values"):
            got, held = (
                getattr(layer, name)[:, :, : old.length].contiguous() for layer in (new, old)
            )
            assert got.dtype == dtype
            assert torch.equal(got.view(torch.uint8), held.view(torch.uint8))


def test_memory_of_a_stream(tmp_path: Path) -> None:
    """Frames that came from no file: what is not known stays unknown."""
    memory = attrs.evolve(small_memory(), video=None, frames=None, source=None, costs=())
    loaded = load_memory(memory.save(tmp_path / "m.retake"))
    assert (loaded.video, loaded.frames, loaded.source, loaded.costs) == (None, None, None, ())


def test_device(saved: Path) -> None:
    """Every tensor of the cache goes where the model is; a memory that is there stays itself."""
    loaded = load_memory(saved)
    assert on_device(loaded, torch.device("cpu")) is loaded
    for moved in (load_memory(saved, "meta"), on_device(loaded, "meta")):
        assert moved.cache.lengths() == loaded.cache.lengths()
        for layer in moved.cache.layers:
            held = (layer.keys, layer.values, layer.positions)
            assert {tensor.device.type for tensor in held} == {"meta"}


def test_same_memory_same_bytes(tmp_path: Path) -> None:
    """Saving twice, and saving what was loaded, gives the same file."""
    memory = small_memory()
    one, two, three = (tmp_path / name for name in "abc")
    memory.save(one)
    memory.save(two)
    load_memory(one).save(three)
    assert one.read_bytes() == two.read_bytes() == three.read_bytes()


def test_safetensors_reads_it(saved: Path) -> None:
    """It is a plain safetensors file: names, shapes, values and the document are there."""
    memory = small_memory()
    with safetensors.safe_open(saved, "pt") as file:
        document = json.loads(file.metadata()["retake"])
        assert len(file.keys()) == 4 * len(KEPT) + 1
        for number, layer in enumerate(memory.cache.layers):
            found = file.get_tensor(f"layers.{number}.values")
            assert torch.equal(found, layer.values[:, :, : layer.length])
    assert document["format"] == FORMAT
    assert document["frames"]["indices"] == [0, 3, 6]


def test_only_pairs_held_are_stored(tmp_path: Path) -> None:
    """Not the room behind them."""
    small, large = small_memory(), small_memory()
    for layer in large.cache.layers:
        layer._move(5000)
    sizes = {m.save(tmp_path / "m.retake").stat().st_size for m in (small, large)}
    assert len(sizes) == 1


def test_options_that_json_lacks_are_told(tmp_path: Path) -> None:
    """A part of one's own may have any options; they do not keep a memory from being saved."""
    options = {"name": "./mine.py:Mine", "options": {"at": math.inf, "of": {1}, "as": (1, 2)}}
    loaded = load_memory(small_memory(compressor=options).save(tmp_path / "m.retake"))
    assert loaded.config["compressor"]["options"] == {"at": "inf", "of": "{1}", "as": [1, 2]}


# Whatever was changed is refused.


def test_cut_short_anywhere(saved: Path) -> None:
    """Every shorter file is refused."""
    whole = saved.read_bytes()
    for length in range(len(whole)):
        saved.write_bytes(whole[:length])
        refused(saved)


def test_a_bit_of_every_byte(saved: Path) -> None:
    """One bit changed anywhere is found."""
    whole = saved.read_bytes()
    for place in range(len(whole)):
        changed = bytearray(whole)
        changed[place] ^= 1 << place % 8
        saved.write_bytes(changed)
        refused(saved)


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_other_changes(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """Bytes replaced, put in, taken out, put on: all found."""
    folder = tmp_path_factory.getbasetemp() / "changes"
    folder.mkdir(exist_ok=True)
    whole = small_memory().save(folder / "whole.retake").read_bytes()
    start = data.draw(st.integers(0, len(whole)))
    stop = data.draw(st.integers(start, min(len(whole), start + 64)))
    changed = whole[:start] + data.draw(st.binary(max_size=64)) + whole[stop:]
    if changed == whole:
        return
    path = folder / "changed.retake"
    path.write_bytes(changed)
    refused(path)


@settings(max_examples=200, deadline=None)
@given(content=st.binary(max_size=300))
def test_any_other_file(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    """Bytes that are no memory, also where they begin like one."""
    path = tmp_path_factory.getbasetemp() / "other.retake"
    for start in (b"", (len(content) // 2).to_bytes(8, "little") + b"{"):
        path.write_bytes(start + content)
        refused(path)


def test_what_is_no_memory(tmp_path: Path) -> None:
    """Each kind of mistake has its own message."""
    path = tmp_path / "m.retake"
    assert "There is no memory" in refused(path).message
    path.write_bytes(b"")
    assert "it is empty" in refused(path).message
    path.write_text("a text that is long enough to be something")
    assert "does not begin like a safetensors file" in refused(path).message
    save_file({"weight": torch.zeros(3)}, path, {"format": "pt"})
    assert "safetensors file of something else" in refused(path).message
    path.unlink()
    path.mkdir()
    assert "it is a folder" in refused(path).message
    path.rmdir()
    os.mkfifo(path)
    assert "no regular file" in refused(path).message


def test_newer_format(saved: Path) -> None:
    """A file of a later retake says so, also where that one has another kind of hash."""
    whole = saved.read_bytes()
    saved.write_bytes(whole.replace(b"retake.memory/1", b"retake.memory/2"))
    error = refused(saved)
    assert "made by a newer retake" in error.message
    assert "Upgrade" in str(error.hint)
    saved.write_bytes(whole.replace(b"retake.memory/1", b"retake.memory/0"))
    assert "its format is 'retake.memory/0'" in refused(saved).message


def _set(*path: Any, to: Any) -> Callable[..., None]:
    def change(document: dict[str, Any], tensors: dict[str, torch.Tensor]) -> None:
        *parents, last = path
        place: Any = document
        for key in parents:
            place = place[key]
        place[last] = to

    return change


def _drop(*path: Any) -> Callable[..., None]:
    def change(document: dict[str, Any], tensors: dict[str, torch.Tensor]) -> None:
        *parents, last = path
        place: Any = document
        for key in parents:
            place = place[key]
        del place[last]

    return change


def _tensor(name: str, made: Callable[[torch.Tensor], torch.Tensor]) -> Callable[..., None]:
    def change(document: dict[str, Any], tensors: dict[str, torch.Tensor]) -> None:
        tensors[name] = made(tensors[name])

    return change


@pytest.mark.parametrize(
    ("says", "change"),
    [
        ("document is wrong", _drop("next_position")),
        ("document is wrong", _drop("compression", "budget")),
        ("document is wrong", _set("extra", to=1)),
        ("document is wrong", _set("frames", "extra", to=1)),
        ("document is wrong", _set("next_position", to="17")),
        ("document is wrong", _set("next_position", to=True)),
        ("document is wrong", _set("frames", "indices", to=[0, 1.5, 2])),
        ("document is wrong", _set("frames", "size", to=[28])),
        ("document is wrong", _set("costs", to=None)),
        ("document is wrong", _set("config", to=[])),
        ("configuration is wrong", _set("config", "vidio", to={})),
        ("configuration is wrong", _set("config", "video", "fps", to="fast")),
        ("configuration is wrong", _set("config", "prefill", "positions", to="sideways")),
        ("format is None", _drop("format")),
        ("its frames and their times", _set("frames", "timestamps", to=[0.0])),
        ("not of the same layers", _set("compression", "pivots_kept", to=[1])),
        ("not of the same layers", _set("compression", "tokens_kept", to=[])),
        ("counts of tokens are wrong", _set("next_position", to=-1)),
        ("'layers.0.positions' is", _set("compression", "text_tokens", to=1)),
        ("'layers.1.positions' is", _set("compression", "tokens_kept", to=[3, 3, 0])),
        ("dtype 'float3' is none", _set("config", "model", "dtype", to="float3")),
        ("dtype 32 is none", _set("config", "model", "dtype", to=32)),
        ("'layers.0.keys' is torch.float32", _set("config", "model", "dtype", to="bfloat16")),
        ("'layers.0.kept' holds no asc", _set("compression", "tokens_selected", to=3)),
        ("'layers.1.keys' is missing", lambda _, tensors: tensors.pop("layers.1.keys")),
        ("'more', which no memory has", lambda _, t: t.update(more=torch.zeros(1))),
        ("'layers.0.keys' is", _tensor("layers.0.keys", lambda t: t[:, :, 1:])),
        ("'layers.0.keys' is", _tensor("layers.0.keys", lambda t: t[0])),
        ("'layers.0.keys' is", _tensor("layers.0.keys", lambda t: t.double())),
        ("'layers.0.values' is", _tensor("layers.0.values", lambda t: t[:, :1])),
        ("'layers.1.positions' is", _tensor("layers.1.positions", lambda t: t[:2])),
        ("'layers.0.kept' holds no asc", _tensor("layers.0.kept", lambda t: t.flip(0))),
        ("'layers.0.kept' holds no asc", _tensor("layers.0.kept", lambda t: t - 1)),
    ],
)  # fmt: skip
def test_made_with_intent(saved: Path, says: str, change: Callable[..., None]) -> None:
    """A right hash does not make what contradicts itself acceptable."""
    reseal(saved, change)
    assert says in refused(saved).message


def _header(path: Path, table: dict[str, Any], body: bytes) -> None:
    """A file of that header and body."""
    text = json.dumps(table).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + body)


@pytest.mark.parametrize(
    "entry",
    [
        {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]},
        {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]},
        {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]},
        {"dtype": "F32", "shape": [0, 2**62, 2**62], "data_offsets": [0, 0]},
        {"dtype": "F32", "shape": [10**400], "data_offsets": [0, 4 * 10**400]},
        {"dtype": "F32", "shape": [True], "data_offsets": [0, 4]},
        {"dtype": "X9", "shape": [1], "data_offsets": [0, 4]},
        {"dtype": ["F32"], "shape": [1], "data_offsets": [0, 4]},
        {"dtype": "F32", "shape": 1, "data_offsets": [0, 4]},
        {"dtype": "F32", "shape": [1]},
        "keys",
        None,
    ],
    ids=repr,
)
def test_entries_that_lie(tmp_path: Path, entry: Any) -> None:
    """A header that promises what is not there is refused before anything is allocated."""
    path = tmp_path / "m.retake"
    document = json.dumps({"format": FORMAT})
    _header(path, {"__metadata__": {"retake": document}, "keys": entry}, bytes(64))
    assert "entry for the tensor 'keys' is wrong" in refused(path).message


@pytest.mark.parametrize(
    ("metadata", "says"),
    [
        (None, "something else"),
        ([], "something else"),
        ({"retake": 1}, "something else"),
        ({"retake": "["}, "no JSON object"),
        ({"retake": "[]"}, "no JSON object"),
        ({"retake": "[" * 100_000}, "no JSON object"),
        ({"retake": json.dumps({"format": ["retake.memory/1"]})}, "its format is"),
        ({"retake": json.dumps({"format": FORMAT})}, "does not end in its hash"),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_metadata_that_is_none(tmp_path: Path, metadata: Any, says: str) -> None:
    """Valid safetensors headers with another content."""
    path = tmp_path / "m.retake"
    _header(path, {"__metadata__": metadata}, b"")
    assert says in refused(path).message
