"""The interface of KV-cache compressors."""

from abc import ABC, abstractmethod
from typing import ClassVar

import attrs
import torch
from torch import Tensor

from retake.core.errors import UsageError
from retake.core.kv import KVChunk
from retake.core.tokens import shape_of


@attrs.frozen
class KVCompressor(ABC):
    """Decides which key/value pairs of a layer survive after each chunk of video.

    Write `score()`; the base class keeps pivots first, then the best scores, ties going to
    the earlier token. Subclasses are frozen attrs classes: their fields are the options a
    user may set.
    """

    #: Where the method comes from, as `retake list` shows it.
    source: ClassVar[str] = ""
    #: False for a compressor that never evicts; it takes no budget.
    evicts: ClassVar[bool] = True

    @abstractmethod
    def score(self, chunk: KVChunk) -> Tensor:
        """How much each pair of the chunk is worth: `[Q]`, higher is kept."""

    def keep(self, chunk: KVChunk, scores: Tensor, count: int) -> Tensor:
        """The indices of the `count` pairs to keep, int64 `[count]`, ascending."""
        order = best_first(scores)
        pivots_first = order[torch.argsort(chunk.pivots[order].int(), descending=True, stable=True)]
        return pivots_first[:count].sort().values

    def compress(self, chunk: KVChunk, count: int) -> Tensor:
        """Score the chunk and choose: int64 `[count]`, ascending indices into the chunk."""
        scores = self.score(chunk)
        if not isinstance(scores, Tensor) or scores.shape != (len(chunk),):
            given = list(scores.shape) if isinstance(scores, Tensor) else type(scores).__name__
            raise UsageError(
                f"{type(self).__name__}.score() must return a tensor [{len(chunk)}], "
                f"one score a token of the chunk, but returned {given}."
            )
        if scores.isnan().any():
            raise UsageError(f"{type(self).__name__}.score() returned NaN in layer {chunk.layer}.")
        return self.keep(chunk, scores, count)


def checked(kept: object, size: int, count: int, method: str) -> Tensor:
    """What a compressor chose, refused where it is not `count` ascending indices below `size`.

    Raises:
        UsageError: naming the compressor's method, what was wanted and what came.
    """
    wanted = f"{method} must choose {count} of {size} pairs, as ascending int64 indices"
    if not isinstance(kept, Tensor):
        raise UsageError(f"{wanted}, but returned a {type(kept).__name__}.")
    if kept.shape != (count,) or kept.dtype != torch.int64:
        raise UsageError(f"{wanted}, but returned {shape_of(kept)}.")
    if count and (bool((kept.diff() <= 0).any()) or kept[0] < 0 or kept[-1] >= size):
        raise UsageError(f"{wanted}, but returned {kept[:8].tolist()}…")
    return kept


def best_first(scores: Tensor) -> Tensor:
    """Indices by falling score; among equals the earlier comes first, on every device."""
    return torch.argsort(scores, descending=True, stable=True)
