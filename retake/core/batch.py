"""Several questions about one cache at a time: rows of a batch that share its pairs.

The cache's pairs are read where they are, once for all rows; each row has buffers of its own
for its question and its answer. Shorter questions are padded on the left. What this module
does not know: how tokens are chosen.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from transformers.cache_utils import Cache, CacheLayerMixin

from retake.core.arena import ArenaLayer
from retake.core.attach import attached
from retake.core.shared_attention import attend_shared

if TYPE_CHECKING:
    from retake.core.engine import Engine, Prefilled


class RowsLayer(CacheLayerMixin):  # type: ignore[no-untyped-call]
    """One layer: the past `[1, KV, L, D]` that is shared, and each row's `[B, KV, room, D]`."""

    keys: Tensor
    values: Tensor

    def __init__(self, shared: ArenaLayer, room: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.past = (
            shared.keys[:, :, : shared.length],
            shared.values[:, :, : shared.length],
        )
        self.past_positions = shared.cached_positions()
        self.room = room
        self.own = 0

    def expect(self, positions: Tensor) -> None:
        """The rows' positions follow from their pads: nothing to remember."""

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        rows, groups = key_states.shape[:2]
        self.keys = key_states.new_empty(rows, groups, self.room, key_states.shape[3])
        self.values = value_states.new_empty(rows, groups, self.room, value_states.shape[3])
        self.is_initialized = True

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: object, **kwargs: object
    ) -> tuple[Tensor, Tensor]:
        """Write new pairs behind each row's and return views of its own, `[B, KV, own, D]`."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        end = self.own + key_states.shape[2]
        if end > self.room:
            self._grow(max(end, self.room + self.room // 4 + 16))
        self.keys[:, :, self.own : end] = key_states
        self.values[:, :, self.own : end] = value_states
        self.own = end
        return self.keys[:, :, :end], self.values[:, :, :end]

    def _grow(self, room: int) -> None:
        """Move what the rows have to larger buffers: an answer longer than was reserved."""
        for name in ("keys", "values"):
            old = getattr(self, name)
            new = old.new_empty(*old.shape[:2], room, old.shape[3])
            new[:, :, : self.own] = old[:, :, : self.own]
            setattr(self, name, new)
        self.room = room

    def get_seq_length(self) -> int:
        return self.past[0].shape[2] + self.own

    def get_max_length(self) -> int:
        return -1

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self.get_seq_length() + query_length, 0


class RowsCache(Cache):
    """One `RowsLayer` a layer of the language model.

    Attributes:
        pads: for each row, how many of its first columns stand for nothing.
    """

    layers: list[RowsLayer]  # type: ignore[assignment]

    def __init__(self, layers: list[RowsLayer], pads: tuple[int, ...]) -> None:
        super().__init__(layers=list(layers))
        self.pads = pads

    def own_bytes(self) -> int:
        """Bytes of the rows' own buffers, room not written yet included."""
        return sum(
            layer.keys.nbytes + layer.values.nbytes for layer in self.layers if layer.is_initialized
        )


class RowsRun:
    """Questions in a batch: what the attached layers ask for (`LayerSession`)."""

    def __init__(self, engine: "Engine", cache: RowsCache, next_position: int) -> None:
        self._cache = cache
        # Layers may be on several devices: each reads the pads on its own.
        pads = torch.tensor(cache.pads)
        there = {each.past_positions.device for each in cache.layers}
        self._pads = {device: pads.to(device) for device in there}
        self._starts = [self._start(engine, layer, next_position) for layer in cache.layers]

    @staticmethod
    def _start(engine: "Engine", layer: RowsLayer, next_position: int) -> Tensor:
        """Where the first token of text stands in a layer, `[A, 1, 1]`."""
        held = layer.past_positions
        own = torch.full((held.shape[0], 1), next_position, device=held.device)
        return engine.policy.place_text(own, held, "question")[:, :, None]

    def place(self, layer: int, cache: RowsCache, count: int) -> Tensor:
        """Positions `[A, B, Q]`: every row counts on from its first token that is no pad."""
        first = cache.layers[layer].own
        start = self._starts[layer]
        columns = torch.arange(first, first + count, device=start.device)
        return start + (columns - self._pads[start.device][:, None]).clamp(min=0)

    def attend(
        self, layer: int, queries: Tensor, keys: Tensor, values: Tensor, scaling: float
    ) -> Tensor:
        past = self._cache.layers[layer].past
        pads = self._pads[past[0].device]
        return attend_shared(queries, past, (keys, values), pads, scaling)


@contextmanager
def asking_rows(
    engine: "Engine", prefilled: "Prefilled", lengths: Sequence[int], room: int
) -> Iterator[RowsCache]:
    """A cache to generate several answers from at once; what is prefilled stays as it is.

    The engine's position policy must count on (`PositionPolicy.counts_on`).

    Args:
        engine: whose model is attached meanwhile.
        prefilled: text and video.
        lengths: tokens of each question; a row each.
        room: pairs that an answer may need.
    """
    if not engine.policy.counts_on:
        raise ValueError(f"text placed by '{engine.policy.name}' cannot be asked in a batch")
    longest = max(lengths)
    layers = [RowsLayer(layer, longest + room) for layer in prefilled.cache.layers]
    cache = RowsCache(layers, tuple(longest - length for length in lengths))
    run = RowsRun(engine, cache, prefilled.next_position)
    with torch.inference_mode(), attached(engine.adapter, run):
        yield cache
