"""AdaKV: heads that attend widely keep more."""

from collections.abc import Sequence
from typing import ClassVar

import attrs
import torch
from torch import Tensor

from retake.core.compressor import pivots_first
from retake.core.options import between
from retake.core.wrapper import Wrapper


@attrs.frozen
class AdaKV(Wrapper):
    """Let key heads keep different pairs, and as many each as it has of the layer's best scores.

    The scores of all heads are ranked together, pivots of every head first, and a layer keeps the
    best, a fixed share of each head's own best being kept whatever others have. Works for
    scores that heads can be compared by, as attention is: each head has the same to give.
    From Ada-KV (arXiv 2407.11550). A safeguard of 1 gives every head the same number, and still
    pairs of its own.

    Attributes:
        of: the compressor inside; it scores each key head alone, with the queries that share it.
        safeguard: fraction of an even share that every head keeps, 0 … 1.
    """

    source: ClassVar[str] = "arXiv 2407.11550"

    safeguard: float = attrs.field(default=0.2, validator=between(0, 1))

    @property
    def per_head(self) -> bool:  # type: ignore[override]
        return True

    def head_counts(
        self, scores: Sequence[Tensor], pivots: Sequence[Tensor], count: int
    ) -> list[int]:
        safe = torch.cat([self._safe(*head, count) for head in zip(scores, pivots, strict=True)])
        order = pivots_first(torch.cat(list(scores)), torch.cat(list(pivots)))
        order = order[torch.argsort(safe[order].int(), descending=True, stable=True)]
        owners = torch.cat([torch.full((len(each),), head) for head, each in enumerate(scores)])
        kept = owners[order[: count * len(scores)].cpu()]
        return [int(number) for number in torch.bincount(kept, minlength=len(scores))]

    def _safe(self, scores: Tensor, pivots: Tensor, count: int) -> Tensor:
        """Which pairs of a head, `[L]`, it keeps whatever other heads have."""
        own = torch.zeros_like(pivots)
        own[pivots_first(scores, pivots)[: int(self.safeguard * count)]] = True
        return own
