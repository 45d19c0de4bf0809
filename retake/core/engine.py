"""The engine: prefills a video chunk by chunk, compresses after each, and answers.

What it does not know: files, frames, model families, devices, methods. It is given an
adapter, a compressor, a position policy and a backend, and runs them.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from typing import Any

import attrs
import torch
from torch import Tensor

from retake.core.adapter import ModelAdapter
from retake.core.arena import CACHE_ARGUMENT, ArenaCache
from retake.core.attach import attached
from retake.core.backend import Backend
from retake.core.budget import Share
from retake.core.compressor import KVCompressor
from retake.core.positions import PositionPolicy
from retake.core.run import LayerRun, Segment
from retake.core.timescale import TimeScale
from retake.core.tokens import Selection


@attrs.frozen(eq=False)
class Prefilled:
    """A cache that holds a prompt's text and video.

    Attributes:
        cache: the compressed cache.
        next_position: the model's own position of the text that follows.
        kept: for each layer, numbers of the selected tokens that it kept.
        pivots_kept: how many of those are pivots.
    """

    cache: ArenaCache
    next_position: int
    kept: tuple[Any, ...]
    pivots_kept: tuple[int, ...] = ()


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
        kept_total = _kept_total(chunks, share)
        text = prefix.numel() + len(self.adapter.after_video())
        room = text + max(kept_total + largest if share else kept_total, 1) + spare
        prefill = self.start(prefix, room)
        for start, stop in chunks:
            keep = share.keep(start, stop - start) if share else None
            prefill.feed(selection.part(start, stop), own_positions[:, start:stop], keep)
        return prefill.finish()

    def start(self, prefix: Tensor, room: int) -> "Prefill":
        """Prefill the text before a video, `[P]` token ids; the video is then fed to it.

        Args:
            prefix: token ids in front of the video.
            room: pairs for which each layer allocates buffers.
        """
        return Prefill(self, prefix, room)

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

    def __init__(self, engine: Engine, prefix: Tensor, room: int) -> None:
        adapter = engine.adapter
        layers = len(adapter.attention_layers())
        self._engine = engine
        self._cache = ArenaCache.allocate(layers, room, adapter.position_axes)
        self._run = LayerRun(engine, layers)
        self._last = prefix.numel() - 1
        self._scale = TimeScale(prefix.numel()) if adapter.absolute_time else None
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
            keep: how many of them each layer keeps; None keeps all.
        """
        earliest, last = torch.stack((positions[0].min(), positions.max())).tolist()
        kept = len(chunk) if keep is None else min(keep, len(chunk))
        start = self._scale.next(earliest, Fraction(kept, len(chunk))) if self._scale else None
        self._run.start_chunk(positions, chunk.pivots, keep, chunk.first, start)
        self._forward(chunk.features[None])
        self._last = max(self._last, last)

    @torch.inference_mode()
    def thin(self, count: int) -> None:
        """Leave each layer `count` pairs of the video so far: it turned out longer than planned."""
        start = None
        if self._scale is not None:
            held = max(map(len, self._run.kept))
            self._scale.shrink(Fraction(count, max(count, held)))
            start = self._scale.video
        self._run.thin(self._cache, count, start)

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
            pivots_kept=tuple(int(tokens.pivots.sum()) for tokens in run.kept),
        )

    def _forward(self, embeddings: Tensor) -> None:
        adapter = self._engine.adapter
        with attached(adapter, self._run):
            adapter.language_model()(
                inputs_embeds=embeddings.to(adapter.device, adapter.dtype),
                use_cache=True,
                **{CACHE_ARGUMENT: self._cache},
            )


def _kept_total(chunks: list[tuple[int, int]], share: Share | None) -> int:
    """Video tokens left in a layer once all chunks are in."""
    if share is None:
        return chunks[-1][1]
    return sum(share.keep(start, stop - start) for start, stop in chunks)
