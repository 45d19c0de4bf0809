"""What the parity tests share: replaying recorded choices, and watching a run's positions."""

from collections.abc import Callable
from typing import Any

import attrs
import pytest
import torch
from torch import Tensor

from retake.compressors.pivotkv import PivotKV
from retake.core import engine, run
from retake.core.kv import KVChunk

_SCORE_TOLERANCE = 1e-4
_RUN = engine.LayerRun
_EVICTION = run.Eviction


@attrs.frozen
class Replay(PivotKV):
    """The published PivotKV; checks its choices against recorded ones, then takes those.

    Where scores tie at the boundary, torch's `topk` on the recording machine chose, and any
    choice is right; what follows can be compared only from the same choice.
    """

    recorded: tuple[Tensor, ...] | None = None
    first: list[int] = attrs.field(factory=lambda: [0])

    def keep(self, chunk: KVChunk, scores: Tensor, count: int) -> Tensor:
        mine = PivotKV.keep(self, chunk, scores, count)
        assert self.recorded is not None, "the published code evicted nothing here"
        theirs = self.recorded[chunk.layer] - self.first[0]
        theirs = theirs[(theirs >= 0) & (theirs < len(chunk))]
        marked = torch.where(chunk.pivots, float(self.pivot_score), scores)
        last = marked.sort(descending=True).values[count - 1]
        must = (marked > last + _SCORE_TOLERANCE).nonzero()[:, 0]
        may = (marked >= last - _SCORE_TOLERANCE).nonzero()[:, 0]
        for kept in (mine, theirs):
            assert kept.shape == (count,)
            assert set(must.tolist()) <= set(kept.tolist()) <= set(may.tolist())
        if len(may) == count:
            assert torch.equal(mine, theirs)
        return theirs


@attrs.define(eq=False)
class Log:
    """What a run did: positions announced and raw scores, in the order in which layers ran."""

    positions: list[list[Tensor]]
    scores: list[list[Tensor]]

    def positions_used(self) -> Tensor:
        """`[layers, A, tokens]`."""
        return torch.stack([torch.cat(parts, dim=1) for parts in self.positions])

    def raw_scores(self) -> Tensor:
        """`[layers, video tokens]`."""
        return torch.stack([torch.cat(parts) for parts in self.scores])


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], Log]:
    """Have the engine's runs written down: call it with the number of layers."""

    def start(layers: int) -> Log:
        log = Log([[] for _ in range(layers)], [[] for _ in range(layers)])

        class Watched(_RUN):
            def place(self, layer: int, cache: Any, count: int) -> Tensor:
                positions = super().place(layer, cache, count)
                log.positions[layer].append(positions.clone())
                return positions

        class WatchedEviction(_EVICTION):
            def evict(
                self, where: Any, queries: Tensor, video: Any, count: int, scaling: float
            ) -> Any:
                newest = where.parts[0].cached_positions()[:, -queries.shape[1] :]
                asking = self._asking(queries, newest, len(video), scaling)
                chunk = self._chunk(where, 0, len(video), asking)
                log.scores[where.layer].append(self._compressor.score(chunk))
                if isinstance(self._compressor, Replay):
                    self._compressor.first[0] = int(video.tokens.numbers[0])
                return super().evict(where, queries, video, count, scaling)

        monkeypatch.setattr(run, "Eviction", WatchedEviction)
        monkeypatch.setattr(engine, "LayerRun", Watched)
        return log

    return start


@pytest.fixture
def replay() -> Callable[[tuple[Tensor, ...] | None], Replay]:
    """The published PivotKV, fed with each layer's recorded kept video tokens."""
    return lambda recorded: Replay(pivot_score=1.0, recorded=recorded)


@pytest.fixture
def close() -> Callable[[Tensor, Tensor], None]:
    """Assert that logits, keys or values agree as the goldens' manifest asks."""

    def check(got: Tensor, want: Tensor) -> None:
        torch.testing.assert_close(got, want, atol=2e-4, rtol=1e-4)

    return check


@pytest.fixture
def report(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """A line about the cases checked: printed, and repeated in the terminal's summary."""

    def say(line: str) -> None:
        print(line)
        record_property("parity", line)

    return say
