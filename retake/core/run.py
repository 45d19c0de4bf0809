"""One pass over a prompt: where each layer's tokens stand, how they attend, what is evicted.

What it does not know: chunks to come, budgets, files. `Engine` feeds it; the attached
layers ask it (`LayerSession`).
"""

from typing import TYPE_CHECKING, Any

import attrs
import torch
from torch import Tensor

from retake.core import rope
from retake.core.arena import ArenaCache, ArenaLayer
from retake.core.compressor import checked
from retake.core.errors import blame
from retake.core.kept import KeptTokens
from retake.core.kv import KVChunk
from retake.core.positions import Phase
from retake.core.thinning import evenly

if TYPE_CHECKING:
    from retake.core.engine import Engine


@attrs.define(eq=False)
class Segment:
    """The tokens being prefilled: the model's own positions, and pivots if they are video."""

    positions: Tensor
    pivots: Tensor | None = None
    keep: int | None = None
    start: int | None = None


class LayerRun:
    """One pass over a prompt: what the attached layers ask for (`LayerSession`)."""

    def __init__(self, engine: "Engine", layers: int) -> None:
        self.engine = engine
        self.layers = layers
        self.segment: Segment | None = None
        self._first = 0
        self.kept = [KeptTokens() for _ in range(layers)]
        self._cache: ArenaCache | None = None
        self._text_start = 0
        self._text_from: list[int] = []

    def start_chunk(
        self,
        positions: Tensor,
        pivots: Tensor,
        keep: int | None,
        first: int,
        start: int | None = None,
    ) -> None:
        """The next chunk.

        Args:
            positions: `[A, Q]`, the model's own.
            pivots: bool `[Q]`.
            keep: how many of its tokens stay; None: all.
            first: its first token's number.
            start: where its time starts, if that is not for the policy to say.
        """
        self.segment = Segment(positions, pivots, keep, start)
        self._first = first

    def continue_from(self, position: int, lengths: list[int]) -> None:
        """From here on text follows: the model's own next position, and each layer's length."""
        self.segment = None
        self._text_start = position
        self._text_from = lengths

    def kept_tokens(self) -> tuple[Any, ...]:
        """For each layer, numbers of the video tokens it holds: int64 NumPy arrays."""
        return tuple(held.numbers.cpu().numpy().copy() for held in self.kept)

    def place(self, layer: int, cache: ArenaCache, count: int) -> Tensor:
        self._cache = cache
        held = cache.layers[layer]
        if self.segment is not None:
            own = self.segment.positions
            if self.segment.pivots is None:
                return own
            # Layers may be on several devices; each one's pairs stay on its own.
            own = own.to(held.positions.device) if held.is_initialized else own
            return self.engine.policy.place_video(own, held.cached_positions(), self.segment.start)
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
        self, layer: int, held: ArenaLayer, queries: Tensor, segment: Segment, scaling: float
    ) -> None:
        """Evict from the newest chunk of a layer what the compressor does not keep."""
        count = queries.shape[2]
        device = queries.device
        assert segment.pivots is not None
        pivots = segment.pivots.to(device)
        if segment.keep is None or segment.keep >= count:
            self.kept[layer].append(torch.arange(count, device=device) + self._first, pivots)
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
        self._evict(held, count, kept, segment.start)
        self.kept[layer].append(kept + self._first, pivots[kept])

    def thin(self, cache: ArenaCache, count: int, start: int | None = None) -> None:
        """Leave each layer `count` pairs of the video so far, evenly spread, pivots first.

        `start` is where the video's time starts, if that is not for the policy to say.
        """
        for held, tokens in zip(cache.layers, self.kept, strict=True):
            if count < len(tokens):
                staying = evenly(tokens.pivots, count)
                self._evict(held, len(tokens), staying, start)
                tokens.choose(staying)

    def _evict(self, held: ArenaLayer, count: int, kept: Tensor, start: int | None) -> None:
        """Of a layer's newest `count` pairs only the `kept` stay, moved together in time."""
        newest = slice(held.length - count, held.length)
        used = held.positions[:, newest]
        positions = self.engine.policy.settle(used, kept, start)
        keys = held.keys[:, :, newest].index_select(2, kept)
        held.compact(count, kept, self._turn(keys, used[:, kept], positions), positions)

    def _chunk(
        self,
        layer: int,
        held: ArenaLayer,
        queries: Tensor,
        used: Tensor,
        segment: Segment,
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
            numbers=segment.numbers,
            rows=segment.rows,
            patches=segment.patches,
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
