"""Parts that break their promises: what is wrong is said, with the method's name, and early."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import attrs
import numpy as np
import pytest
import torch
from torch import Tensor

import retake
from retake import KVChunk, KVCompressor, Selection
from retake.compressors.pivotkv import PivotKV
from retake.core.compressor import Scope


@attrs.frozen
class Base(KVCompressor):
    """Scores by number; what is wrong is in the subclasses."""

    answer: Any = None

    def score(self, chunk: KVChunk) -> Tensor:
        return chunk.numbers.float()


@attrs.frozen
class LayerWeights(Base):
    def layer_weights(self, layers: int) -> Any:
        return self.answer(layers) if callable(self.answer) else self.answer


@attrs.frozen
class ShareLayers(Base):
    weighs_layers: ClassVar[bool] = True

    def share_layers(self, scores: Sequence[Tensor], count: int) -> Any:
        return self.answer(len(scores)) if callable(self.answer) else self.answer


@attrs.frozen
class ChunkWeights(Base):
    weighs_chunks: ClassVar[bool] = True

    def chunk_weights(self, chunks: Sequence[Selection]) -> Any:
        return self.answer(len(chunks)) if callable(self.answer) else self.answer


WRONG = [
    None,
    [1.0],
    lambda count: [-1.0] * count,
    lambda count: [float("nan")] * count,
    lambda count: [float("inf")] * count,
    lambda count: [0.0] * count,
    lambda count: torch.ones(count, 1),
    "heavy",
]


@pytest.mark.parametrize("answer", WRONG[1:])
@pytest.mark.parametrize("kind", [LayerWeights, ShareLayers, ChunkWeights])
def test_weights_that_are_none(load: Any, clip: Path, kind: type[Base], answer: Any) -> None:
    """As many finite numbers as there are things to weigh, or the method is named."""
    model = load(selector="none", compressor=kind(answer), keep_ratio=0.3)
    method = {LayerWeights: "layer", ShareLayers: "share", ChunkWeights: "chunk"}[kind]
    with pytest.raises(
        retake.UsageError, match=rf"{method}_\w+\(\) must return \d+ finite numbers"
    ):
        model.watch(clip)


@pytest.mark.parametrize("kind", [LayerWeights, ShareLayers, ChunkWeights])
def test_weights_that_fail(load: Any, clip: Path, kind: type[Base]) -> None:
    """An error in a part's own code says in which."""
    model = load(selector="none", compressor=kind(lambda count: 1 / 0), keep_ratio=0.3)
    with pytest.raises(retake.RetakeError, match=rf"{kind.__name__}\.\w+\(\) failed: ZeroDiv"):
        model.watch(clip)


@attrs.frozen
class KeepsTheLast(PivotKV):
    """Decides without scores."""

    def compress(self, chunk: KVChunk, count: int) -> Tensor:
        return torch.arange(len(chunk) - count, len(chunk))


@attrs.frozen
class KeepsTheLastOfAll(KeepsTheLast):
    scope: ClassVar[Scope] = "cache"


@attrs.frozen
class NoScope(Base):
    scope: ClassVar[Any] = "caches"


@attrs.frozen
class WeighsAll(ChunkWeights):
    scope: ClassVar[Scope] = "cache"


@pytest.mark.parametrize(
    ("compressor", "message"),
    [
        (KeepsTheLastOfAll(), r"overrides compress\(\), which is asked only where"),
        (
            retake.compressors.get("adakv")(of=KeepsTheLast()),
            r"KeepsTheLast overrides compress\(\)",
        ),
        (NoScope(), "Unknown scope of NoScope 'caches'"),
        (WeighsAll(), "WeighsAll weighs chunks"),
    ],
)
def test_what_does_not_go_together(
    load: Any, clip: Path, compressor: KVCompressor, message: str
) -> None:
    """It is refused, not passed over."""
    with pytest.raises(retake.UsageError, match=message):
        load(compressor=compressor, keep_ratio=0.3).watch(clip)


def test_an_own_compress_is_asked_where_it_can_be(load: Any, clip: Path) -> None:
    """By itself, and inside a wrapper that splits among layers."""
    for compressor in (
        KeepsTheLast(),
        retake.compressors.get("pyramidkv")(of=KeepsTheLast()),
    ):
        memory = load(selector="none", compressor=compressor, keep_ratio=0.5).watch(clip)
        assert all(kept[-1] == memory.compression.tokens_selected - 1 for kept in memory.kept)


@attrs.frozen
class Scorer(retake.FrameTextScorer):
    """Does what it is told."""

    seen: Any = None
    rated: Any = None
    tags: list[str] = attrs.field(factory=list)

    def look(self, frames: Tensor) -> Tensor:
        return self.seen(frames) if self.seen else torch.ones(len(frames), 1)

    def rate(self, seen: Tensor, question: str) -> Tensor:
        return self.rated(seen) if self.rated else torch.arange(len(seen)).float()


@pytest.mark.parametrize(
    ("scorer", "method"),
    [
        (Scorer(seen=lambda frames: torch.ones(len(frames) - 1, 2)), "look"),
        (Scorer(seen=lambda frames: None), "look"),
        (Scorer(rated=lambda seen: torch.full((len(seen),), float("-inf"))), "rate"),
        (Scorer(rated=lambda seen: seen), "rate"),
    ],
)
def test_scorers(load: Any, clip: Path, scorer: Scorer, method: str) -> None:
    """The method at fault is the one that is named."""
    model = load(selector=retake.selectors.get("topk-sim")(scorer=scorer))
    with pytest.raises(retake.UsageError, match=rf"Scorer\.{method}\(\) must return a"):
        model.watch(clip, questions=["Why?"])


def test_a_scorer_with_options_of_any_sort(load: Any, clip: Path) -> None:
    """It need not be hashable, and one that is equal need not look twice."""
    calls: list[int] = []

    def seen(frames: Tensor) -> Tensor:
        calls.append(len(frames))
        return torch.ones(len(frames), 1)

    scorer = Scorer(seen=seen, tags=["a"])
    model = load(selector=retake.selectors.get("topk-sim")(scorer=scorer))
    encoded = model.encode(clip, scorers=[Scorer(seen=seen, tags=["a"])])
    model.watch(encoded, questions=["Why?"])
    assert sum(calls) == 80


def test_scorers_are_scorers(load: Any, clip: Path) -> None:
    """A name where an instance is wanted is refused."""
    with pytest.raises(retake.UsageError, match=r"A scorer is a retake\.FrameTextScorer, got 'col"):
        load().encode(clip, scorers=["colours"])
    for cls, option in (
        (retake.compressors.get("adakv"), "of"),
        (retake.selectors.get("aks"), "scorer"),
    ):
        with pytest.raises(TypeError, match=option):
            cls(**{option: "h2o"})


@pytest.mark.parametrize("name", ["aks", "bolt", "topk-sim"])
def test_without_a_scorer_nothing_is_decoded(load: Any, name: str) -> None:
    """It is refused before the first frame is asked for."""

    def frames() -> Iterator[retake.FrameBatch]:
        yield _batch(0)
        raise AssertionError("a second batch was asked for")

    with pytest.raises(retake.UsageError, match="needs a scorer"):
        load(selector=name).watch(frames(), questions=["Why?"])


def _batch(first: int, count: int = 8) -> retake.FrameBatch:
    indices = np.arange(first, first + count)
    pictures = torch.full((count, 56, 56, 3), first % 251, dtype=torch.uint8)
    return retake.FrameBatch(pictures, indices, indices / 2.0)


@pytest.mark.parametrize("compressor", ["tova", "h2o", "pyramidkv(tova)", "adakv(h2o)"])
@pytest.mark.parametrize(("frames", "expected"), [(32, 64), (64, 64), (96, 64), (64, None)])
def test_a_ratio_of_the_whole_cache_is_met(
    load: Any, compressor: str, frames: int, expected: int | None
) -> None:
    """Whatever number of frames was expected, the share that is left is of those that came."""
    model = load(selector="none", compressor=compressor, keep_ratio=0.5)
    batches = (_batch(first) for first in range(0, frames, 8))
    done = model.watch(batches, expected_frames=expected).compression
    assert sum(done.tokens_kept) == done.tokens_selected // 2 * len(done.tokens_kept)
