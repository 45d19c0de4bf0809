"""The engine: prefills a video chunk by chunk, compresses after each, and answers.

What it does not know: files, frames, model families, devices, methods. It is given an
adapter, a compressor, a position policy and a backend, and runs them.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import attrs
import numpy as np
import torch
from torch import Tensor

from retake.core import rope
from retake.core.adapter import ModelAdapter
from retake.core.arena import ArenaCache, ArenaLayer
from retake.core.attach import attached
from retake.core.backend import Backend
from retake.core.budget import Share
from retake.core.compressor import KVCompressor, checked
from retake.core.errors import blame
from retake.core.kv import KVChunk
from retake.core.positions import Phase, PositionPolicy
from retake.core.tokens import Selection

Progress = Callable[[int, int], None]


@attrs.define(eq=False)
class _Segment:
    """The tokens being prefilled: the model's own positions, and pivots if they are video."""

    positions: Tensor
    pivots: Tensor | None = None
    keep: int | None = None


@attrs.frozen(eq=False)
class Prefilled:
    """A cache that holds a prompt's text and video.

    Attributes:
        cache: the compressed cache.
        next_position: the model's own position of the text that follows.
        kept: for each layer, numbers of the selected tokens that it kept.
    """

    cache: ArenaCache
    next_position: int
    kept: tuple[Any, ...]


class Engine:
    """Runs one adapter's model with one compressor, position policy and backend."""

    def __init__(
        self,
        adapter: ModelAdapter,
        compressor: KVCompressor,
        policy: PositionPolicy,
        backend: Backend,
    ) -> None:
        self.adapter = adapter
        self.compressor = compressor
        self.policy = policy
        self.backend = backend

    @torch.inference_mode()
    def prefill(
        self,
        prefix: Tensor,
        selection: Selection,
        own_positions: Tensor,
        *,
        chunks: list[tuple[int, int]],
        share: Share | None,
        spare: int = 0,
        progress: Progress | None = None,
    ) -> Prefilled:
        """Prefill the text before a video, then the video.

        Args:
            prefix: token ids `[P]` in front of the video.
            selection: the K tokens that enter.
            own_positions: `[A, K]`, the model's own positions of those tokens.
            chunks: first and last-plus-one token of each chunk, covering 0 … K.
            share: how much of each chunk survives; None evicts nothing.
            spare: pairs of room beyond text and video, for what will be asked.
            progress: called with tokens prefilled and tokens in all.
        """
        largest = max(stop - start for start, stop in chunks)
        kept_total = _kept_total(chunks, share)
        room = prefix.numel() + max(kept_total + largest if share else kept_total, 1) + spare
        layers = len(self.adapter.attention_layers())
        cache = ArenaCache.allocate(layers, room, self.adapter.position_axes)
        run = _Run(self, layers)
        with attached(self.adapter, run):
            if prefix.numel():
                text = torch.arange(prefix.numel(), device=self.adapter.device)
                run.segment = _Segment(text.expand(self.adapter.position_axes, -1))
                self._forward(self.adapter.embed(prefix[None]), cache)
            for start, stop in chunks:
                run.start_chunk(
                    own_positions[:, start:stop],
                    selection.pivots[start:stop],
                    share.keep(start, stop - start) if share else None,
                    start,
                )
                self._forward(selection.features[None, start:stop], cache)
                if progress:
                    progress(stop, len(selection))
        after = max(int(own_positions.max()), prefix.numel() - 1) + 1
        return Prefilled(cache, after, run.kept_tokens())

    def _forward(self, embeddings: Tensor, cache: ArenaCache) -> None:
        self.adapter.language_model()(
            inputs_embeds=embeddings.to(self.adapter.dtype),
            past_key_values=cache,
            use_cache=True,
        )

    @contextmanager
    def asking(self, prefilled: Prefilled, room: int) -> Iterator[ArenaCache]:
        """A cache to generate from; what is prefilled stays as it is.

        Args:
            prefilled: text and video.
            room: pairs that question and answer may need.
        """
        with prefilled.cache.forked(room) as cache:
            run = _Run(self, len(cache.layers))
            run.continue_from(prefilled.next_position, cache.lengths())
            with torch.inference_mode(), attached(self.adapter, run):
                yield cache


class _Run:
    """One pass over a prompt: what the attached layers ask for (`LayerSession`)."""

    def __init__(self, engine: Engine, layers: int) -> None:
        self.engine = engine
        self.layers = layers
        self.segment: _Segment | None = None
        self._first = 0
        self._kept: list[list[Tensor]] = [[] for _ in range(layers)]
        self._cache: ArenaCache | None = None
        self._text_start = 0
        self._text_from: list[int] = []

    def start_chunk(self, positions: Tensor, pivots: Tensor, keep: int | None, first: int) -> None:
        self.segment = _Segment(positions, pivots, keep)
        self._first = first

    def continue_from(self, position: int, lengths: list[int]) -> None:
        """From here on text follows: the model's own next position, and each layer's length."""
        self.segment = None
        self._text_start = position
        self._text_from = lengths

    def kept_tokens(self) -> tuple[Any, ...]:
        empty = torch.empty(0, dtype=torch.long)
        return tuple(
            (torch.cat(parts) if parts else empty).cpu().numpy().astype(np.int64)
            for parts in self._kept
        )

    def place(self, layer: int, cache: ArenaCache, count: int) -> Tensor:
        self._cache = cache
        held = cache.layers[layer]
        if self.segment is not None:
            if self.segment.pivots is None:
                return self.segment.positions
            return self.engine.policy.place_video(self.segment.positions, held.cached_positions())
        done = held.length - self._text_from[layer]
        first = self._text_start + done
        device = held.positions.device
        own = torch.arange(first, first + count, device=device).expand(held.axes, -1)
        phase: Phase = "decode" if done else "question"
        return self.engine.policy.place_text(own, held.cached_positions(), phase)

    def attend(
        self, layer: int, queries: Tensor, keys: Tensor, values: Tensor, scaling: float
    ) -> Tensor:
        output = self.engine.backend.attend(queries, keys, values, scaling)
        segment = self.segment
        if segment is not None and segment.pivots is not None:
            assert self._cache is not None
            self._compress(layer, self._cache.layers[layer], queries, segment, scaling)
        return output

    def _compress(
        self, layer: int, held: ArenaLayer, queries: Tensor, segment: _Segment, scaling: float
    ) -> None:
        """Evict from the newest chunk of a layer what the compressor does not keep."""
        count = queries.shape[2]
        device = queries.device
        if segment.keep is None or segment.keep >= count:
            self._kept[layer].append(torch.arange(count, device=device) + self._first)
            return
        start = held.length - count
        used = held.positions[:, start : held.length]
        if segment.keep == 0:
            kept = torch.empty(0, dtype=torch.long, device=device)
        else:
            chunk = self._chunk(layer, held, queries, used, segment, scaling)
            compressor = self.engine.compressor
            with blame(compressor, "compress"):
                chosen = compressor.compress(chunk, segment.keep)
            kept = checked(chosen, count, segment.keep, f"{type(compressor).__name__}.compress()")
        positions = self.engine.policy.settle(used, kept)
        keys = held.keys[:, :, start : held.length].index_select(2, kept)
        held.compact(count, kept, self._turn(keys, used[:, kept], positions), positions)
        self._kept[layer].append(kept + self._first)

    def _chunk(
        self,
        layer: int,
        held: ArenaLayer,
        queries: Tensor,
        used: Tensor,
        segment: _Segment,
        scaling: float,
    ) -> KVChunk:
        start = held.length - queries.shape[2]
        newest = slice(start, held.length)
        asking, keys = queries[0], held.keys[0, :, newest]
        if self.engine.policy.reforges:
            cos, sin = self.engine.adapter.rotary(used)
            asking, keys = rope.unrotate(asking, cos, sin), rope.unrotate(keys, cos, sin)
        assert segment.pivots is not None
        return KVChunk(
            layer=layer,
            layers=self.layers,
            queries=asking,
            keys=keys,
            values=held.values[0, :, newest],
            positions=used,
            pivots=segment.pivots.to(queries.device),
            scaling=scaling,
            backend=self.engine.backend,
            past_keys=held.keys[0, :, :start],
            past_values=held.values[0, :, :start],
        )

    def _turn(self, keys: Tensor, old: Tensor, new: Tensor) -> Tensor:
        """Keys turned from their old positions to new ones.

        Turning back and forth goes through the model's own angles, so that its attention
        scaling and any section of M-RoPE are right without being known here.
        """
        if not self.engine.policy.reforges:
            return keys
        cos, sin = self.engine.adapter.rotary(old)
        plain = rope.unrotate(keys.float(), cos, sin)
        cos, sin = self.engine.adapter.rotary(new)
        return rope.rotate(plain, cos, sin).to(keys.dtype)


def _kept_total(chunks: list[tuple[int, int]], share: Share | None) -> int:
    """Video tokens left in a layer once all chunks are in."""
    if share is None:
        return chunks[-1][1]
    return sum(share.keep(start, stop - start) for start, stop in chunks)


def chunks_of_rows(rows: Tensor, rows_per_chunk: int) -> list[tuple[int, int]]:
    """Chunks of whole steps: first and last-plus-one token of each.

    Args:
        rows: int64 `[K]`, ascending, the step each token counts as.
        rows_per_chunk: steps in a chunk.
    """
    ends = torch.arange(rows_per_chunk, int(rows[-1]) + 1 + rows_per_chunk, rows_per_chunk)
    stops = torch.searchsorted(rows.cpu().contiguous(), ends).tolist()
    starts = [0, *stops[:-1]]
    return [(a, b) for a, b in zip(starts, stops, strict=True) if b > a]


def chunks_of_tokens(count: int, tokens_per_chunk: int) -> list[tuple[int, int]]:
    """Chunks of so many tokens, whatever steps they fall in, as the published code has them."""
    return [
        (start, min(start + tokens_per_chunk, count)) for start in range(0, count, tokens_per_chunk)
    ]
