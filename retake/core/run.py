"""One pass over a prompt: where each layer's tokens stand, how they attend, what is evicted.

What it does not know: chunks to come, budgets, files. `Engine` feeds it; the attached
layers ask it (`LayerSession`).
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import attrs
import torch
from torch import Tensor

from retake.core.apportion import apportion
from retake.core.arena import ArenaCache, ArenaLayer
from retake.core.compressor import checked_weights
from retake.core.errors import blame
from retake.core.eviction import Eviction
from retake.core.heads import HeadsLayer
from retake.core.kept import KeptTokens, TokenFacts, held_numbers
from retake.core.positions import Phase

if TYPE_CHECKING:
    from retake.core.engine import Engine


@attrs.frozen(eq=False)
class VideoChunk:
    """A chunk of video on its way through the layers.

    Attributes:
        tokens: what is known of its Q tokens.
        keep: for each layer, how many pairs stay: of the chunk, or, with a compressor whose scope
            is "cache", of the video so far. None: all.
        starts: for each layer, where the chunk's time starts; None where that is for the policy
            to say.
        guide: tokens of the question that go through the layers behind the chunk, for scores,
            and are then forgotten.
    """

    tokens: TokenFacts
    keep: Sequence[int] | None = None
    starts: Sequence[int] | None = None
    guide: int = 0

    def __len__(self) -> int:
        return len(self.tokens)


@attrs.frozen(eq=False)
class Segment:
    """The tokens being prefilled: the model's own positions `[A, Q]`, and facts if video."""

    positions: Tensor
    video: VideoChunk | None = None


class LayerRun:
    """One pass over a prompt: what the attached layers ask for (`LayerSession`)."""

    def __init__(self, engine: "Engine", layers: int) -> None:
        self.engine = engine
        self.layers = layers
        self.segment: Segment | None = None
        #: For each layer, the video tokens that it holds; for each of its heads where they differ.
        self.kept: list[list[KeptTokens]] = [[KeptTokens()] for _ in range(layers)]
        self._scores: dict[int, list[Tensor]] = {}
        self._eviction = Eviction(engine, layers)
        self._cache: ArenaCache | None = None
        self._text_start = 0
        self._text_from: list[int] = []

    def start_chunk(self, positions: Tensor, video: VideoChunk) -> None:
        """The next chunk of video, at the model's own positions `[A, Q]`."""
        self.segment = Segment(positions, video)
        self._scores = {}

    def finish_chunk(self) -> None:
        """Split the chunk's budget among the layers, where that had to wait for all scores."""
        if not self._scores:
            return
        assert self._cache is not None
        assert self.segment is not None
        assert self.segment.video is not None
        keep = self.segment.video.keep
        assert keep is not None
        sizes = [
            sum(len(each) for each in self._scores[layer]) // len(self._scores[layer])
            for layer in range(self.layers)
        ]
        counts = self._layer_counts(sum(keep), sizes)
        for layer, count in enumerate(counts):
            self._eviction.choose(
                self._place_of(layer), self.segment.video, self._scores[layer], count
            )
        self._scores = {}

    def _layer_counts(self, total: int, sizes: Sequence[int]) -> list[int]:
        compressor = self.engine.compressor
        # On the host: layers may be on several devices.
        means = [
            torch.stack(parts).mean(0).cpu() if _alike(parts) else torch.cat(parts).cpu()
            for _, parts in sorted(self._scores.items())
        ]
        with blame(compressor, "share_layers"):
            given = compressor.share_layers(means, total // self.layers)
        method = f"{type(compressor).__name__}.share_layers()"
        weights = checked_weights(given, self.layers, method, zero=True)
        fixed = self.engine.layer_weights(self.layers)
        if fixed is not None:
            weights = [a * b for a, b in zip(weights, fixed, strict=True)]
        return apportion(total, weights, sizes)

    def continue_from(self, position: int, lengths: list[int]) -> None:
        """From here on text follows: the model's own next position, and each layer's length."""
        self.segment = None
        self._text_start = position
        self._text_from = lengths

    def kept_tokens(self) -> tuple[Any, ...]:
        """For each layer, numbers of the video tokens it holds: int64 NumPy arrays."""
        return tuple(held_numbers(held)[0].cpu().numpy().copy() for held in self.kept)

    def kept_pivots(self) -> tuple[int, ...]:
        """For each layer, how many of those are pivots."""
        return tuple(held_numbers(held)[1] for held in self.kept)

    def held(self, layer: int) -> int:
        """Pairs of video in a layer; the mean over its heads where they differ, a whole number."""
        parts = self.kept[layer]
        return sum(map(len, parts)) // len(parts)

    def place(self, layer: int, cache: ArenaCache, count: int) -> Tensor:
        self._cache = cache
        held = cache.layers[layer]
        if self.segment is not None:
            return self._place_segment(layer, held, self.segment)
        done = held.length - self._text_from[layer]
        first = self._text_start + done
        device = held.device
        own = torch.arange(first, first + count, device=device).expand(held.axes, -1)
        phase: Phase = "decode" if done else "question"
        return self.engine.policy.place_text(own, held.cached_positions(), phase)

    def _place_segment(self, layer: int, held: ArenaLayer, segment: Segment) -> Tensor:
        own, video = segment.positions, segment.video
        if video is None:
            return own
        # Layers may be on several devices; each one's pairs stay on its own.
        own = own.to(held.device) if held.is_initialized else own
        start = None if video.starts is None else video.starts[layer]
        placed = self.engine.policy.place_video(own, held.cached_positions(), start)
        if not video.guide:
            return placed
        behind = torch.arange(video.guide, device=placed.device) + placed.max() + 1
        return torch.cat((placed, behind.expand(len(placed), -1)), dim=1)

    def attend(
        self, layer: int, queries: Tensor, keys: Tensor, values: Tensor, scaling: float
    ) -> Tensor:
        backend = self.engine.backend
        held: Any = self._cache.layers[layer] if self._cache is not None else None
        if isinstance(held, HeadsLayer):
            output = held.attend(backend, queries, scaling)
        else:
            output = backend.attend(queries, keys, values, scaling)
        if self.segment is not None and self.segment.video is not None:
            self._compress(layer, queries[0], self.segment.video, scaling)
        return output

    def _compress(self, layer: int, queries: Tensor, video: VideoChunk, scaling: float) -> None:
        """Take note of the chunk's tokens, and evict what the compressor does not keep."""
        where = self._place_of(layer)
        for tokens in where.tokens:
            tokens.append(video.tokens.to(queries.device))
        if video.keep is None:
            return
        scores = self._eviction.evict(where, queries, video, video.keep[layer], scaling)
        if scores is not None:
            self._scores[layer] = scores

    def _place_of(self, layer: int) -> "LayerPlace":
        """A layer's arenas and what they hold: one of each, or one for each head."""
        assert self._cache is not None
        held: Any = self._cache.layers[layer]
        parts = held.heads if isinstance(held, HeadsLayer) else [held]
        while len(self.kept[layer]) < len(parts):
            self.kept[layer].append(KeptTokens())
        return LayerPlace(layer, parts, self.kept[layer])

    def thin(self, cache: ArenaCache, counts: Sequence[int], starts: Sequence[int] | None) -> None:
        """Leave each layer so many pairs of the video so far, evenly spread, pivots first.

        `starts` is where the video's time starts, if that is not for the policy to say.
        """
        self._cache = cache
        for layer, count in enumerate(counts):
            start = None if starts is None else starts[layer]
            self._eviction.thin(self._place_of(layer), count, start)


@attrs.frozen(eq=False)
class LayerPlace:
    """One layer's arenas and the video tokens they hold, side by side.

    Attributes:
        layer: its number.
        parts: its arena, or one for each key head.
        tokens: what each of them holds of the video.
    """

    layer: int
    parts: Sequence[ArenaLayer]
    tokens: Sequence[KeptTokens]


def _alike(parts: Sequence[Tensor]) -> bool:
    return len({len(part) for part in parts}) == 1
