"""A layer whose key heads hold different pairs: an arena for each head.

The idea: heads differ in how much they look around, so a budget may be split among them
(AdaKV, arXiv 2407.11550). Each head's pairs lie in an arena of their own and attend on their
own, with exact lengths: nothing is padded or masked. What this module does not know: scores.
"""

from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import CacheLayerMixin

from retake.core.arena import ArenaLayer
from retake.core.backend import Backend


class HeadsLayer(CacheLayerMixin):  # type: ignore[no-untyped-call]
    """One `ArenaLayer` for each key head; from outside, a layer like any other."""

    is_croppable = True

    def __init__(self, room: int, axes: int, heads: list[ArenaLayer] | None = None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.room = room
        self.axes = axes
        self.heads: list[ArenaLayer] = heads or []
        self.is_initialized = bool(heads)
        self._pending: Tensor | None = None
        self._largest: Tensor | None = None
        self._largest_of: list[int] = []

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        self.heads = [ArenaLayer(self.room, self.axes) for _ in range(key_states.shape[1])]
        self.is_initialized = True

    @property
    def length(self) -> int:
        """Pairs that a head holds on average, a whole number."""
        return sum(head.length for head in self.heads) // len(self.heads) if self.heads else 0

    @property
    def device(self) -> torch.device:
        """Where the pairs are; the host, before there are any."""
        return self.heads[0].device if self.heads else torch.device("cpu")

    def cached_positions(self) -> Tensor:
        """The largest position that any head holds on each axis, `[A, 1]`; `[A, 0]` of none.

        All that a position policy asks of what is there. Found anew only after an eviction: while
        decoding, it follows from the token that was added.
        """
        lengths = [head.length for head in self.heads]
        if not any(lengths):
            return torch.empty(self.axes, 0, dtype=torch.int64, device=self.device)
        if self._largest is None or self._largest_of != lengths:
            held = [head.cached_positions() for head in self.heads if head.length]
            self._largest = torch.stack([each.amax(dim=1) for each in held]).amax(dim=0)[:, None]
            self._largest_of = lengths
        return self._largest

    def expect(self, positions: Tensor) -> None:
        """Say the positions `[A, Q]` of the tokens that the next `update` brings."""
        self._pending = positions

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: object, **kwargs: object
    ) -> tuple[Tensor, Tensor]:
        """Write each head's new pairs behind its old; what comes back are the new ones alone."""
        if self._pending is None:
            raise RuntimeError("positions must be announced by expect() before update()")
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        before = self.cached_positions()
        for number, head in enumerate(self.heads):
            one = slice(number, number + 1)
            head.expect(self._pending)
            head.update(key_states[:, one], value_states[:, one])
        added = self._pending.to(self.device)
        self._largest = torch.cat((before.to(self.device), added), dim=1).amax(dim=1, keepdim=True)
        self._largest_of = [head.length for head in self.heads]
        self._pending = None
        return key_states, value_states

    def attend(self, backend: Backend, queries: Tensor, scaling: float) -> Tensor:
        """Attention `[B, H, Q, D]` of the newest tokens, each head over the pairs it holds."""
        share = queries.shape[1] // len(self.heads)
        outputs = [
            backend.attend(
                queries[:, number * share : (number + 1) * share],
                head.keys[:, :, : head.length],
                head.values[:, :, : head.length],
                scaling,
            )
            for number, head in enumerate(self.heads)
        ]
        return torch.cat(outputs, dim=1)

    def fork(self, room: int, *, share: bool = True) -> "HeadsLayer":
        """A layer that reads this one's pairs and writes behind them, as `ArenaLayer.fork`."""
        extra = room - self.length
        forks = [head.fork(head.length + extra, share=share) for head in self.heads]
        return HeadsLayer(room, self.axes, forks)

    def nbytes(self) -> int:
        """Bytes of the pairs held, not of the room reserved."""
        return sum(head.nbytes() for head in self.heads)

    def reserved_bytes(self) -> int:
        """Bytes of the buffers, room not written yet included."""
        return sum(head.reserved_bytes() for head in self.heads)

    def get_seq_length(self) -> int:
        return self.length

    def get_max_length(self) -> int:
        return -1

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self.length + query_length, 0

    def crop(self, tokens_to_remove: int) -> None:
        """Forget each head's newest tokens."""
        self._each("crop", tokens_to_remove)

    def reset(self) -> None:
        self._each("reset")

    def reorder_cache(self, beam_idx: Tensor) -> None:
        self._each("reorder_cache", beam_idx)

    def batch_select_indices(self, indices: Tensor) -> None:
        self._each("batch_select_indices", indices)

    def batch_repeat_interleave(self, repeats: int) -> None:
        self._each("batch_repeat_interleave", repeats)

    def _each(self, method: str, *args: Any) -> None:
        for head in self.heads:
            getattr(head, method)(*args)
