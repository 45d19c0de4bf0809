"""The KV arena: one layer's keys, values and positions in buffers allocated once.

The room needed is known before the first chunk (budget + one chunk), so a chunk is
written at the end and what survives is moved together in place: nothing grows by
concatenation and the past is never copied. `ArenaCache` is a `transformers` cache, so the
stock `generate` decodes from it. What this module does not know: scores and budgets.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from inspect import signature

import torch
from torch import Tensor
from transformers.cache_utils import Cache, CacheLayerMixin
from transformers.generation.utils import GenerationMixin

#: Pairs of room behind a memory that was loaded, for a question and an answer.
ASKING_ROOM = 512

#: The keyword under which models and `generate` take a cache; `transformers` 5.24 renamed it.
CACHE_ARGUMENT = (
    "cache"
    if "cache" in signature(GenerationMixin.prepare_inputs_for_generation).parameters
    else "past_key_values"
)


class ArenaLayer(CacheLayerMixin):  # type: ignore[no-untyped-call]
    """Keys, values `[B, KV, room, D]` and positions `[A, room]` of one layer."""

    is_croppable = True
    keys: Tensor
    values: Tensor

    def __init__(self, room: int, axes: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.room = room
        self.length = 0
        self.axes = axes
        self.positions = torch.empty(axes, 0, dtype=torch.int64)
        self._pending: Tensor | None = None

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        batch, groups = key_states.shape[:2]
        self.keys = key_states.new_empty(batch, groups, self.room, key_states.shape[3])
        self.values = value_states.new_empty(batch, groups, self.room, value_states.shape[3])
        self.positions = torch.empty(
            self.axes, self.room, dtype=torch.int64, device=key_states.device
        )
        self.is_initialized = True

    def expect(self, positions: Tensor) -> None:
        """Say the positions `[A, Q]` of the tokens that the next `update` brings."""
        self._pending = positions

    @property
    def device(self) -> torch.device:
        """Where the pairs are; the host, before there are any."""
        return self.positions.device

    def cached_positions(self) -> Tensor:
        """`[A, length]`, a view."""
        return self.positions[:, : self.length]

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: object, **kwargs: object
    ) -> tuple[Tensor, Tensor]:
        """Write new pairs behind the old and return views of all, `[B, KV, length, D]`."""
        if self._pending is None:
            raise RuntimeError("positions must be announced by expect() before update()")
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        if key_states.shape[0] != self.keys.shape[0]:
            # Beams and several sequences arrive as a larger batch that shares one past.
            self.batch_repeat_interleave(key_states.shape[0] // self.keys.shape[0])
        end = self.length + key_states.shape[2]
        self._make_room(end)
        self.keys[:, :, self.length : end] = key_states
        self.values[:, :, self.length : end] = value_states
        self.positions[:, self.length : end] = self._pending
        self._pending = None
        self.length = end
        return self.keys[:, :, :end], self.values[:, :, :end]

    def compact(self, count: int, kept: Tensor, keys: Tensor, positions: Tensor) -> None:
        """Replace the newest `count` pairs by those of them that are kept.

        Args:
            count: Q, how many pairs the newest chunk has.
            kept: int64 `[K]`, ascending indices into the chunk.
            keys: `[B, KV, K, D]`, the kept keys, turned to their new positions.
            positions: `[A, K]`, the new positions.
        """
        start = self.length - count
        end = start + kept.shape[0]
        survivors = self.values[:, :, start : self.length].index_select(2, kept)
        self.values[:, :, start:end] = survivors
        self.keys[:, :, start:end] = keys
        self.positions[:, start:end] = positions
        self.length = end

    def fork(self, room: int, *, share: bool = True) -> "ArenaLayer":
        """A layer that reads this one's pairs and writes behind them.

        It shares the buffers where it may and they hold `room` pairs, so that asking costs no
        copy; writing behind `length` never touches what this layer has.
        """
        other = ArenaLayer(max(room, self.room), self.axes)
        other.length = self.length
        if not self.is_initialized:
            return other
        other.keys, other.values, other.positions = self.keys, self.values, self.positions
        other.room = self.room
        other.is_initialized = True
        if share:
            other._make_room(room)
        else:
            other._move(room)
        return other

    def _make_room(self, needed: int) -> None:
        """Move to larger buffers where these are full: decoding past the reserved room."""
        if needed > self.room:
            self._move(max(needed, self.room + self.room // 4 + 16))

    def _move(self, room: int) -> None:
        """Copy what is held to buffers of this layer's own."""
        for name in ("keys", "values"):
            old = getattr(self, name)
            new = old.new_empty(*old.shape[:2], room, old.shape[3])
            new[:, :, : self.length] = old[:, :, : self.length]
            setattr(self, name, new)
        positions = self.positions.new_empty(self.axes, room)
        positions[:, : self.length] = self.positions[:, : self.length]
        self.positions = positions
        self.room = room

    def nbytes(self) -> int:
        """Bytes of the pairs held, not of the room reserved."""
        if not self.is_initialized:
            return 0
        pair = self.keys[:, :, :1].nbytes + self.values[:, :, :1].nbytes
        return pair * self.length

    def reserved_bytes(self) -> int:
        """Bytes of the buffers, room not written yet included."""
        return self.keys.nbytes + self.values.nbytes if self.is_initialized else 0

    def get_seq_length(self) -> int:
        return self.length

    def get_max_length(self) -> int:
        return -1

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self.length + query_length, 0

    def crop(self, tokens_to_remove: int) -> None:
        """Forget the newest tokens, as assisted decoding asks."""
        self.length = max(0, self.length - abs(tokens_to_remove))

    def reset(self) -> None:
        self.length = 0

    def _own_rows(self, rows: Tensor) -> None:
        """Take given rows of the batch into buffers of this layer's own."""
        index = rows.to(self.keys.device)
        self.keys = self.keys.index_select(0, index)
        self.values = self.values.index_select(0, index)

    def reorder_cache(self, beam_idx: Tensor) -> None:
        if self.is_initialized:
            self._own_rows(beam_idx)

    def batch_select_indices(self, indices: Tensor) -> None:
        self.reorder_cache(indices)

    def batch_repeat_interleave(self, repeats: int) -> None:
        if self.is_initialized and repeats > 1:
            self._own_rows(torch.arange(self.keys.shape[0]).repeat_interleave(repeats))


class ArenaCache(Cache):
    """One `ArenaLayer` a layer of the language model."""

    layers: list[ArenaLayer]  # type: ignore[assignment]

    def __init__(self, layers: list[ArenaLayer]) -> None:
        super().__init__(layers=list(layers))
        self._lent = False

    @classmethod
    def allocate(cls, layers: int, room: int, axes: int) -> "ArenaCache":
        """Empty arenas with room for so many pairs each (taken when the first arrives)."""
        return cls([ArenaLayer(room, axes) for _ in range(layers)])

    @contextmanager
    def forked(self, extra: int) -> "Iterator[ArenaCache]":
        """A cache that continues this one by up to `extra` tokens and leaves it unchanged.

        One fork at a time writes into the room behind this cache's own pairs; one that is
        opened while another is has buffers of its own.
        """
        share = not self._lent
        self._lent = True
        try:
            yield ArenaCache(
                [layer.fork(layer.length + extra, share=share) for layer in self.layers]
            )
        finally:
            self._lent = self._lent and not share

    def reserved_bytes(self) -> int:
        """Bytes of the buffers, room not written yet included."""
        return sum(layer.reserved_bytes() for layer in self.layers)

    def lengths(self) -> list[int]:
        """Pairs held by each layer."""
        return [layer.length for layer in self.layers]

    def mean_length(self) -> int:
        """Pairs held by an average layer, rounded up."""
        return -(-sum(self.lengths()) // len(self.layers))

    def nbytes(self) -> int:
        """Bytes of all pairs held."""
        return sum(layer.nbytes() for layer in self.layers)
