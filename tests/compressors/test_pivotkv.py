"""PivotKV: what it scores, what a pivot is worth, and which options it takes."""

from typing import Any

import attrs
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from retake.compressors.none import NoCompression
from retake.compressors.pivotkv import PivotKV
from retake.core.kv import KVChunk
from tests.compressors.making import make_chunk


def _chunk(count: int, seed: int = 0, pivots: set[int] | None = None) -> KVChunk:
    flags = torch.zeros(count, dtype=torch.bool)
    flags[torch.tensor(sorted(pivots or ()), dtype=torch.long)] = True
    return attrs.evolve(make_chunk(count, seed=seed), pivots=flags)


def test_score_is_the_attention_received() -> None:
    """A key's softmax weight over the chunk, not causal: summed over queries, mean over heads."""
    chunk = _chunk(9)
    keys = chunk.keys.repeat_interleave(2, dim=0)
    weights = (chunk.queries @ keys.transpose(1, 2) * chunk.scaling).softmax(-1)
    scores = PivotKV().score(chunk)
    torch.testing.assert_close(scores, weights.sum(1).mean(0))
    torch.testing.assert_close(scores.mean(), torch.tensor(1.0))


@given(st.integers(1, 30), st.data())
def test_pivots_first(count: int, data: st.DataObject) -> None:
    """As the paper says: pivots before all others; too many of them, the best-scored."""
    pivots = data.draw(st.sets(st.integers(0, count - 1)))
    keep = data.draw(st.integers(1, count))
    chunk = _chunk(count, 1, pivots)
    compressor = PivotKV()
    scores = compressor.score(chunk)
    kept = compressor.compress(chunk, keep)
    order = sorted(range(count), key=lambda at: (at not in pivots, -float(scores[at]), at))
    assert kept.tolist() == sorted(order[:keep])


@given(st.integers(1, 30), st.floats(-1.0, 3.0), st.data())
def test_pivots_for_a_number(count: int, value: float, data: st.DataObject) -> None:
    """As the published code does: a pivot's score is replaced, and it may lose."""
    pivots = data.draw(st.sets(st.integers(0, count - 1)))
    keep = data.draw(st.integers(1, count))
    chunk = _chunk(count, 1, pivots)
    compressor = PivotKV(pivot_score=value)
    scores = [float(score) for score in compressor.score(chunk)]
    narrow = float(torch.tensor(value))
    marked = [narrow if at in pivots else score for at, score in enumerate(scores)]
    kept = compressor.compress(chunk, keep)
    order = sorted(range(count), key=lambda at: (-marked[at], at))
    assert kept.tolist() == sorted(order[:keep])


def test_the_published_pivot_score_can_lose() -> None:
    """With 1.0, an average token's score, a token attended to more is kept before a pivot."""
    chunk = _chunk(12)
    scores = PivotKV().score(chunk)
    weakest, best = int(scores.argmin()), int(scores.argmax())
    chunk = attrs.evolve(chunk, pivots=torch.arange(12) == weakest)
    assert PivotKV().compress(chunk, 1).tolist() == [weakest]
    assert PivotKV(pivot_score=1.0).compress(chunk, 1).tolist() == [best]


@pytest.mark.parametrize("value", ["last", "1.0", True, None, [1.0]])
def test_bad_pivot_score(value: Any) -> None:
    """Anything but "first" and a number is refused by name."""
    with pytest.raises(ValueError, match="pivot_score must be 'first' or a number"):
        PivotKV(pivot_score=value)


def test_one_token() -> None:
    """A chunk of one token keeps it."""
    assert PivotKV().compress(_chunk(1), 1).tolist() == [0]
    assert PivotKV(pivot_score=1.0).compress(_chunk(1, pivots={0}), 1).tolist() == [0]


def test_it_changes_nothing_and_repeats() -> None:
    """The chunk stays as it was, and so does the choice."""
    chunk = _chunk(15, pivots={3, 9})
    before = chunk.queries.clone(), chunk.keys.clone(), chunk.pivots.clone()
    first, second = (PivotKV().compress(chunk, 6) for _ in range(2))
    assert torch.equal(first, second)
    after = chunk.queries, chunk.keys, chunk.pivots
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


def test_none_never_evicts() -> None:
    """It takes no budget; asked all the same, it keeps the earliest."""
    assert not NoCompression.evicts
    assert PivotKV.evicts
    assert NoCompression().compress(_chunk(5), 5).tolist() == [0, 1, 2, 3, 4]
    assert NoCompression().compress(_chunk(5), 2).tolist() == [0, 1]
