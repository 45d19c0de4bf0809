"""The engine: prefills a video chunk by chunk, compresses after each, and answers.

What it does not know: files, frames, model families, devices, methods. It is given an
adapter, a compressor, a position policy and a backend, and runs them.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from itertools import accumulate
from math import ceil
from typing import Any

import attrs
import torch
from torch import Tensor

from retake.core.adapter import ModelAdapter
from retake.core.apportion import apportion
from retake.core.arena import CACHE_ARGUMENT, ArenaCache, ArenaLayer
from retake.core.attach import attached
from retake.core.backend import Backend
from retake.core.budget import Share
from retake.core.compressor import KVCompressor, checked_weights
from retake.core.errors import blame
from retake.core.heads import HeadsLayer
from retake.core.kept import TokenFacts
from retake.core.positions import PositionPolicy
from retake.core.run import LayerRun, Segment, VideoChunk
from retake.core.timescale import TimeScale
from retake.core.tokens import Selection


@attrs.frozen(eq=False)
class Prefilled:
    """A cache that holds a prompt's text and video.

    Attributes:
        cache: the compressed cache.
        next_position: the model's own position of the text that follows.
        kept: for each layer, numbers of the selected tokens that it kept (that any of its heads
            kept, where those differ).
        pivots_kept: how many of those are pivots.
        tokens_kept: for each layer, pairs of video that a head holds, the mean over its heads.
    """

    cache: ArenaCache
    next_position: int
    kept: tuple[Any, ...]
    pivots_kept: tuple[int, ...] = ()
    tokens_kept: tuple[int, ...] = ()


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

    def prefill(
        self,
        prefix: Tensor,
        selection: Selection,
        own_positions: Tensor,
        *,
        chunks: list[tuple[int, int]],
        share: Share | None,
        spare: int = 0,
    ) -> Prefilled:
        """Prefill the text before a video, then a video that is there as a whole.

        Args:
            prefix: token ids `[P]` in front of the video.
            selection: the K tokens that enter.
            own_positions: `[A, K]`, the model's own positions of those tokens.
            chunks: first and last-plus-one token of each chunk, covering 0 … K.
            share: how much of each chunk survives; None evicts nothing.
            spare: pairs of room beyond text and video, for what will be asked.
        """
        largest = max(stop - start for start, stop in chunks)
        text = prefix.numel() + len(self.adapter.after_video())
        whole = self.compressor.scope == "cache"
        counts = [share.keep(start, stop - start) if share else stop for start, stop in chunks]
        if share and whole:
            counts = list(accumulate(counts))
        kept = counts[-1] if share is None or whole else sum(counts)
        prefill = self.start(prefix, text + (largest if share else 0) + 1 + spare, kept)
        for (start, stop), count in zip(chunks, counts, strict=True):
            part = selection.part(start, stop)
            prefill.feed(part, own_positions[:, start:stop], count if share else None)
        return prefill.finish()

    def start(
        self, prefix: Tensor, room: int, kept: int = 0, guide: Tensor | None = None
    ) -> "Prefill":
        """Prefill the text before a video, `[P]` token ids; the video is then fed to it.

        Args:
            prefix: token ids in front of the video.
            room: pairs for which each layer allocates buffers, besides `kept`.
            kept: pairs of video that a layer will keep on average.
            guide: token ids `[G]` of the question, for a compressor that needs it.
        """
        return Prefill(self, prefix, self._rooms(room, kept), guide)

    def _rooms(self, room: int, kept: int) -> list[int]:
        """Room for each layer; one that keeps more than the others gets more."""
        layers = len(self.adapter.attention_layers())
        weights = self.layer_weights(layers)
        if weights is None:
            return [room + kept] * layers
        rooms = [ceil(kept * layers * weight / sum(weights)) for weight in weights]
        if self.compressor.scope == "cache":
            # All layers fill up alike before any has to evict.
            rooms = [max(kept, each) for each in rooms]
        return [room + each for each in rooms]

    def layer_weights(self, layers: int) -> list[float] | None:
        """What the compressor says each layer is worth beforehand; None: the same."""
        with blame(self.compressor, "layer_weights"):
            given = self.compressor.layer_weights(layers)
        if given is None:
            return None
        return checked_weights(given, layers, f"{type(self.compressor).__name__}.layer_weights()")

    @contextmanager
    def asking(self, prefilled: Prefilled, room: int) -> Iterator[ArenaCache]:
        """A cache to generate from; what is prefilled stays as it is.

        Args:
            prefilled: text and video.
            room: pairs that question and answer may need.
        """
        with prefilled.cache.forked(room) as cache:
            run = LayerRun(self, len(cache.layers))
            run.continue_from(prefilled.next_position, cache.lengths())
            with torch.inference_mode(), attached(self.adapter, run):
                yield cache


class Prefill:
    """A prompt on its way in: its text first, then its video, a chunk at a time.

    The model is attached only while a chunk goes through it.
    """

    def __init__(
        self, engine: Engine, prefix: Tensor, rooms: list[int], guide: Tensor | None
    ) -> None:
        adapter = engine.adapter
        self._engine = engine
        self._whole = engine.compressor.scope == "cache"
        self._cache = _allocate(engine, rooms)
        self._run = LayerRun(engine, len(rooms))
        self._layers = len(rooms)
        self._last = prefix.numel() - 1
        self._guide = None if guide is None else adapter.embed(guide[None])
        self._scales = [TimeScale(prefix.numel()) for _ in rooms] if adapter.absolute_time else None
        if prefix.numel():
            text = torch.arange(prefix.numel(), device=adapter.device)
            self._run.segment = Segment(text.expand(adapter.position_axes, -1))
            with torch.inference_mode():
                self._forward(adapter.embed(prefix[None]))

    @torch.inference_mode()
    def feed(self, chunk: Selection, positions: Tensor, keep: int | None) -> None:
        """Prefill the next chunk of video.

        Args:
            chunk: its Q tokens.
            positions: `[A, Q]`, the model's own.
            keep: pairs that a layer keeps on average: of the chunk, or, with a compressor whose
                scope is "cache", of the whole video so far. None keeps all.
        """
        earliest, last = torch.stack((positions[0].min(), positions.max())).tolist()
        counts = None if keep is None else self._counts(keep, len(chunk))
        guided = counts is not None and self._guide is not None
        embeddings = chunk.features[None]
        if guided and self._guide is not None:
            embeddings = torch.cat((embeddings, self._guide.to(embeddings)), dim=1)
        starts = [scale.next(earliest) for scale in self._scales] if self._scales else None
        video = VideoChunk(
            tokens=TokenFacts.of(chunk, positions[0]),
            keep=counts,
            starts=starts,
            guide=embeddings.shape[1] - len(chunk),
        )
        before = [self._run.held(layer) for layer in range(self._layers)]
        self._run.start_chunk(positions, video)
        self._forward(embeddings)
        self._run.finish_chunk()
        self._rescale(before, chunk.first + len(chunk), len(chunk))
        self._last = max(self._last, last)

    def _counts(self, keep: int, size: int) -> list[int]:
        """How many pairs each layer keeps, `keep` on average."""
        sizes = [
            size + (self._run.held(layer) if self._whole else 0) for layer in range(self._layers)
        ]
        weights = self._engine.layer_weights(self._layers)
        if weights is None:
            return [min(keep, size) for size in sizes]
        return apportion(min(keep * self._layers, sum(sizes)), weights, sizes)

    def _rescale(self, before: list[int], seen: int, size: int) -> None:
        """Absolute time goes on from what each layer kept of the chunk, or of all of it."""
        for layer, scale in enumerate(self._scales or ()):
            held = self._run.held(layer)
            if self._whole:
                scale.level(Fraction(held, seen))
            else:
                scale.keep(Fraction(held - before[layer], size))

    @torch.inference_mode()
    def thin(self, count: int) -> None:
        """Leave a layer `count` pairs of the video so far: it turned out longer than planned.

        Each layer gives up the same share of what it holds; `count` is the mean over layers.
        """
        held = [self._run.held(layer) for layer in range(self._layers)]
        counts = apportion(min(count * self._layers, sum(held)), [float(n) for n in held], held)
        starts = None
        if self._scales is not None:
            for scale, staying, there in zip(self._scales, counts, held, strict=True):
                scale.shrink(Fraction(staying, there) if there else Fraction(1))
            starts = [scale.video for scale in self._scales]
        self._run.thin(self._cache, counts, starts)

    @torch.inference_mode()
    def finish(self) -> Prefilled:
        """Close the video; the cache, with text and video in it."""
        run = self._run
        closing = self._engine.adapter.after_video()
        if len(closing):
            run.continue_from(self._last + 1, self._cache.lengths())
            self._forward(closing[None])
            self._last += len(closing)
        return Prefilled(
            cache=self._cache,
            next_position=self._last + 1,
            kept=run.kept_tokens(),
            pivots_kept=run.kept_pivots(),
            tokens_kept=tuple(run.held(layer) for layer in range(self._layers)),
        )

    def _forward(self, embeddings: Tensor) -> None:
        adapter = self._engine.adapter
        with attached(adapter, self._run):
            adapter.language_model()(
                inputs_embeds=embeddings.to(adapter.device, adapter.dtype),
                use_cache=True,
                **{CACHE_ARGUMENT: self._cache},
            )


def _allocate(engine: Engine, rooms: list[int]) -> ArenaCache:
    """An empty cache; its layers hold their heads apart where those keep different pairs."""
    axes = engine.adapter.position_axes
    kind: Any = HeadsLayer if engine.compressor.per_head else ArenaLayer
    return ArenaCache([kind(room, axes) for room in rooms])
