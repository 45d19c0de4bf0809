"""The interface of KV-cache compressors."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar, Literal

import attrs
import torch
from torch import Tensor

from retake.core.apportion import apportion
from retake.core.errors import UsageError
from retake.core.kv import KVChunk
from retake.core.tokens import Selection, shape_of

Scope = Literal["chunk", "cache"]


@attrs.frozen
class KVCompressor(ABC):
    """Decides which key/value pairs of a layer survive after each chunk of video.

    Write `score()`; the base class keeps pivots first, then the best scores, ties going to
    the earlier token, exactly as many as the budget allows. Subclasses are frozen attrs classes:
    their fields are the options a user may set. Nothing is remembered from chunk to chunk
    but what the engine hands back in `KVChunk.carried`.

    What a pair may be evicted from, and how a budget is split, is said by the attributes below;
    a wrapper (`Wrapper`) answers them by asking the compressor that it wraps.
    """

    #: Where the method comes from, as `retake list` shows it.
    source: ClassVar[str] = ""
    #: False for a compressor that never evicts; it takes no budget.
    evicts: ClassVar[bool] = True
    #: "chunk": only the newest chunk's pairs are evicted, and each chunk keeps its share of the
    #: budget. "cache": all of the video's pairs compete, and the cache is filled to the budget.
    scope: ClassVar[Scope] = "chunk"
    #: Whether it scores by the question (`KVChunk.guide`). Then a video is watched anew for each.
    needs_question: ClassVar[bool] = False
    #: Whether key heads keep different pairs: each is then scored and chooses alone, and
    #: `head_counts` splits the layer's budget among them.
    per_head: ClassVar[bool] = False
    #: Whether `chunk_weights` must be asked, for which the whole selection is waited for.
    weighs_chunks: ClassVar[bool] = False
    #: Whether scores add up over chunks (`KVChunk.carried`), so that pairs are scored, with scope
    #: "cache", also while all of them fit.
    accumulates: ClassVar[bool] = False
    #: Whether layers share a chunk's budget by `share_layers`, once all of them have scored.
    weighs_layers: ClassVar[bool] = False

    @abstractmethod
    def score(self, chunk: KVChunk) -> Tensor:
        """How much each pair is worth: `[L]`, higher is kept."""

    def keep(self, chunk: KVChunk, scores: Tensor, count: int) -> Tensor:
        """The indices of the `count` pairs to keep, int64 `[count]`, ascending."""
        return pivots_first(scores, chunk.pivots)[:count].sort().values

    def head_counts(
        self, scores: Sequence[Tensor], pivots: Sequence[Tensor], count: int
    ) -> list[int]:
        """With `per_head`: how many pairs each key head keeps; together `KV · count`.

        Args:
            scores: of each key head, `[L]`; with scope "cache" heads hold different numbers.
            pivots: bool `[L]` of each, which of its pairs are pivots.
            count: pairs that a head keeps on average.
        """
        return apportion(count * len(scores), [1.0] * len(scores), [len(each) for each in scores])

    def chunk_weights(self, chunks: Sequence[Selection]) -> Tensor:
        """With `weighs_chunks`: what each chunk is worth against the others, `[n]`, above 0."""
        return torch.ones(len(chunks))

    def layer_weights(self, layers: int) -> Sequence[float] | None:
        """What each layer is worth against the others, above 0, known beforehand; None: the same.

        The budget is that of an average layer.
        """
        return None

    def share_layers(self, scores: Sequence[Tensor], count: int) -> Sequence[float]:
        """With `weighs_layers`: what each layer is worth by the scores it gave a chunk.

        Args:
            scores: each layer's, `[L]`.
            count: pairs a layer keeps on average.
        """
        return [1.0] * len(scores)

    def scored(self, chunk: KVChunk) -> Tensor:
        """`score()`, refused where it is not one number a pair.

        Raises:
            UsageError: it has another shape, or holds NaN.
        """
        scores = self.score(chunk)
        if not isinstance(scores, Tensor) or scores.shape != (len(chunk),):
            given = list(scores.shape) if isinstance(scores, Tensor) else type(scores).__name__
            raise UsageError(
                f"{type(self).__name__}.score() must return a tensor [{len(chunk)}], "
                f"one score a pair, but returned {given}."
            )
        if scores.isnan().any():
            raise UsageError(f"{type(self).__name__}.score() returned NaN in layer {chunk.layer}.")
        return scores

    def compress(self, chunk: KVChunk, count: int) -> Tensor:
        """Score the pairs and choose: int64 `[count]`, ascending indices into the chunk.

        May be overridden by what is not score-and-choose, where a layer's newest chunk is decided
        at once; with scope "cache", and where heads or layers share, `score` and `keep` are asked.
        """
        return self.keep(chunk, self.scored(chunk), count)


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


def checked_weights(given: object, count: int, method: str, *, zero: bool = False) -> list[float]:
    """What a compressor weighs by, refused where it is not `count` finite numbers above 0.

    Args:
        given: a sequence of numbers, or a tensor of one dimension.
        count: how many are wanted.
        method: what returned them, for the message.
        zero: allow 0, as long as one is above.

    Raises:
        UsageError: naming the method, what was wanted and what came.
    """
    values = given.tolist() if isinstance(given, Tensor) else given
    numbers = list(values) if isinstance(values, Sequence) else None
    if (
        numbers is None
        or len(numbers) != count
        or not all(isinstance(each, (int, float)) and 0 <= each < float("inf") for each in numbers)
        or not (any(numbers) if zero else all(numbers))
    ):
        least = "0 or more, not all 0" if zero else "above 0"
        raise UsageError(
            f"{method} must return {count} finite numbers {least}, but returned {given!r:.80}."
        )
    return [float(each) for each in numbers]


def pivots_first(scores: Tensor, pivots: Tensor) -> Tensor:
    """Indices by falling score, pivots before all others; among equals the earlier first."""
    order = best_first(scores)
    return order[torch.argsort(pivots[order].int(), descending=True, stable=True)]


def best_first(scores: Tensor) -> Tensor:
    """Indices by falling score; among equals the earlier comes first, on every device."""
    return torch.argsort(scores, descending=True, stable=True)
