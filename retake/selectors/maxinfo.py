"""MaxInfo: the steps that together span the most of what the video shows."""

from typing import ClassVar

import attrs
import torch
from torch import Tensor

from retake.core.options import at_least, count_of, fraction
from retake.core.selector import FrameSelector
from retake.core.tokens import Selection, VisualTokens

# Directions weaker than the strongest by this much are rounding errors.
_RANK_TOLERANCE = 1e-6
# A step is exchanged for one that spans at least so many times the volume.
_WORTH_SWAPPING = 1.05
_SWAPS = 100
# Values this close are equal: among equals the earlier step wins, whatever was rounded how.
_TIE = 1e-9
_STEPS = 64  # of the video, converted to float64 together


@attrs.frozen
class MaxInfo(FrameSelector):
    """Keep the steps whose features span the largest volume: a diverse set without near repeats.

    A step is the mean of its tokens. The video's matrix of steps is reduced to its strongest
    directions by a singular value decomposition. Of as many steps as there are directions, those
    are sought whose square matrix has a determinant that no exchange of one step makes much
    larger (maxvol); then the step that is hardest to write as a combination of those chosen, with
    small coefficients, joins them, one by one (rectangular maxvol). From MaxInfo (arXiv
    2502.03183), with the rank of its published code.

    There a tolerance decides how many frames are enough, up to a number; here exactly as many steps
    are kept as asked, and no tolerance is needed. Where that is fewer than the rank, there are as
    few directions. There frames are seen through CLIP; here through the model's own visual
    features, which are there anyway. Ties go to the earlier step. No pivots.

    Attributes:
        keep_ratio: fraction of the steps to keep, in (0, 1].
        rank: how many directions are left of the features.
    """

    source: ClassVar[str] = "arXiv 2502.03183"

    keep_ratio: float = attrs.field(default=0.5, validator=fraction)
    rank: int = attrs.field(default=8, validator=at_least(1))

    def select(self, tokens: VisualTokens) -> Selection:
        kept = count_of(self.keep_ratio, tokens.steps)
        if kept == tokens.steps:
            return Selection.gather(tokens, torch.arange(kept))
        places = strongest_directions(_means(tokens.features), min(self.rank, kept))
        chosen = grown(places, square_maxvol(places), kept)
        return Selection.gather(tokens, chosen.sort().values)


def _means(features: Tensor) -> Tensor:
    """Each step's mean token, float64 `[T, C]` on the host."""
    parts = (features[start : start + _STEPS] for start in range(0, len(features), _STEPS))
    means = [part.float().mean(dim=1).cpu() for part in parts]
    return torch.cat(means).double()


def strongest_directions(rows: Tensor, rank: int) -> Tensor:
    """Where rows `[T, C]` lie along their strongest directions: `[T, R]`, R at most `rank`.

    From the eigenvectors of the smaller of the two Gram matrices. R is 0 where all is zero.
    """
    wide = rows.shape[1] > rows.shape[0]
    strengths, vectors = torch.linalg.eigh(rows @ rows.T if wide else rows.T @ rows)
    strengths = strengths.clamp_min(0).sqrt().flip(0)[:rank]
    vectors = vectors.flip(1)[:, :rank]
    known = strengths > strengths[0] * _RANK_TOLERANCE
    left: Tensor = vectors if wide else rows @ vectors / strengths.clamp_min(torch.finfo().tiny)
    return left[:, known]


def square_maxvol(places: Tensor) -> Tensor:
    """R rows of `[T, R]` whose matrix has a locally largest determinant: int64 `[R]`."""
    chosen = _apart(places)
    for _ in range(_SWAPS if len(chosen) else 0):
        # How rows combine from those chosen; an exchange multiplies the volume by one such number.
        combined = torch.linalg.solve(places[chosen], places, left=False).abs()
        row, place = divmod(first_largest(combined.flatten()), len(chosen))
        if float(combined[row, place]) <= _WORTH_SWAPPING:
            break
        chosen[place] = row
    return chosen


def _apart(places: Tensor) -> Tensor:
    """R rows of `[T, R]`, each the farthest from the space that those before it span."""
    left = places.clone()
    chosen = []
    for _ in range(places.shape[1]):
        chosen.append(first_largest(left.square().sum(dim=1)))
        direction = left[chosen[-1]] / left[chosen[-1]].norm()
        left -= (left @ direction)[:, None] * direction
    return torch.tensor(chosen, dtype=torch.int64)


def grown(places: Tensor, chosen: Tensor, count: int) -> Tensor:
    """More rows of `[T, R]`, each the one that adds most to the volume: int64 `[count]`.

    A row that combines from those chosen with coefficients of squared length l makes the volume
    √(1 + l) times as large. Those lengths follow from one step to the next by a rank-one update.
    """
    basis = places[chosen]
    inverse = torch.linalg.inv(basis.T @ basis)
    lengths = ((places @ inverse) * places).sum(dim=1)
    lengths[chosen] = -1
    order = chosen.tolist()
    while len(order) < count:
        row = first_largest(lengths)
        order.append(row)
        turned = inverse @ places[row]
        grows = 1 + lengths[row].clamp_min(0)
        lengths -= (places @ turned).square() / grows
        inverse -= torch.outer(turned, turned) / grows
        lengths[order] = -1
    return torch.tensor(order)


def first_largest(values: Tensor) -> int:
    """The first place of `[n]` with the largest value, up to rounding."""
    largest = values.max()
    return int((values >= largest - _TIE * largest.abs()).int().argmax())
