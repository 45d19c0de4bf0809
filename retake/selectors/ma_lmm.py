"""MA-LMM's memory bank: neighbouring steps that look alike become one."""

from typing import ClassVar

import attrs
import torch
import torch.nn.functional as F
from torch import Tensor

from retake.core.options import count_of, fraction
from retake.core.selector import FrameSelector
from retake.core.tokens import Selection, VisualTokens

_STEPS = 64  # compared together


@attrs.frozen
class MaLmm(FrameSelector):
    """Merge the two most similar neighbouring steps until few enough are left.

    A merged token is the mean of those in it, each counted once however often it was merged.
    From MA-LMM (arXiv 2404.05726).

    Attributes:
        keep_ratio: fraction of the steps to keep, in (0, 1].
        per_patch: merge each of the N patches on its own, or whole steps by the mean
            similarity of their patches.
        hard: drop the earlier of the two steps instead of averaging them.
    """

    source: ClassVar[str] = "arXiv 2404.05726"

    keep_ratio: float = attrs.field(default=0.5, validator=fraction)
    per_patch: bool = True
    hard: bool = False

    def select(self, tokens: VisualTokens) -> Selection:
        bank = MemoryBank(tokens.features, per_patch=self.per_patch, hard=self.hard)
        for _ in range(tokens.steps - count_of(self.keep_ratio, tokens.steps)):
            bank.merge_once()
        features, steps, _ = bank.rows()
        return Selection.of_rows(features, steps, None, tokens)


@attrs.frozen
class MaLmmHard(FrameSelector):
    """Drop the earlier of the two most similar neighbouring steps until few enough are left.

    MA-LMM's memory bank (arXiv 2404.05726) without averaging: what is kept are tokens of the
    video as they are. The same as `ma-lmm` with `hard`, under a name of its own.

    Attributes:
        keep_ratio: fraction of the steps to keep, in (0, 1].
        per_patch: drop from each of the N patches on its own, or whole steps by the mean
            similarity of their patches.
    """

    source: ClassVar[str] = "arXiv 2404.05726"

    keep_ratio: float = attrs.field(default=0.5, validator=fraction)
    per_patch: bool = True

    def select(self, tokens: VisualTokens) -> Selection:
        return MaLmm(self.keep_ratio, self.per_patch, hard=True).select(tokens)


class MemoryBank:
    """Steps that are merged two by two; every patch has its own neighbours.

    Each merge touches one pair and its two neighbours. Nothing is moved: who follows whom is
    kept as links, between two slots that stand for the ends.

    Args:
        features: `[T, N, C]`; left as they are.
        per_patch: each patch merges its own most similar pair, or all the same.
        hard: drop the earlier of the two instead of averaging them.
        sizes: float32 `[T, N]`, how many steps each token stands for; 1 by default.
    """

    def __init__(
        self, features: Tensor, *, per_patch: bool, hard: bool, sizes: Tensor | None = None
    ) -> None:
        steps, patches, _ = features.shape
        self._per_patch, self._hard = per_patch, hard
        self._bank = features if hard else features.clone()
        self._columns = torch.arange(patches, device=features.device)
        slots = torch.arange(steps + 2, device=features.device)[:, None].repeat(1, patches)
        self._before, self._after = slots - 1, slots + 1
        self._sizes = torch.ones(slots.shape, device=features.device)
        if sizes is not None:
            self._sizes[1:-1] = sizes
        self._gone = torch.zeros_like(slots, dtype=torch.bool)
        #: How alike the token of a slot is to the next one that is left.
        self._alike = features.new_full(slots.shape, -torch.inf)
        for start in range(0, steps - 1, _STEPS):
            stop = min(start + _STEPS, steps - 1)
            pairs = features[start:stop], features[start + 1 : stop + 1]
            self._alike[start + 1 : stop + 1] = F.cosine_similarity(*pairs, dim=-1)

    def merge_once(self) -> None:
        """One step fewer."""
        alike = self._alike if self._per_patch else self._alike.mean(dim=1, keepdim=True)
        first = alike.argmax(dim=0).expand_as(self._columns)
        second = self._of(self._after, first)
        before, after = self._of(self._before, first), self._of(self._after, second)
        if self._hard:
            kept, gone = second, first
        else:
            kept, gone = first, second
            self._average(first, second)
        self._put(self._gone, gone, True)
        self._put(self._alike, gone, -torch.inf)
        for early, late in ((before, kept), (kept, after)):
            self._put(self._after, early, late)
            self._put(self._before, late, early)
            self._put(self._alike, early, self._similarity(early, late))

    def rows(self) -> tuple[Tensor, Tensor, Tensor]:
        """What is left: features `[R, N, C]`, the steps they came from `[R, N]`, sizes `[R, N]`."""
        left = ~self._gone[1:-1]
        steps = left.T.nonzero()[:, 1].reshape(len(self._columns), -1).T
        places = steps[..., None].expand(-1, -1, self._bank.shape[2])
        return self._bank.gather(0, places), steps, self._sizes[1:-1].gather(0, steps)

    def _average(self, first: Tensor, second: Tensor) -> None:
        """The mean of two tokens, each of as many steps as it stands for, in place of the first."""
        sizes = [self._of(self._sizes, slots) for slots in (first, second)]
        total = sizes[0] + sizes[1]
        parts = zip((first, second), sizes, strict=True)
        pair = torch.stack([self._tokens(slots).float() * size[:, None] for slots, size in parts])
        mean = pair.sum(dim=0) / total[:, None]
        self._bank[first - 1, self._columns] = mean.to(self._bank.dtype)
        self._put(self._sizes, first, total)

    def _similarity(self, early: Tensor, late: Tensor) -> Tensor:
        """Of the tokens of two slots, `[N]`; nothing is like what lies beyond an end."""
        last = self._bank.shape[0]
        inside = (early >= 1) & (late <= last)
        pair = self._tokens(early.clamp_min(1)), self._tokens(late.clamp_max(last))
        return torch.where(inside, F.cosine_similarity(*pair, dim=-1), -torch.inf)

    def _tokens(self, slots: Tensor) -> Tensor:
        return self._bank[slots - 1, self._columns]

    def _of(self, table: Tensor, slots: Tensor) -> Tensor:
        """One entry a patch, `[N]`, of a table `[T + 2, N]`."""
        return table[slots, self._columns]

    def _put(self, table: Tensor, slots: Tensor, value: Tensor | float) -> None:
        table[slots, self._columns] = torch.as_tensor(value, dtype=table.dtype, device=table.device)
