"""InfiniPot-V: redundancy in time, value norms, and how they share the room."""

from typing import Any

import attrs
import pytest
import torch
import torch.nn.functional as F

from retake.compressors.infinipot_v import InfiniPotV
from retake.core.kv import KVChunk
from tests.compressors.making import PLACES, make_chunk


def _frames(frames: int, **given: Any) -> KVChunk:
    """A cache of whole frames, of which the last has queries."""
    size = frames * PLACES
    return make_chunk(
        size,
        newest=PLACES,
        pivots=0,
        numbers=torch.arange(size),
        **{"rows": torch.arange(size) // PLACES, "patches": torch.arange(size) % PLACES, **given},
    )


def _plain(chunk: KVChunk, recent: set[int]) -> list[float]:
    """Minus the mean cosine to the recent keys at the same place, the mean over heads."""
    wanted = []
    for at in range(len(chunk)):
        at_place = [i for i in sorted(recent) if chunk.patches[i] == chunk.patches[at]]
        alike = [
            float(F.cosine_similarity(head[at], head[i], dim=0))
            for head in chunk.keys
            for i in at_place
        ]
        wanted.append(-sum(alike) / len(alike) if alike else 0.0)
    return wanted


@pytest.mark.parametrize("given", [{"newest": 8}, {"newest": 20}, {"newest": 40}, {"newest": 1}])
def test_score(given: dict[str, int]) -> None:
    """Earlier pairs by the formula, whatever places are left of each frame; newer ones ahead."""
    chunk = make_chunk(40, **given)
    boundary = int(chunk.rows[40 - 10 - 1])
    recent = {i for i in range(40) if chunk.rows[i] > boundary}
    assert 0 < len(recent) <= 10
    scores = InfiniPotV().score(chunk)
    wanted = _plain(chunk, recent)
    for at in set(range(40)) - recent:
        torch.testing.assert_close(float(scores[at]), wanted[at], atol=1e-6, rtol=1e-5)
    newer = scores[sorted(recent)]
    assert (newer > 1).all()
    assert (newer.diff() > 0).all()


@pytest.mark.parametrize(
    ("rows", "recent", "first"),
    [
        # a quarter of eight pairs: the last frame of two
        ([0, 0, 1, 1, 2, 2, 3, 3], 0.25, 6),
        # three of eight: still one whole frame
        ([0, 0, 1, 1, 2, 2, 3, 3], 0.4, 6),
        ([0, 0, 1, 1, 2, 2, 3, 3], 0.5, 4),
        # the newest frame counts whole, however large
        ([0, 1, 1, 1, 1, 1, 1, 1], 0.25, 1),
        ([0, 0, 0, 0, 0, 0, 0, 0], 0.25, 0),
        ([0, 0, 1, 1, 2, 2, 3, 3], 0.0, 6),
        ([0, 0, 1, 1, 2, 2, 3, 3], 1.0, 0),
    ],
)
def test_newest_frames(rows: list[int], recent: float, first: int) -> None:
    """As many whole frames as fit, and one at least."""
    chunk = make_chunk(8, rows=torch.tensor(rows), patches=torch.arange(8))
    scores = InfiniPotV(recent=recent).score(chunk)
    assert (scores > 1).tolist() == [at >= first for at in range(8)]


def test_what_moves_is_kept() -> None:
    """In a still scene the one place that once looked otherwise survives."""
    still = torch.randn(2, PLACES, 8).repeat(1, 8, 1)
    keys = still + 0.05 * torch.randn(2, 8 * PLACES, 8)
    keys[:, 2 * PLACES + 1] *= -1
    chunk = _frames(8, keys=keys, values=torch.ones(2, 8 * PLACES, 8))
    kept = InfiniPotV(temporal=1.0, recent=0.125).compress(chunk, PLACES + 1)
    assert kept.tolist() == [2 * PLACES + 1, *range(7 * PLACES, 8 * PLACES)]


def test_large_values_are_kept() -> None:
    """Of the room for values the largest take it, among what redundancy left over."""
    chunk = _frames(8)
    chunk.values[:, [5, 13, 30]] *= 50
    # Four places go to the newest frame, which holds one of the three.
    kept = InfiniPotV(temporal=2 / 3, recent=0.125).compress(chunk, 6)
    assert kept.tolist() == [5, 13, 28, 29, 30, 31]
    assert InfiniPotV(temporal=0).compress(chunk, 3).tolist() == [5, 13, 30]


@pytest.mark.parametrize(
    ("temporal", "count", "distinct"), [(0.5, 10, 5), (0.3, 10, 3), (1, 10, 10)]
)
def test_shares(temporal: float, count: int, distinct: int) -> None:
    """So many by redundancy, the rest by value."""
    chunk = _frames(8)
    scores = InfiniPotV(temporal=temporal).score(chunk)
    kept = set(InfiniPotV(temporal=temporal).compress(chunk, count).tolist())
    ahead = set(scores.topk(distinct).indices.tolist())
    assert ahead <= kept
    values = chunk.values.norm(dim=-1).mean(0)
    by_value = sorted(set(range(32)) - ahead, key=lambda at: -float(values[at]))
    assert kept == ahead | set(by_value[: count - distinct])


def test_pivots_share_by_the_same_rule() -> None:
    """More pivots than room: half by redundancy, half by value."""
    chunk = attrs.evolve(_frames(8), pivots=torch.arange(32) < 16)
    kept = InfiniPotV().compress(chunk, 6).tolist()
    scores, values = InfiniPotV().score(chunk)[:16], chunk.values.norm(dim=-1).mean(0)[:16]
    ahead = scores.topk(3).indices
    values[ahead] = -1
    assert kept == sorted([*ahead.tolist(), *values.topk(3).indices.tolist()])


def test_equal_values_go_to_the_earlier() -> None:
    """Where values say nothing, the earliest of what redundancy left over stay."""
    chunk = _frames(8, values=torch.zeros(2, 32, 8))
    assert InfiniPotV(temporal=0).compress(chunk, 3).tolist() == [0, 1, 2]
    ahead = InfiniPotV().score(chunk).topk(5).indices.tolist()
    left = [at for at in range(32) if at not in ahead]
    assert InfiniPotV().compress(chunk, 10).tolist() == sorted(ahead + left[:5])
