"""SnapKV, H2O and TOVA: the attention keys receive, against the whole matrix at once."""

from typing import Any

import attrs
import pytest
import torch

from retake.compressors import observing
from retake.compressors.h2o import H2O
from retake.compressors.observing import received
from retake.compressors.snapkv import SnapKV
from retake.compressors.tova import TOVA
from retake.core.kv import KVChunk
from tests.compressors.making import make_chunk, plain_weights


def _needle(at: int, asking: slice, **given: Any) -> KVChunk:
    """Forty pairs, one of whose keys some queries look for."""
    chunk = make_chunk(40, pivots=0, **given)
    chunk.keys[:, at] = 9 * torch.nn.functional.normalize(chunk.keys[:, at], dim=-1)
    share = chunk.queries.shape[0] // chunk.keys.shape[0]
    chunk.queries[:, asking] = chunk.keys[:, at].repeat_interleave(share, dim=0)[:, None]
    return chunk


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("elements", [1, 100, 1000, 10**6])
@pytest.mark.parametrize(("count", "newest"), [(1, 1), (17, 17), (23, 9), (12, 1)])
def test_received(
    causal: bool, elements: int, count: int, newest: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In blocks of any size as from the whole matrix."""
    monkeypatch.setattr(observing, "_ELEMENTS", elements)
    chunk = make_chunk(count, newest=newest)
    wanted = plain_weights(chunk, chunk.queries, causal=causal).sum(1)
    got = received(chunk.queries, chunk.keys, chunk.scaling, causal=causal)
    assert got.dtype == torch.float32
    torch.testing.assert_close(got, wanted)
    torch.testing.assert_close(got.sum(1), torch.full((4,), float(newest)))


@pytest.mark.parametrize("pooling", ["max", "avg"])
@pytest.mark.parametrize("kernel", [1, 3, 7])
@pytest.mark.parametrize("window", [1, 5, 32])
def test_snapkv_score(pooling: Any, kernel: int, window: int) -> None:
    """Each head's sum over the window, pooled key by key, then the mean over heads."""
    chunk = make_chunk(14)
    seen = plain_weights(chunk, chunk.queries[:, -window:], causal=True).sum(1)
    wanted = torch.zeros(14)
    for at in range(14):
        near = seen[:, max(0, at - kernel // 2) : at + kernel // 2 + 1]
        wanted[at] = (near.amax(1) if pooling == "max" else near.mean(1)).mean()
    scores = SnapKV(window=window, kernel=kernel, pooling=pooling).score(chunk)
    torch.testing.assert_close(scores, wanted)


def test_snapkv_keeps_the_needle_and_its_neighbours() -> None:
    """What the window looks for is kept, and by pooling what surrounds it."""
    chunk = _needle(11, slice(-4, None))
    assert SnapKV(window=4, kernel=1).compress(chunk, 1).tolist() == [11]
    assert SnapKV(window=4, kernel=5).compress(chunk, 5).tolist() == [9, 10, 11, 12, 13]


def test_snapkv_looks_no_further_than_its_window() -> None:
    """Queries before the window do not count."""
    chunk = _needle(11, slice(0, -4))
    assert 11 not in SnapKV(window=4, kernel=1).compress(chunk, 1)
    assert 11 in SnapKV(window=40, kernel=1).compress(chunk, 1)


def test_snapkv_keeps_its_window_where_asked() -> None:
    """As the paper does where the window is the question's."""
    chunk = _needle(11, slice(-4, None))
    kept = SnapKV(window=4, kernel=1, keep_window=True).compress(chunk, 5)
    assert kept.tolist() == [11, 36, 37, 38, 39]


@pytest.mark.parametrize(
    "given", [{"window": 0}, {"kernel": 4}, {"kernel": 0}, {"pooling": "mean"}]
)
def test_snapkv_refuses(given: Any) -> None:
    """A window of none, an even kernel and an unknown pooling, by name."""
    with pytest.raises(ValueError, match=next(iter(given))):
        SnapKV(**given)


def test_h2o_score() -> None:
    """Causal attention of all the newest queries, on top of what earlier chunks left."""
    chunk = make_chunk(20, newest=8)
    wanted = plain_weights(chunk, chunk.queries, causal=True).sum(1).mean(0)
    assert chunk.carried is not None
    torch.testing.assert_close(H2O().score(chunk), wanted + chunk.carried)
    fresh = attrs.evolve(chunk, carried=None)
    torch.testing.assert_close(H2O().score(fresh), wanted)


def test_h2o_adds_up_over_chunks() -> None:
    """With nothing evicted, chunk after chunk gives what one chunk of everything gives."""
    whole = make_chunk(18)
    carried = torch.empty(0)
    for stop in (7, 12, 18):
        start = len(carried)
        part = slice(0, stop)
        chunk = make_chunk(
            stop,
            queries=whole.queries[:, start:stop],
            keys=whole.keys[:, part],
            carried=torch.cat((carried, torch.zeros(stop - start))),
        )
        carried = H2O().score(chunk)
    torch.testing.assert_close(carried, H2O().score(whole))


@pytest.mark.parametrize(
    ("recent", "kept"),
    [
        # half of four: the heaviest two, the newest two
        (0.5, [2, 5, 8, 9]),
        (0.0, [2, 3, 5, 7]),
        (1.0, [6, 7, 8, 9]),
    ],
)
def test_h2o_splits_the_room(recent: float, kept: list[int]) -> None:
    """Between the newest pairs and the heaviest of the others."""
    scores = torch.tensor([1.0, 2, 8, 6, 3, 9, 4, 7, 5, 0])
    chunk = make_chunk(10, pivots=0)
    assert H2O(recent=recent).keep(chunk, scores, 4).tolist() == kept


def test_h2o_gives_pivots_their_room_first() -> None:
    """What pivots leave is split."""
    scores = torch.tensor([1.0, 2, 8, 6, 3, 9, 4, 7, 5, 0])
    chunk = make_chunk(10)
    marked = attrs.evolve(chunk, pivots=torch.arange(10) < 2)
    assert H2O().keep(marked, scores, 4).tolist() == [0, 1, 5, 9]
    # More pivots than room: the heaviest of them.
    assert H2O().keep(attrs.evolve(chunk, pivots=torch.arange(10) < 6), scores, 2).tolist() == [
        2,
        5,
    ]


def test_tova_score() -> None:
    """The last query's weights, the mean over heads; nothing adds up."""
    chunk = make_chunk(20, newest=8)
    wanted = plain_weights(chunk, chunk.queries, causal=True)[:, -1].mean(0)
    torch.testing.assert_close(TOVA().score(chunk), wanted)
    torch.testing.assert_close(TOVA().score(chunk).sum(), torch.tensor(1.0))


def test_tova_keeps_what_the_last_query_looks_for() -> None:
    """And not what those before it did."""
    assert TOVA().compress(_needle(3, slice(-1, None), newest=10), 1).tolist() == [3]
    assert 3 not in TOVA().compress(_needle(3, slice(0, -1), newest=10), 1)


def test_h2o_keeps_what_any_query_looks_for() -> None:
    """Also where the last one does not."""
    assert H2O(recent=0).compress(_needle(3, slice(0, -1), newest=10), 1).tolist() == [3]
