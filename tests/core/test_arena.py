"""The KV arena: written at its end, compacted in place, never changed by its forks."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from retake.core.arena import ArenaCache, ArenaLayer


def _pairs(count: int, seed: int = 0, batch: int = 1) -> tuple[Tensor, Tensor]:
    torch.manual_seed(seed)
    return torch.randn(batch, 2, count, 4), torch.randn(batch, 2, count, 4)


def _write(layer: ArenaLayer, count: int, seed: int = 0, batch: int = 1) -> tuple[Tensor, Tensor]:
    keys, values = _pairs(count, seed, batch)
    layer.expect(torch.arange(layer.length, layer.length + count).expand(layer.axes, -1))
    layer.update(keys, values)
    return keys, values


def _held(layer: ArenaLayer) -> list[Tensor]:
    return [
        layer.keys[:, :, : layer.length].clone(),
        layer.values[:, :, : layer.length].clone(),
        layer.cached_positions().clone(),
    ]


def _same(before: list[Tensor], after: list[Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


def test_update_appends_and_returns_all() -> None:
    """Pairs stand in the order in which they came, and views of all are returned."""
    layer = ArenaLayer(room=8, axes=3)
    first = _write(layer, 3, seed=1)
    keys, values = _pairs(2, seed=2)
    layer.expect(torch.tensor([[3, 3]] * 3))
    all_keys, all_values = layer.update(keys, values)
    assert torch.equal(all_keys, torch.cat((first[0], keys), dim=2))
    assert torch.equal(all_values, torch.cat((first[1], values), dim=2))
    assert all_keys.data_ptr() == layer.keys.data_ptr()
    assert layer.cached_positions().tolist() == [[0, 1, 2, 3, 3]] * 3
    assert layer.get_seq_length() == layer.length == 5
    assert layer.get_mask_sizes(4) == (9, 0)
    assert layer.get_max_length() == -1


def test_update_needs_positions() -> None:
    """Pairs without announced positions are refused, each time."""
    layer = ArenaLayer(room=8, axes=1)
    with pytest.raises(RuntimeError, match="expect"):
        layer.update(*_pairs(2))
    _write(layer, 2)
    with pytest.raises(RuntimeError, match="expect"):
        layer.update(*_pairs(2))


@given(st.integers(0, 6), st.integers(1, 7), st.data())
def test_compaction_is_in_place(past: int, count: int, data: st.DataObject) -> None:
    """What is kept moves together behind the past, in the same memory."""
    layer = ArenaLayer(room=13, axes=2)
    if past:
        _write(layer, past, seed=1)
    _, values = _write(layer, count, seed=2)
    before = _held(layer)
    places = [layer.keys.data_ptr(), layer.values.data_ptr(), layer.positions.data_ptr()]
    kept = torch.tensor(sorted(data.draw(st.sets(st.integers(0, count - 1)))), dtype=torch.int64)
    turned = torch.randn(1, 2, len(kept), 4)
    positions = torch.arange(2 * len(kept)).reshape(2, -1)
    layer.compact(count, kept, turned, positions)
    assert layer.length == past + len(kept)
    assert places == [layer.keys.data_ptr(), layer.values.data_ptr(), layer.positions.data_ptr()]
    assert layer.keys.shape[2] == 13
    after = _held(layer)
    assert torch.equal(after[0], torch.cat((before[0][:, :, :past], turned), dim=2))
    kept_values = torch.cat((before[1][:, :, :past], values[:, :, kept]), dim=2)
    assert torch.equal(after[1], kept_values)
    assert torch.equal(after[2], torch.cat((before[2][:, :past], positions), dim=1))


def test_no_growth_within_the_room() -> None:
    """Chunks that are compacted fit the room they were promised: nothing is allocated again."""
    layer = ArenaLayer(room=2 + 3 + 6, axes=1)
    _write(layer, 2)
    place = layer.keys.data_ptr()
    for number in range(4):
        keys, _ = _write(layer, 6, seed=number)
        kept = torch.tensor([1])
        layer.compact(6, kept, keys[:, :, kept], torch.zeros(1, 1, dtype=torch.int64))
    assert layer.keys.data_ptr() == place
    assert layer.room == layer.keys.shape[2] == 11
    assert layer.length == 6


def test_growth_keeps_what_is_there() -> None:
    """Decoding past the reserved room moves to larger buffers."""
    layer = ArenaLayer(room=3, axes=1)
    written = [_write(layer, 2, seed=number) for number in range(30)]
    assert layer.length == 60
    assert layer.room >= 60
    held = _held(layer)
    assert torch.equal(held[0], torch.cat([keys for keys, _ in written], dim=2))
    assert torch.equal(held[1], torch.cat([values for _, values in written], dim=2))
    assert held[2].tolist() == [list(range(60))]


@pytest.mark.parametrize("extra", [0, 2, 50])
def test_a_fork_never_changes_its_origin(extra: int) -> None:
    """A fork reads the same pairs; what is written behind it is its own, short or long."""
    cache = ArenaCache.allocate(2, room=6, axes=3)
    for layer in cache.layers:
        _write(layer, 4)
    before = [_held(layer) for layer in cache.layers]
    with cache.forked(extra) as fork:
        assert all(_same(b, _held(layer)) for b, layer in zip(before, fork.layers, strict=True))
        for layer in fork.layers:
            _write(layer, 9, seed=7)
        assert fork.lengths() == [13, 13]
    assert cache.lengths() == [4, 4]
    assert all(_same(b, _held(layer)) for b, layer in zip(before, cache.layers, strict=True))
    with cache.forked(extra) as again:
        assert all(_same(b, _held(layer)) for b, layer in zip(before, again.layers, strict=True))


def test_two_forks_at_once_do_not_mix() -> None:
    """What one fork writes, another that is open at the same time never reads."""
    cache = ArenaCache.allocate(1, room=20, axes=1)
    _write(cache.layers[0], 4)
    with cache.forked(9) as one:
        _write(one.layers[0], 3, seed=1)
        held = _held(one.layers[0])
        with cache.forked(9) as two:
            _write(two.layers[0], 5, seed=2)
        assert _same(held, _held(one.layers[0]))
    with cache.forked(9) as later:
        assert later.layers[0].keys.data_ptr() == cache.layers[0].keys.data_ptr()


def test_a_fork_shares_memory_where_there_is_room() -> None:
    """Asking within the reserved room copies nothing."""
    cache = ArenaCache.allocate(1, room=10, axes=1)
    _write(cache.layers[0], 4)
    with cache.forked(6) as near:
        assert near.layers[0].keys.data_ptr() == cache.layers[0].keys.data_ptr()
    with cache.forked(7) as far:
        assert far.layers[0].keys.data_ptr() != cache.layers[0].keys.data_ptr()


def test_a_fork_of_an_empty_layer() -> None:
    """Nothing is held yet; the fork starts on its own."""
    cache = ArenaCache.allocate(1, room=2, axes=1)
    with cache.forked(5) as fork:
        _write(fork.layers[0], 4)
        assert cache.nbytes() == 0
        assert fork.lengths() == [4]


@pytest.mark.parametrize(
    ("rows", "act"),
    [
        ([0, 0, 0], lambda layer: layer.batch_repeat_interleave(3)),
        ([0, 0], lambda layer: layer.reorder_cache(torch.tensor([0, 0]))),
        ([0, 0], lambda layer: layer.batch_select_indices(torch.tensor([0, 0]))),
    ],
)
def test_rows_of_a_fork_are_its_own(rows: list[int], act: object) -> None:
    """Beams and returned sequences get buffers of their own; the origin keeps one row."""
    cache = ArenaCache.allocate(1, room=10, axes=1)
    _write(cache.layers[0], 4)
    before = _held(cache.layers[0])
    with cache.forked(6) as fork:
        layer = fork.layers[0]
        act(layer)  # type: ignore[operator]
        keys, _ = _write(layer, 3, seed=5, batch=len(rows))
        assert torch.equal(layer.keys[:, :, :4], before[0][rows])
        assert torch.equal(layer.keys[:, :, 4:7], keys)
        assert layer.cached_positions().tolist() == [list(range(7))]
        assert _same(before, _held(cache.layers[0]))


def test_rows_of_an_empty_layer() -> None:
    """A layer that holds nothing has no rows to choose from."""
    layer = ArenaLayer(room=4, axes=1)
    layer.batch_repeat_interleave(2)
    layer.reorder_cache(torch.tensor([0]))
    assert not layer.is_initialized
    assert layer.nbytes() == 0


def test_crop_and_reset() -> None:
    """Cropping forgets the newest tokens, as assisted decoding asks with a negative number."""
    layer = ArenaLayer(room=8, axes=1)
    _write(layer, 5)
    before = _held(layer)
    layer.crop(0)
    assert layer.length == 5
    layer.crop(-2)
    assert layer.length == 3
    assert torch.equal(layer.cached_positions(), before[2][:, :3])
    _write(layer, 1, seed=3)
    assert torch.equal(layer.keys[:, :, :3], before[0][:, :, :3])
    layer.crop(-99)
    assert layer.length == 0
    _write(layer, 2)
    layer.reset()
    assert layer.get_seq_length() == 0


def test_bytes_are_those_held() -> None:
    """What is counted is what is held, not what is reserved."""
    cache = ArenaCache.allocate(3, room=100, axes=1)
    for layer in cache.layers:
        _write(layer, 5)
    assert cache.nbytes() == 3 * 5 * 2 * (2 * 4) * 4
