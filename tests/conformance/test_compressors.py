"""What every registered compressor must do, whatever its method: ours and installed plug-ins'.

Each is shown what its `scope` says: a chunk, or a cache that holds more pairs than the newest
chunk has queries; with a guide if it needs the question. A wrapper is tried around PivotKV, and
every wrapper around every scorer.
"""

import itertools
from typing import Any

import attrs
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from retake import KVChunk, KVCompressor, RetakeError, compressors
from retake.compressors.pivotkv import PivotKV
from retake.core.tokens import Selection
from retake.core.wrapper import Wrapper
from tests.compressors.making import PLACES, make_chunk

NAMES = compressors.names()
WRAPPERS = [name for name in NAMES if issubclass(compressors.get(name), Wrapper)]
SCORERS = [name for name in NAMES if name not in WRAPPERS]
#: Methods whose `keep` is the base class's: what is kept follows from the scores alone.
PLAIN = [name for name in SCORERS if compressors.get(name).keep is KVCompressor.keep]


def _made(*names: str) -> KVCompressor:
    """The compressor with its defaults; of several names, each around the next."""
    *outer, inner = names
    cls = compressors.get(inner)
    made = cls(of=PivotKV()) if issubclass(cls, Wrapper) else cls()
    for name in reversed(outer):
        made = compressors.get(name)(of=made)  # type: ignore[call-arg]
    return made


def _chunk(compressor: KVCompressor, count: int, **changed: Any) -> KVChunk:
    """Random pairs as the compressor's scope has them, the newest being two in five of a cache."""
    newest = max(1, 2 * count // 5) if compressor.scope == "cache" else None
    guide = 3 if compressor.needs_question else 0
    return make_chunk(count, **{"newest": newest, "guide": guide, **changed})


def _tensors(chunk: KVChunk) -> list[torch.Tensor]:
    values: list[Any] = [getattr(chunk, name) for name in KVChunk.__slots__ if name[0] != "_"]
    return [value.clone() for value in values if isinstance(value, torch.Tensor)]


def _sound(kept: torch.Tensor, size: int, count: int) -> None:
    """Exactly so many indices, distinct, ascending, of pairs that there are."""
    assert kept.shape == (count,)
    assert kept.dtype == torch.int64
    assert (kept.diff() > 0).all()
    assert kept[0] >= 0
    assert kept[-1] < size


@pytest.mark.parametrize("name", NAMES)
@given(count=st.integers(1, 40), share=st.floats(0, 1), pivots=st.floats(0, 1))
@settings(max_examples=40, deadline=None)
def test_keeps_exactly_as_many_as_asked(name: str, count: int, share: float, pivots: float) -> None:
    """Any number from 1 to all is met exactly, by distinct indices in ascending order."""
    compressor = _made(name)
    asked = max(1, int(share * count))
    kept = compressor.compress(_chunk(compressor, count, pivots=pivots), asked)
    _sound(kept, count, asked)


@pytest.mark.parametrize("name", NAMES)
@given(asked=st.integers(1, 30), pivots=st.floats(0, 1))
@settings(max_examples=25, deadline=None)
def test_pivots_come_first(name: str, asked: int, pivots: float) -> None:
    """No other pair is kept while a pivot is evicted."""
    compressor = _made(name)
    chunk = _chunk(compressor, 30, pivots=pivots)
    kept = torch.zeros(30, dtype=torch.bool)
    kept[compressor.compress(chunk, asked)] = True
    if (chunk.pivots & ~kept).any():
        assert not (kept & ~chunk.pivots).any()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_repeats_itself_and_changes_nothing(name: str, dtype: torch.dtype) -> None:
    """The same pairs give the same indices whatever came between, and are left as they were."""
    compressor = _made(name)
    chunk = _chunk(compressor, 25, dtype=dtype)
    before = _tensors(chunk)
    first = compressor.compress(chunk, 9)
    compressor.compress(_chunk(compressor, 12, seed=1, dtype=dtype), 5)
    assert torch.equal(first, compressor.compress(chunk, 9))
    assert torch.equal(first, _made(name).compress(chunk, 9))
    assert all(torch.equal(a, b) for a, b in zip(before, _tensors(chunk), strict=True))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_scores_are_numbers_where_the_keys_are(name: str, dtype: torch.dtype) -> None:
    """One floating score a pair, on the keys' device, sharing no memory with what it was shown."""
    compressor = _made(name)
    chunk = _chunk(compressor, 25, dtype=dtype)
    scores = compressor.score(chunk)
    assert scores.shape == (25,)
    assert scores.dtype.is_floating_point
    assert scores.device == chunk.keys.device
    assert scores.isfinite().all()
    shown = {tensor.data_ptr() for tensor in (chunk.keys, chunk.values, chunk.queries)}
    assert scores.data_ptr() not in shown


@pytest.mark.parametrize("name", PLAIN)
@given(seed=st.integers(0, 99), asked=st.integers(1, 24))
@settings(max_examples=20, deadline=None)
def test_higher_scores_are_kept(name: str, seed: int, asked: int) -> None:
    """Without pivots, no evicted pair has a higher score than a kept one."""
    compressor = _made(name)
    chunk = _chunk(compressor, 25, pivots=0, seed=seed)
    scores = compressor.score(chunk)
    evicted = torch.ones(25, dtype=torch.bool)
    kept = compressor.compress(chunk, asked)
    evicted[kept] = False
    assert scores[kept].min() >= scores[evicted].max()


@pytest.mark.parametrize("name", NAMES)
def test_keeping_needs_no_queries(name: str) -> None:
    """Where layers share a budget, what is kept is decided when the queries are gone."""
    compressor = _made(name)
    chunk = _chunk(compressor, 25)
    scores = compressor.score(chunk)
    asked = attrs.evolve(chunk, queries=chunk.queries[:, :0], guide=None)
    assert torch.equal(compressor.keep(asked, scores, 9), compressor.keep(chunk, scores, 9))


def _extremes() -> dict[str, dict[str, Any]]:
    """Pairs at the edge of what can come."""
    kinds: dict[str, dict[str, Any]] = {
        "zeros": {"values": torch.zeros(2, 20, 8)},
        "the same keys": {"keys": torch.randn(1, 1, 8).expand(2, 20, 8)},
        "no keys": {"keys": torch.zeros(2, 20, 8)},
        "one place": {"patches": torch.zeros(20, dtype=torch.int64), "rows": torch.arange(20)},
        "one frame": {"rows": torch.zeros(20, dtype=torch.int64), "patches": torch.arange(20)},
    }
    for name in ("keys", "values"):
        kinds[f"huge {name}"] = {name: (torch.randn(2, 20, 8) * 1e6).bfloat16()}
    return kinds


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", _extremes())
def test_extremes(name: str, kind: str) -> None:
    """Keys that are all alike, values of zero and huge ones give finite scores and a choice."""
    compressor = _made(name)
    changed = _extremes()[kind]
    dtype = torch.bfloat16 if "huge" in kind else torch.float32
    chunk = _chunk(compressor, 20, dtype=dtype, **changed)
    assert compressor.score(chunk).isfinite().all()
    _sound(compressor.compress(chunk, 7), 20, 7)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("heads", "groups"), [(1, 1), (4, 1), (3, 3)])
@pytest.mark.parametrize("count", [1, 2, 17])
def test_heads_of_any_number(name: str, heads: int, groups: int, count: int) -> None:
    """One head, one key head for all, a key head for each; and a single pair."""
    compressor = _made(name)
    chunk = _chunk(compressor, count, heads=heads, groups=groups)
    _sound(compressor.compress(chunk, (count + 1) // 2), count, (count + 1) // 2)


@pytest.mark.parametrize("name", [name for name in NAMES if _made(name).scope == "cache"])
@pytest.mark.parametrize("newest", [1, 6, 20])
def test_the_newest_chunk_may_be_of_any_size(name: str, newest: int) -> None:
    """One that evicts from the whole cache does so after a chunk of one token, and the first."""
    compressor = _made(name)
    _sound(compressor.compress(_chunk(compressor, 20, newest=newest), 7), 20, 7)


@pytest.mark.parametrize("name", [*NAMES, "nested"])
def test_heads_share_a_layers_budget(name: str) -> None:
    """Heads scored alone keep together what was asked, none more than it has, pivots first."""
    compressor = _made("adakv", "adakv", "h2o") if name == "nested" else _made("adakv", name)
    chunk = _chunk(compressor, 30, pivots=0.2)
    # With scope "cache" heads come to hold different numbers of pairs.
    parts = [chunk.head(0), _chunk(compressor, 22, pivots=0.2, heads=2, groups=1)]
    for count in (1, 5, 13, 26):
        scores = [compressor.score(part) for part in parts]
        counts = compressor.head_counts(scores, [part.pivots for part in parts], count)
        assert sum(counts) == 2 * count
        for part, score, staying in zip(parts, scores, counts, strict=True):
            assert 0 <= staying <= len(part)
            if staying:
                _sound(compressor.keep(part, score, staying), len(part), staying)


@pytest.mark.parametrize(("outer", "inner"), [*itertools.product(WRAPPERS, SCORERS)])
def test_wrapped(outer: str, inner: str) -> None:
    """A wrapper around any scorer keeps what it was asked to, and answers for what is inside."""
    compressor, inside = _made(outer, inner), _made(inner)
    chunk = _chunk(compressor, 25)
    assert compressor.scope == inside.scope
    assert compressor.needs_question == inside.needs_question
    assert compressor.evicts == inside.evicts
    assert torch.equal(compressor.score(chunk), inside.score(chunk))
    assert torch.equal(compressor.compress(chunk, 9), inside.compress(chunk, 9))


@pytest.mark.parametrize(("outer", "middle"), [*itertools.product(WRAPPERS, WRAPPERS)])
def test_nested(outer: str, middle: str) -> None:
    """Wrappers go around wrappers; each split that one of them makes is made."""
    compressor = _made(outer, middle, "h2o")
    _sound(compressor.compress(_chunk(compressor, 25), 9), 25, 9)
    made = {outer, middle}
    assert compressor.per_head == any(_made(name).per_head for name in made)
    weighed = compressor.layer_weights(6) is not None
    assert weighed == any(_made(name).layer_weights(6) is not None for name in made)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("layers", [1, 2, 28])
def test_layers_weigh_what_they_average(name: str, layers: int) -> None:
    """Weights known beforehand are above 0 and average 1; shares found later are above 0."""
    compressor = _made(name)
    weights = compressor.layer_weights(layers)
    if weights is not None:
        assert len(weights) == layers
        assert min(weights) > 0
        assert sum(weights) / layers == pytest.approx(1)
    scores = [torch.rand(10, generator=torch.Generator().manual_seed(i)) for i in range(layers)]
    shares = compressor.share_layers(scores, 4)
    assert len(shares) == layers
    assert min(shares) > 0


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("constant", [False, True])
def test_chunks_weigh_something(name: str, constant: bool) -> None:
    """Every chunk of a selection is worth something, also where nothing changes."""
    steps, width = 9, 6
    features = torch.randn(1 if constant else steps * PLACES, width).expand(steps * PLACES, -1)
    selection = Selection(
        features=features,
        rows=torch.arange(steps).repeat_interleave(PLACES),
        steps=torch.arange(steps).repeat_interleave(PLACES),
        patches=torch.arange(PLACES).repeat(steps),
        pivots=torch.zeros(steps * PLACES, dtype=torch.bool),
        source=(steps, PLACES),
    )
    chunks = [selection.part(0, 4), selection.part(4, 24), selection.part(24, 36)]
    weights = _made(name).chunk_weights(chunks)
    assert len(weights) == len(chunks)
    assert all(float(weight) > 0 for weight in weights)


@pytest.mark.parametrize("name", [name for name in NAMES if _made(name).needs_question])
def test_one_that_needs_the_question_says_so(name: str) -> None:
    """Without a question it fails with a message for people, and is not silently something else."""
    compressor = _made(name)
    with pytest.raises(RetakeError, match="question"):
        compressor.compress(_chunk(compressor, 9, guide=0), 4)


@pytest.mark.parametrize("name", NAMES)
def test_it_says_what_it_is(name: str) -> None:
    """Every compressor has a docstring of its own, describes its options, and is frozen."""
    cls = compressors.get(name)
    assert cls.__doc__
    assert cls.__doc__ not in (KVCompressor.__doc__, Wrapper.__doc__)
    for field in attrs.fields(cls):
        assert f"{field.name}:" in cls.__doc__
        with pytest.raises(attrs.exceptions.FrozenInstanceError):
            setattr(_made(name), field.name, None)
