"""MA-LMM's memory bank: neighbouring steps that look alike become one."""

from typing import ClassVar

import attrs
import torch
import torch.nn.functional as F
from torch import Tensor

from retake.core.options import count_of, fraction
from retake.core.selector import FrameSelector
from retake.core.tokens import Selection, VisualTokens


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
        bank = tokens.features
        sizes = torch.ones(bank.shape[:2], dtype=torch.float32, device=bank.device)
        steps = torch.arange(tokens.steps, device=bank.device)[:, None].repeat(1, tokens.patches)
        for _ in range(tokens.steps - count_of(self.keep_ratio, tokens.steps)):
            bank, sizes, steps = self._merge_once(bank, sizes, steps)
        return Selection.of_rows(bank, steps, None, tokens)

    def _merge_once(
        self, bank: Tensor, sizes: Tensor, steps: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """One step fewer: `[T, N, C]`, `[T, N]`, `[T, N]` become `[T-1, …]`."""
        alike = F.cosine_similarity(bank[:-1], bank[1:], dim=-1)
        if not self.per_patch:
            alike = alike.mean(dim=1, keepdim=True).expand_as(alike)
        earlier = alike.argmax(dim=0)
        # Row r of the shorter bank comes from row r before the row that goes, from r + 1 after.
        gone = earlier if self.hard else earlier + 1
        rows = torch.arange(bank.shape[0] - 1, device=bank.device)[:, None]
        chosen = rows + (rows >= gone)
        places = chosen[..., None].expand(-1, -1, bank.shape[2])
        shorter, counts = bank.gather(0, places), sizes.gather(0, chosen)
        if not self.hard:
            pair = torch.stack((earlier, earlier + 1))
            weights = sizes.gather(0, pair)
            tokens = bank.gather(0, pair[..., None].expand(-1, -1, bank.shape[2]))
            total = weights.sum(dim=0)
            mean = (tokens.float() * weights[..., None]).sum(dim=0) / total[:, None]
            merged = rows == earlier
            shorter = torch.where(merged[..., None], mean.to(bank.dtype), shorter)
            counts = torch.where(merged, total, counts)
        return shorter, counts, steps.gather(0, chosen)


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
