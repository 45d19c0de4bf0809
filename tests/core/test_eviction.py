"""What may be evicted from, by layer and head: the budget is met exactly, the rest is untouched."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, ClassVar

import attrs
import pytest
import torch
from torch import Tensor

from retake.compressors.adakv import AdaKV
from retake.compressors.h2o import H2O
from retake.compressors.pivotkv import PivotKV
from retake.compressors.random import Random
from retake.core import engine, rope
from retake.core.compressor import KVCompressor, Scope
from retake.core.heads import HeadsLayer
from retake.core.kv import KVChunk
from tests.staging import MakeStage, Stage

SEEN: list[KVChunk] = []


def _note(chunk: KVChunk) -> None:
    """Keep a copy: what a compressor is shown are views of what is held now."""
    facts = ("numbers", "rows", "patches", "carried")
    held = {name: getattr(chunk, name) for name in facts}
    SEEN.append(
        attrs.evolve(chunk, **{k: None if v is None else v.clone() for k, v in held.items()})
    )


@attrs.frozen
class Newest(KVCompressor):
    """The newest pairs of the whole cache are worth most; notes what it is shown."""

    scope: ClassVar[Scope] = "cache"

    def score(self, chunk: KVChunk) -> Tensor:
        _note(chunk)
        return chunk.numbers.float()


@attrs.frozen
class Every(Newest):
    """Pairs far apart, so that the cache keeps some of everything."""

    def score(self, chunk: KVChunk) -> Tensor:
        return ((chunk.numbers * 7919) % 101).float()


@attrs.frozen
class Steep(PivotKV):
    """The first layer keeps three times what the last keeps."""

    def layer_weights(self, layers: int) -> Sequence[float]:
        return [3.0, *[2.0] * (layers - 2), 1.0]


@attrs.frozen
class ByScores(PivotKV):
    """Layers share by how unequal their scores are."""

    weighs_layers: ClassVar[bool] = True

    def share_layers(self, scores: Sequence[Tensor], count: int) -> Sequence[float]:
        return [float(score.max()) for score in scores]


@attrs.frozen
class Apart(PivotKV):
    """Each head keeps its own; the first more than the others."""

    per_head: ClassVar[bool] = True

    def head_counts(
        self, scores: Sequence[Tensor], pivots: Sequence[Tensor], count: int
    ) -> list[int]:
        more = min(count // 2, len(scores[0]) - count)
        return [count + more, *[count] * (len(scores) - 2), count - more]


@attrs.frozen
class Alike(PivotKV):
    """Heads are held apart, and all keep what they would together."""

    per_head: ClassVar[bool] = True

    def score(self, chunk: KVChunk) -> Tensor:
        return (chunk.numbers % 5).float()


@attrs.frozen
class Together(PivotKV):
    """The same without holding heads apart."""

    def score(self, chunk: KVChunk) -> Tensor:
        return (chunk.numbers % 5).float()


@attrs.frozen
class Guided(PivotKV):
    """Scores by the question."""

    needs_question: ClassVar[bool] = True

    def score(self, chunk: KVChunk) -> Tensor:
        _note(chunk)
        assert chunk.guide is not None
        return chunk.backend.attention_mass(chunk.guide, chunk.keys, chunk.scaling)


@pytest.fixture(autouse=True)
def forget() -> None:
    """What compressors noted in one test is not there in the next."""
    SEEN.clear()


@pytest.fixture
def stage(make_stage: MakeStage) -> Stage:
    """A video of ten steps of six tokens, none of them a pivot."""
    made = make_stage(10)
    plain = torch.zeros_like(made.selection.pivots)
    return attrs.evolve(made, selection=attrs.evolve(made.selection, pivots=plain))


def _video(stage: Stage, layer: Any) -> Tensor:
    """Keys of the video in a layer, `[KV, K, D]`, without their rotary embedding."""
    text = len(stage.prefix)
    keys = layer.keys[0, :, text : layer.length]
    return rope.unrotate(keys, *stage.adapter.rotary(layer.cached_positions()[:, text:]))


def _head_keys(cache: Any) -> list[Tensor]:
    """Every head's keys, layer after layer."""
    heads = [head for layer in cache.layers for head in layer.heads]
    return [head.keys[:, :, : head.length] for head in heads]


@pytest.mark.parametrize("positions", ["original", "reforge"])
@pytest.mark.parametrize("ratio", [0.1, 0.5, 1.0])
def test_the_whole_cache_competes(stage: Stage, positions: str, ratio: float) -> None:
    """The newest pairs alone are left, as many as the budget has room for."""
    prefilled = stage.prefill(stage.engine(Newest(), positions), rows=3, share=stage.share(ratio))
    count = int(ratio * len(stage.selection))
    for kept in prefilled.kept:
        assert kept.tolist() == list(range(60 - count, 60))
    assert prefilled.tokens_kept == (count,) * len(prefilled.kept)


def test_what_the_whole_cache_shows(stage: Stage) -> None:
    """Candidates are all pairs of the video; queries are the newest chunk's; scores come back."""
    stage.prefill(stage.engine(Newest()), rows=2, share=stage.share(0.5))
    layer = [chunk for chunk in SEEN if chunk.layer == 1]
    assert [(len(chunk), chunk.newest) for chunk in layer] == [
        (12, 12),
        (18, 12),
        (24, 12),
        (30, 12),
        (36, 12),
    ]
    for before, chunk in pairwise(layer):
        old = len(chunk) - chunk.newest
        assert chunk.carried is not None
        assert chunk.carried[:old].tolist() == chunk.numbers[:old].tolist()
        assert not chunk.carried[old:].any()
        assert set(chunk.numbers[:old].tolist()) <= set(before.numbers.tolist())
        assert torch.equal(chunk.rows, chunk.numbers // 6)
        assert torch.equal(chunk.patches, chunk.numbers % 6)
        assert chunk.past_keys.shape[1] == len(stage.prefix)


@pytest.mark.parametrize("positions", ["original", "reforge"])
def test_the_first_layer_keeps_the_very_pairs(stage: Stage, positions: str) -> None:
    """Its keys do not depend on what was evicted: turned back, they are those of a full cache."""
    full = stage.prefill(stage.engine(), rows=3)
    part = stage.prefill(stage.engine(Every(), positions), rows=3, share=stage.share(0.4))
    want = _video(stage, full.cache.layers[0])[:, part.kept[0]]
    torch.testing.assert_close(_video(stage, part.cache.layers[0]), want, atol=1e-5, rtol=0)


def test_reforging_the_whole_cache_keeps_one_scale(stage: Stage) -> None:
    """Time shrinks by what is left of the video so far, from the model's own times."""
    part = stage.prefill(stage.engine(Every(), "reforge"), rows=3, share=stage.share(0.4))
    text = len(stage.prefix)
    for layer, kept in zip(part.cache.layers, part.kept, strict=True):
        own = stage.own_positions[:, kept]
        placed = layer.cached_positions()[:, text:]
        assert torch.equal(placed[1:], own[1:])
        assert placed[0].tolist() == [text + (t - text) * 24 // 60 for t in own[0].tolist()]


@pytest.mark.parametrize("compressor", [Steep(), ByScores()])
@pytest.mark.parametrize("positions", ["original", "reforge"])
def test_layers_hold_different_lengths(
    stage: Stage, compressor: KVCompressor, positions: str
) -> None:
    """Together they hold what the budget says, and the video is asked as any other."""
    engine = stage.engine(compressor, positions)
    prefilled = stage.prefill(engine, rows=3, share=stage.share(0.4))
    layers = len(prefilled.kept)
    assert sum(prefilled.tokens_kept) == 24 * layers
    assert len(set(prefilled.tokens_kept)) > 1
    assert [len(kept) for kept in prefilled.kept] == list(prefilled.tokens_kept)
    if isinstance(compressor, Steep):
        assert prefilled.tokens_kept[0] > 2 * prefilled.tokens_kept[-1]
    assert stage.ask(engine, prefilled).isfinite().all()


def test_heads_that_keep_the_same_are_one(stage: Stage) -> None:
    """Held apart, heads attend as they do together."""
    logits = []
    for compressor in (Alike(), Together()):
        engine = stage.engine(compressor, "reforge")
        prefilled = stage.prefill(engine, rows=3, share=stage.share(0.4))
        logits.append(stage.ask(engine, prefilled))
    torch.testing.assert_close(*logits, atol=1e-5, rtol=0)


@pytest.mark.parametrize("positions", ["original", "reforge"])
def test_heads_keep_their_own(stage: Stage, positions: str) -> None:
    """Each head holds as many as it was given; a fork writes behind each and forgets it."""
    engine = stage.engine(Apart(), positions)
    prefilled = stage.prefill(engine, rows=3, share=stage.share(0.4))
    text = len(stage.prefix)
    for layer in prefilled.cache.layers:
        assert isinstance(layer, HeadsLayer)
        lengths = [head.length - text for head in layer.heads]
        assert sum(lengths) == 24 * len(lengths)
        assert lengths[0] > lengths[-1]
        assert layer.length == text + 24
    before = [keys.clone() for keys in _head_keys(prefilled.cache)]
    assert torch.equal(stage.ask(engine, prefilled), stage.ask(engine, prefilled))
    after = _head_keys(prefilled.cache)
    assert all(map(torch.equal, before, after))


@pytest.mark.parametrize("positions", ["original", "reforge"])
def test_a_guide_is_seen_and_forgotten(stage: Stage, positions: str) -> None:
    """The question's queries are there for scores; nothing of it stays, and nothing is changed."""
    made = stage.engine(Guided(), positions)
    share = stage.share(0.4)
    prefill = made.start(stage.prefix, len(stage.prefix) + 60, 24, stage.suffix)
    own = stage.own_positions
    for start in range(0, 60, 20):
        part = stage.selection.part(start, start + 20)
        prefill.feed(part, own[:, start : start + 20], share.keep(start, 20))
    prefilled = prefill.finish()
    guides = [chunk.guide for chunk in SEEN]
    assert all(guide is not None and guide.shape[1] == len(stage.suffix) for guide in guides)
    assert prefilled.cache.lengths() == [len(stage.prefix) + 24] * len(prefilled.kept)
    full = stage.prefill(stage.engine(), rows=3)
    want = _video(stage, full.cache.layers[0])[:, prefilled.kept[0]]
    torch.testing.assert_close(_video(stage, prefilled.cache.layers[0]), want, atol=1e-5, rtol=0)


@pytest.mark.parametrize("positions", ["original", "reforge"])
def test_a_guide_stands_behind_the_chunk(
    stage: Stage, positions: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It counts on from the largest position of the chunk that it follows, on every axis."""
    placed: list[Tensor] = []

    class Watched(engine.LayerRun):
        def place(self, layer: int, cache: Any, count: int) -> Tensor:
            found = super().place(layer, cache, count)
            placed.append(found)
            return found

    monkeypatch.setattr(engine, "LayerRun", Watched)
    prefill = stage.engine(Guided(), positions).start(stage.prefix, 200, 24, stage.suffix)
    for start in (0, 30):
        part = stage.selection.part(start, start + 30)
        prefill.feed(part, stage.own_positions[:, start : start + 30], 12)
    guides = [found for found in placed if found.shape[1] == 30 + len(stage.suffix)]
    assert guides
    for found in guides:
        behind = found[:, :30].max() + 1 + torch.arange(len(stage.suffix))
        assert torch.equal(found[:, 30:], behind.expand(len(found), -1))


def test_h2o_adds_up_while_the_cache_fills(stage: Stage) -> None:
    """What came before anything was evicted was attended to all the same."""
    seen: list[Tensor] = []

    @attrs.frozen
    class Noting(H2O):
        def score(self, chunk: KVChunk) -> Tensor:
            assert chunk.carried is not None
            seen.append(chunk.carried[: len(chunk) - chunk.newest].clone())
            return H2O.score(self, chunk)

    stage.prefill(stage.engine(Noting()), rows=2, share=stage.share(1.0))
    later = [carried for carried in seen if len(carried)]
    assert later
    assert all((carried > 0).all() for carried in later)


def test_heads_draw_apart(stage: Stage) -> None:
    """By chance, each head keeps other pairs."""
    made = stage.engine(AdaKV(of=Random(), safeguard=1.0))
    prefilled = stage.prefill(made, rows=5, share=stage.share(0.4))
    for layer in prefilled.cache.layers:
        one, *others = (head.cached_positions() for head in layer.heads)  # type: ignore[attr-defined]
        assert not any(torch.equal(one, other) for other in others)


def test_a_guide_that_everything_is_kept_for_costs_nothing(stage: Stage) -> None:
    """Without a budget nothing is scored, so that the question need not go through the layers."""
    engine = stage.engine(Guided())
    prefill = engine.start(stage.prefix, 200, 60, stage.suffix)
    prefill.feed(stage.selection, stage.own_positions, None)
    assert not SEEN
    assert len(prefill.finish().kept[0]) == 60
