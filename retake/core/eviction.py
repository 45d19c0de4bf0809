"""Evicting from one layer: what the compressor is shown, what it chooses, and making room."""

from collections.abc import Sequence
from fractions import Fraction
from typing import TYPE_CHECKING

import attrs
import torch
from torch import Tensor

from retake.core import rope
from retake.core.apportion import apportion
from retake.core.arena import ArenaLayer
from retake.core.compressor import checked
from retake.core.errors import UsageError, blame
from retake.core.kept import KeptTokens, TokenFacts
from retake.core.kv import KVChunk
from retake.core.thinning import evenly

if TYPE_CHECKING:
    from retake.core.engine import Engine
    from retake.core.run import LayerPlace, VideoChunk


class Eviction:
    """Evicts from one layer at a time, as the engine's compressor and position policy say."""

    def __init__(self, engine: "Engine", layers: int) -> None:
        self._engine = engine
        self._layers = layers
        self._compressor = engine.compressor
        self._whole = engine.compressor.scope == "cache"

    def evict(
        self,
        where: "LayerPlace",
        queries: Tensor,
        video: "VideoChunk",
        count: int,
        scaling: float,
    ) -> list[Tensor] | None:
        """Leave a layer `count` pairs of those that may be evicted.

        Args:
            where: the layer; the chunk and its guide are in it, the chunk is noted.
            queries: `[H, Q + G, D]`, of the chunk and the guide.
            video: the chunk.
            count: pairs that stay, the mean over heads.
            scaling: factor of the attention logits.

        Returns:
            The scores of each part, where layers share a budget once all of them have scored;
            `choose` is then to be called. Else None.
        """
        newest = where.parts[0].cached_positions()[:, -queries.shape[1] :]
        for part in where.parts:
            part.crop(video.guide)
        sizes = self._sizes(where, video)
        waits = self._compressor.weighs_layers
        fits = count * len(sizes) >= sum(sizes)
        adds_up = self._whole and self._compressor.accumulates
        if fits and not waits and not adds_up:
            return None
        if count == 0 and not waits:
            self._choose_nothing(where, video, sizes)
            return None
        asking = self._asking(queries, newest, len(video), scaling)
        chunks = [
            self._chunk(where, number, size, asking.part(number, len(sizes)))
            for number, size in enumerate(sizes)
        ]
        if len(chunks) == 1 and not waits and not self._whole:
            self._compress(where, video, chunks[0], count)
            return None
        scores = self._scores(chunks)
        if waits:
            return scores
        if fits:
            self._note(where, scores)
            return None
        self._choose(where, video, chunks, scores, count)
        return None

    def choose(
        self, where: "LayerPlace", video: "VideoChunk", scores: list[Tensor], count: int
    ) -> None:
        """Leave a layer `count` pairs by the scores that `evict` returned."""
        sizes = self._sizes(where, video)
        if count * len(sizes) >= sum(sizes):
            if self._whole:
                self._note(where, scores)
            return
        if count == 0:
            self._choose_nothing(where, video, sizes)
            return
        # Queries are not kept until all layers are through: they would be the largest thing held.
        nobody = _Asking.nobody(where.parts[0].keys)
        chunks = [self._chunk(where, number, size, nobody) for number, size in enumerate(sizes)]
        self._choose(where, video, chunks, scores, count)

    def thin(self, where: "LayerPlace", count: int, start: int | None) -> None:
        """Leave a layer `count` pairs of the video so far, evenly spread, pivots first."""
        sizes = [len(tokens) for tokens in where.tokens]
        if count * len(sizes) >= sum(sizes):
            return
        counts = apportion(count * len(sizes), [float(size) for size in sizes], sizes)
        for part, tokens, staying in zip(where.parts, where.tokens, counts, strict=True):
            kept = evenly(tokens.pivots, staying)
            share = Fraction(staying, len(tokens)) if len(tokens) else Fraction(1)
            used = part.positions[:, part.length - len(tokens) : part.length]
            self._keep(part, tokens, used, kept, share, start)

    def _sizes(self, where: "LayerPlace", video: "VideoChunk") -> list[int]:
        """How many pairs of each part may be evicted."""
        if self._whole:
            return [len(tokens) for tokens in where.tokens]
        return [len(video)] * len(where.parts)

    def _note(self, where: "LayerPlace", scores: Sequence[Tensor]) -> None:
        """All pairs stay, with the scores that they have by now."""
        for tokens, score in zip(where.tokens, scores, strict=True):
            tokens.note(len(score), score)

    def _scores(self, chunks: Sequence[KVChunk]) -> list[Tensor]:
        with blame(self._compressor, "score"):
            return [self._compressor.scored(chunk) for chunk in chunks]

    def _compress(
        self, where: "LayerPlace", video: "VideoChunk", chunk: KVChunk, count: int
    ) -> None:
        """The plain case: one arena, the newest chunk, decided at once."""
        with blame(self._compressor, "compress"):
            chosen = self._compressor.compress(chunk, count)
        kept = checked(chosen, len(chunk), count, f"{type(self._compressor).__name__}.compress()")
        self._settle(where, 0, video, len(chunk), kept, Fraction(count, len(chunk)))

    def _choose(
        self,
        where: "LayerPlace",
        video: "VideoChunk",
        chunks: Sequence[KVChunk],
        scores: Sequence[Tensor],
        count: int,
    ) -> None:
        """Every part keeps its best; together `count` a part."""
        name = type(self._compressor).__name__
        counts = self._head_counts(chunks, scores, count)
        seen = int(video.tokens.numbers[-1]) + 1 if self._whole else len(video)
        share = min(Fraction(1), Fraction(count, seen))
        for number, (chunk, score, staying) in enumerate(zip(chunks, scores, counts, strict=True)):
            with blame(self._compressor, "keep"):
                chosen = self._compressor.keep(chunk, score, staying) if staying else None
            none = torch.empty(0, dtype=torch.int64, device=score.device)
            kept = (
                none if chosen is None else checked(chosen, len(chunk), staying, f"{name}.keep()")
            )
            self._settle(where, number, video, len(chunk), kept, share, score)

    def _head_counts(
        self, chunks: Sequence[KVChunk], scores: Sequence[Tensor], count: int
    ) -> list[int]:
        if len(chunks) == 1:
            return [count]
        pivots = [chunk.pivots for chunk in chunks]
        with blame(self._compressor, "head_counts"):
            counts = list(self._compressor.head_counts(scores, pivots, count))
        whole = all(isinstance(each, int) for each in counts) and len(counts) == len(chunks)
        sound = whole and sum(counts) == count * len(chunks)
        if not sound or not all(0 <= n <= len(c) for n, c in zip(counts, chunks, strict=True)):
            raise UsageError(
                f"{type(self._compressor).__name__}.head_counts() must split {count} pairs a head "
                f"among {len(chunks)} heads, but returned {counts}."
            )
        return counts

    def _choose_nothing(
        self, where: "LayerPlace", video: "VideoChunk", sizes: Sequence[int]
    ) -> None:
        for number, size in enumerate(sizes):
            none = torch.empty(0, dtype=torch.int64, device=where.parts[number].keys.device)
            self._settle(where, number, video, size, none, Fraction(0))

    def _settle(
        self,
        where: "LayerPlace",
        number: int,
        video: "VideoChunk",
        size: int,
        kept: Tensor,
        share: Fraction,
        scores: Tensor | None = None,
    ) -> None:
        """Of a part's newest `size` pairs only the `kept` stay, moved together in time."""
        part, tokens = where.parts[number], where.tokens[number]
        used = part.positions[:, part.length - size : part.length]
        start = None if video.starts is None else video.starts[where.layer]
        if self._whole:
            # Shrunk anew from the model's own times: shrinking what was shrunk would bring the
            # oldest ever closer together.
            used = used.clone()
            used[0] = tokens.facts.times
            start = part.length - size
        self._keep(part, tokens, used, kept, share, start, scores)

    def _keep(
        self,
        part: ArenaLayer,
        tokens: KeptTokens,
        used: Tensor,
        kept: Tensor,
        share: Fraction,
        start: int | None,
        scores: Tensor | None = None,
    ) -> None:
        """Only the `kept` of the newest pairs stay; `used` are positions to settle from."""
        size = used.shape[1]
        newest = slice(part.length - size, part.length)
        settled = self._engine.policy.settle(used, kept, share, start)
        keys = part.keys[:, :, newest].index_select(2, kept)
        turned = self._turn(keys, part.positions[:, newest][:, kept], settled)
        part.compact(size, kept, turned, settled)
        tokens.choose(size, kept, scores)

    def _asking(self, queries: Tensor, positions: Tensor, count: int, scaling: float) -> "_Asking":
        """The first `count` of the queries are the chunk's, those behind them the guide's."""
        if self._engine.policy.reforges:
            queries = rope.unrotate(queries, *self._engine.adapter.rotary(positions))
        guide = queries[:, count:] if queries.shape[1] > count else None
        return _Asking(queries[:, :count], guide, scaling)

    def _chunk(self, where: "LayerPlace", number: int, size: int, asking: "_Asking") -> KVChunk:
        """What the compressor sees of a part's newest `size` pairs, and who asks for them."""
        part, tokens = where.parts[number], where.tokens[number]
        start = part.length - size
        newest = slice(start, part.length)
        positions, keys = part.positions[:, newest], part.keys[0, :, newest]
        if self._engine.policy.reforges:
            keys = rope.unrotate(keys, *self._engine.adapter.rotary(positions))
        facts: TokenFacts = tokens.facts.part(slice(len(tokens) - size, None))
        return KVChunk(
            layer=where.layer,
            layers=self._layers,
            group=number,
            queries=asking.queries,
            keys=keys,
            values=part.values[0, :, newest],
            positions=positions,
            pivots=facts.pivots,
            scaling=asking.scaling,
            backend=self._engine.backend,
            past_keys=part.keys[0, :, :start],
            past_values=part.values[0, :, :start],
            numbers=facts.numbers,
            rows=facts.rows,
            patches=facts.patches,
            carried=facts.carried if self._whole else None,
            guide=asking.guide,
        )

    def _turn(self, keys: Tensor, old: Tensor, new: Tensor) -> Tensor:
        """Keys turned from their old positions to new ones.

        Turning back and forth goes through the model's own angles, so that its attention
        scaling and any section of M-RoPE are right without being known here.
        """
        if not self._engine.policy.reforges:
            return keys
        cos, sin = self._engine.adapter.rotary(old)
        plain = rope.unrotate(keys.float(), cos, sin)
        cos, sin = self._engine.adapter.rotary(new)
        return rope.rotate(plain, cos, sin).to(keys.dtype)


@attrs.frozen(eq=False)
class _Asking:
    """The queries that score: the chunk's `[H, Q, D]`, and the question's `[H, G, D]`."""

    queries: Tensor
    guide: Tensor | None
    scaling: float

    @classmethod
    def nobody(cls, keys: Tensor) -> "_Asking":
        """No queries, of the width of keys `[1, KV, L, D]`."""
        return cls(keys.new_empty(keys.shape[1], 0, keys.shape[3]), None, 1.0)

    def part(self, number: int, parts: int) -> "_Asking":
        """Those of the heads that share a part's keys."""
        share = self.queries.shape[0] // parts
        heads = slice(number * share, (number + 1) * share)
        guide = None if self.guide is None else self.guide[heads]
        return _Asking(self.queries[heads], guide, self.scaling)
