"""Position policies: where in the model's context the tokens of a compressed video stand.

Positions are int64 `[A, Q]`: A is 1 with 1-D RoPE and 3 (time, height, width) with M-RoPE.
They belong to the cache and differ from layer to layer, because each layer keeps other
tokens. A policy is asked three times: before a chunk is attended, after it was compressed,
and for text that follows.
"""

from abc import ABC, abstractmethod
from fractions import Fraction
from typing import ClassVar, Literal

import torch
from torch import Tensor

from retake.core.errors import unknown_name

Phase = Literal["question", "decode"]


class PositionPolicy(ABC):
    """Places the tokens of one layer."""

    name: ClassVar[str]
    #: Whether kept tokens move, so that scores must not depend on positions.
    reforges: ClassVar[bool]
    #: Whether each token of text stands one further than the one before it, on every axis, from
    #: where `place_text` puts the first. Only then are questions asked in a batch.
    counts_on: ClassVar[bool] = False

    @abstractmethod
    def place_video(self, own: Tensor, cached: Tensor, start: int | None) -> Tensor:
        """Positions to attend a chunk with.

        Args:
            own: the model's, `[A, Q]`.
            cached: the layer's so far, `[A, L]`.
            start: where the chunk's time starts on the shrunk scale of a family with absolute
                time; None where time counts steps.
        """

    @abstractmethod
    def settle(
        self, used: Tensor, kept: Tensor, share: Fraction, start: int | None = None
    ) -> Tensor:
        """Positions `[A, K]` of the kept tokens after a chunk attended with `used`.

        Args:
            used: `[A, Q]`.
            kept: int64 `[K]`.
            share: what was kept of the chunk; its time shrinks by it.
            start: where time starts that shrinks, as in `place_video`; None: at the first kept.
        """

    @abstractmethod
    def place_text(self, own: Tensor, cached: Tensor, phase: Phase) -> Tensor:
        """Positions of text that follows the video."""


class Original(PositionPolicy):
    """Every token keeps the position that the model itself gives it in the whole video."""

    name = "original"
    reforges = False
    counts_on = True

    def place_video(self, own: Tensor, cached: Tensor, start: int | None) -> Tensor:
        return own

    def settle(
        self, used: Tensor, kept: Tensor, share: Fraction, start: int | None = None
    ) -> Tensor:
        return used[:, kept]

    def place_text(self, own: Tensor, cached: Tensor, phase: Phase) -> Tensor:
        return own


class OriginalPublished(Original):
    """Original positions with the published code's decoding, for parity with it.

    Where a selector dropped steps, the question follows what is left, but generated tokens
    stand where they would had nothing been dropped: `dropped` steps later.
    """

    name = "original-published"
    counts_on = False

    def __init__(self, dropped: int = 0) -> None:
        self.dropped = dropped

    def place_text(self, own: Tensor, cached: Tensor, phase: Phase) -> Tensor:
        return own + self.dropped if phase == "decode" else own


class Reforge(PositionPolicy):
    """ReTaKe's reforging (arXiv 2412.20504): what is kept moves together in time.

    The kept tokens' times shrink by the share that was kept, and the next chunk starts right
    behind them, so that a video of any length stays within the model's context. Height and
    width stay. Text after the video starts one past the largest position in the layer, the
    same on every axis.

    As published, a chunk shrinks towards its first kept token. Where time is absolute it shrinks
    towards its start, and the next one starts where its own time falls on the shrunk scale: a
    second is as long everywhere, and nothing moves where nothing was evicted.
    """

    name = "reforge"
    reforges = True
    counts_on = True

    def place_video(self, own: Tensor, cached: Tensor, start: int | None) -> Tensor:
        if start is None:
            return _start_time_after(own, cached)
        moved = own.clone()
        moved[0] += start - own[0].min()
        return moved

    def settle(
        self, used: Tensor, kept: Tensor, share: Fraction, start: int | None = None
    ) -> Tensor:
        moved = used[:, kept].clone()
        if moved.shape[1]:
            first = moved[0].min() if start is None else start
            moved[0] = first + (moved[0] - first) * share.numerator // share.denominator
        return moved

    def place_text(self, own: Tensor, cached: Tensor, phase: Phase) -> Tensor:
        start = cached.max() + 1 if cached.shape[1] else own[0, 0]
        steps = torch.arange(own.shape[1], device=own.device)
        return (start + steps).expand(own.shape[0], -1)


class ReforgePublished(Reforge):
    """Reforging with the text positions of the published code, for parity with it.

    While the question is prefilled only its time is re-anchored; while decoding all axes
    take the time's position.
    """

    name = "reforge-published"
    counts_on = False

    def place_text(self, own: Tensor, cached: Tensor, phase: Phase) -> Tensor:
        moved = _start_time_after(own, cached)
        if phase == "decode":
            return moved[:1].expand(own.shape[0], -1)
        return moved


def _start_time_after(own: Tensor, cached: Tensor) -> Tensor:
    """Shift the time axis so that it starts one past the last cached token's."""
    if not cached.shape[1] or not own.shape[1]:
        return own
    moved = own.clone()
    moved[0] += cached[0, -1] + 1 - own[0, 0]
    return moved


POLICIES: dict[str, type[PositionPolicy]] = {policy.name: policy for policy in (Original, Reforge)}


def position_policy(name: str, *, published: bool = False, dropped: int = 0) -> PositionPolicy:
    """The policy of that name, "original" or "reforge".

    Args:
        name: as a user gives it.
        published: with the text positions of the published code.
        dropped: steps that the selector dropped; only the published code's positions differ
            by it.
    """
    if name not in POLICIES:
        raise unknown_name("position policy", name, POLICIES)
    if not published:
        return POLICIES[name]()
    return ReforgePublished() if name == Reforge.name else OriginalPublished(dropped)
