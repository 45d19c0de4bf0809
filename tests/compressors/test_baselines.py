"""The baselines: a random choice, an even spread, and the first and last tokens."""

import attrs
import pytest
import torch

from retake.compressors.random import Random
from retake.compressors.streaming_llm import StreamingLLM
from retake.compressors.uniform import Uniform
from tests.compressors.making import PLACES, make_chunk


def test_random_is_fair() -> None:
    """Over many chunks every index is kept about as often."""
    kept = torch.zeros(10)
    for seed in range(600):
        chunk = make_chunk(10, pivots=0, numbers=torch.arange(10) + 10 * seed)
        kept[Random().compress(chunk, 4)] += 1
    assert kept.sum() == 2400
    # Binomial with mean 240 and deviation 12.
    assert (kept - 240).abs().max() < 50


def test_random_by_seed_layer_and_chunk() -> None:
    """Another seed, layer or chunk gives another choice; the same ones the same."""
    chunk = make_chunk(60, pivots=0)
    first = Random().score(chunk)
    assert torch.equal(first, Random(seed=0).score(chunk))
    others = [
        Random(seed=1).score(chunk),
        Random().score(attrs.evolve(chunk, layer=2)),
        Random().score(attrs.evolve(chunk, numbers=chunk.numbers + 60)),
        Random(seed=2**31 - 1).score(chunk),
    ]
    assert not any(torch.equal(first, other) for other in others)


def test_random_together() -> None:
    """Asked to, it makes the same choice in all layers, and another in the next chunk."""
    chunk, together = make_chunk(60, pivots=0), Random(together=True)
    first = together.score(chunk)
    assert torch.equal(first, together.score(attrs.evolve(chunk, layer=2)))
    assert not torch.equal(first, together.score(attrs.evolve(chunk, numbers=chunk.numbers + 60)))


@pytest.mark.parametrize("seed", [-1, 2**31])
def test_bad_seed(seed: int) -> None:
    """A seed outside its range is refused by name."""
    with pytest.raises(ValueError, match="seed must be from 0"):
        Random(seed=seed)


@pytest.mark.parametrize("start", [0, 1000, 123_456])
@pytest.mark.parametrize("count", [1, 7, 32, 50, 64, 100, 127])
def test_uniform_is_even(start: int, count: int) -> None:
    """Gaps take three sizes at most, and none is three times the average."""
    chunk = make_chunk(128, pivots=0, numbers=torch.arange(128) + start)
    gaps = Uniform().compress(chunk, count).diff()
    assert len(gaps.unique()) <= 3
    assert (gaps < 3 * 128 / count).all()


@pytest.mark.parametrize("ratio", [2, 4, 8])
def test_uniform_sees_every_place(ratio: int) -> None:
    """Whatever the ratio, no place of a frame is kept much more often than another."""
    size = 512
    chunk = make_chunk(size, pivots=0, numbers=torch.arange(size))
    places = Uniform().compress(chunk, size // ratio) % PLACES
    share = size // ratio // PLACES
    assert (torch.bincount(places, minlength=PLACES) - share).abs().max() <= 0.15 * share + 1


def test_uniform_spreads_pivots_too() -> None:
    """More pivots than room are spread as well; fewer are all kept."""
    flags = torch.arange(64) < 32
    chunk = make_chunk(64, pivots=flags.float(), numbers=torch.arange(64))
    kept = Uniform().compress(attrs.evolve(chunk, pivots=flags), 8)
    assert kept.max() < 32
    assert kept.diff().max() < 12
    both = Uniform().compress(attrs.evolve(chunk, pivots=flags), 40)
    assert both[:32].tolist() == list(range(32))


@pytest.mark.parametrize(
    ("sinks", "count", "kept"),
    [
        # the first tokens and the last
        (4, 7, [0, 1, 2, 3, 17, 18, 19]),
        # no sinks: a sliding window
        (0, 3, [17, 18, 19]),
        # too many sinks for the room: the earliest
        (9, 3, [0, 1, 2]),
    ],
)
def test_streaming_llm(sinks: int, count: int, kept: list[int]) -> None:
    """Sinks by number and the newest."""
    chunk = make_chunk(20, pivots=0)
    assert StreamingLLM(sinks=sinks).compress(chunk, count).tolist() == kept


def test_sinks_are_of_the_video_not_of_what_is_left() -> None:
    """Where the first tokens are gone, as with another selector, later ones are no sinks."""
    chunk = make_chunk(20, pivots=0, numbers=torch.arange(20) + 2)
    assert StreamingLLM(sinks=4).compress(chunk, 4).tolist() == [0, 1, 18, 19]


def test_streaming_llm_from_chunk_to_chunk() -> None:
    """Chunk after chunk the sinks stay, and the window moves on."""
    held = torch.empty(0, dtype=torch.int64)
    for start in range(0, 60, 6):
        held = torch.cat((held, torch.arange(start, start + 6)))
        chunk = make_chunk(len(held), newest=6, pivots=0, numbers=held)
        held = held[StreamingLLM(sinks=2).compress(chunk, min(5, len(held)))]
    assert held.tolist() == [0, 1, 57, 58, 59]
