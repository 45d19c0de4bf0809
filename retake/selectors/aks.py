"""AKS: the most relevant steps where relevance stands out, spread evenly where it does not."""

from typing import ClassVar

import attrs
import torch
from torch import Tensor

from retake.core.options import at_least, between, count_of, fraction
from retake.core.selector import QuestionSelector
from retake.core.tokens import Selection, VisualTokens


@attrs.frozen(kw_only=True)
class AKS(QuestionSelector):
    """Weigh relevance to the question against coverage of the video, stretch by stretch.

    Judge: where the best steps of a stretch are clearly more relevant than its average, they are
    kept. Split: where they are not, the stretch is halved, each half keeps half as many, and is
    judged itself, down to a number of levels; there the best are kept whatever they are. Relevance
    is scaled to [0, 1] over the video beforehand. From adaptive keyframe sampling (arXiv
    2502.21271), with its published defaults.

    There numbers of frames are halved and rounded down, so that fewer than asked may be kept. Here
    exactly as many are: of an odd number, the half whose next best step is more relevant keeps the
    one that is left over. Ties go to the earlier step. No pivots.

    Attributes:
        scorer: rates every frame against the question; a step counts as its best frame does.
        keep_ratio: fraction of the steps to keep, in (0, 1].
        threshold: by how much the mean of the best must exceed the mean of all, in [0, 1]; 0
            never splits (the same as `topk-sim`).
        levels: how often a stretch may be halved.
    """

    source: ClassVar[str] = "arXiv 2502.21271"

    keep_ratio: float = attrs.field(default=0.5, validator=fraction)
    threshold: float = attrs.field(default=0.8, validator=between(0, 1))
    levels: int = attrs.field(default=5, validator=at_least(0))

    def select(self, tokens: VisualTokens) -> Selection:
        fits = _scaled(self.relevance(tokens))
        kept = self._best(fits, count_of(self.keep_ratio, tokens.steps), 0)
        return Selection.gather(tokens, kept.sort().values)

    def _best(self, fits: Tensor, count: int, level: int) -> Tensor:
        """Which `count` steps of a stretch `[L]` are kept: int64 `[count]`, in any order."""
        order = fits.argsort(descending=True, stable=True)
        best = order[:count]
        settled = not 1 < count < len(fits) or level >= self.levels
        if settled or float(fits[best].mean() - fits.mean()) >= self.threshold:
            return best
        middle = len(fits) // 2
        early, late = fits[:middle], fits[middle:]
        first = _share(early, late, count)
        return torch.cat(
            (
                self._best(early, first, level + 1),
                self._best(late, count - first, level + 1) + middle,
            )
        )


def _scaled(relevance: Tensor) -> Tensor:
    """Relevance from 0 to 1 over the video, float64; all 0 where it is everywhere the same."""
    values = relevance.double()
    low, high = values.aminmax()
    return (values - low) / (high - low) if high > low else torch.zeros_like(values)


def _share(early: Tensor, late: Tensor, count: int) -> int:
    """How many of `count` steps the earlier half keeps."""
    half = count // 2
    if count % 2 == 0:
        return half
    # The step that each half would keep next; both halves have one, or all would be kept.
    next_early, next_late = (part.sort(descending=True).values[half] for part in (early, late))
    return half + int(next_early >= next_late)
