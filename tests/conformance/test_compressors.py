"""What every registered compressor must do, whatever its method."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from retake import KVChunk, KVCompressor, compressors
from retake.backends.cpu import CPU

NAMES = compressors.names()


def _chunk(
    count: int, *, pivots: float = 0.3, seed: int = 0, dtype: torch.dtype = torch.float32
) -> KVChunk:
    made = torch.Generator().manual_seed(seed)

    def draw(heads: int, length: int) -> torch.Tensor:
        return torch.randn(heads, length, 8, generator=made).to(dtype)

    return KVChunk(
        layer=1,
        layers=3,
        queries=draw(4, count),
        keys=draw(2, count),
        values=draw(2, count),
        positions=torch.arange(count).expand(3, -1),
        pivots=torch.rand(count, generator=made) < pivots,
        scaling=8**-0.5,
        backend=CPU(),
        past_keys=draw(2, 5),
        past_values=draw(2, 5),
    )


def _tensors(chunk: KVChunk) -> list[torch.Tensor]:
    values: list[Any] = [getattr(chunk, name) for name in KVChunk.__slots__ if name[0] != "_"]
    return [value.clone() for value in values if isinstance(value, torch.Tensor)]


@pytest.mark.parametrize("name", NAMES)
@given(count=st.integers(1, 40), share=st.floats(0, 1), pivots=st.floats(0, 1))
@settings(max_examples=40, deadline=None)
def test_keeps_exactly_as_many_as_asked(name: str, count: int, share: float, pivots: float) -> None:
    """Any number from 1 to all is met exactly, by distinct indices in ascending order."""
    chunk = _chunk(count, pivots=pivots)
    asked = max(1, int(share * count))
    kept = compressors.get(name)().compress(chunk, asked)
    assert kept.shape == (asked,)
    assert kept.dtype == torch.int64
    assert (kept.diff() > 0).all()
    assert kept[0] >= 0
    assert kept[-1] < count


@pytest.mark.parametrize("name", NAMES)
@given(asked=st.integers(1, 30), pivots=st.floats(0, 1))
@settings(max_examples=25, deadline=None)
def test_pivots_come_first(name: str, asked: int, pivots: float) -> None:
    """No other pair is kept while a pivot is evicted."""
    chunk = _chunk(30, pivots=pivots)
    kept = torch.zeros(30, dtype=torch.bool)
    kept[compressors.get(name)().compress(chunk, asked)] = True
    if (chunk.pivots & ~kept).any():
        assert not (kept & ~chunk.pivots).any()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_repeats_itself_and_changes_nothing(name: str, dtype: torch.dtype) -> None:
    """The same chunk gives the same indices, and is left as it was."""
    chunk = _chunk(25, dtype=dtype)
    before = _tensors(chunk)
    compressor = compressors.get(name)()
    first = compressor.compress(chunk, 9)
    compressor.compress(_chunk(12, seed=1), 5)
    assert torch.equal(first, compressor.compress(chunk, 9))
    assert all(torch.equal(a, b) for a, b in zip(before, _tensors(chunk), strict=True))


@pytest.mark.parametrize("name", NAMES)
def test_higher_scores_are_kept(name: str) -> None:
    """Without pivots, no evicted pair has a higher score than a kept one."""
    chunk = _chunk(25, pivots=0)
    compressor = compressors.get(name)()
    scores = compressor.score(chunk)
    kept = compressor.compress(chunk, 10)
    evicted = torch.ones(25, dtype=torch.bool)
    evicted[kept] = False
    assert scores[kept].min() >= scores[evicted].max()


@pytest.mark.parametrize("name", NAMES)
def test_it_says_what_it_is(name: str) -> None:
    """Every compressor has a docstring of its own."""
    cls = compressors.get(name)
    assert cls.__doc__
    assert cls.__doc__ != KVCompressor.__doc__
