"""The interface of frame–text scorers: how well a frame fits a question."""

from abc import ABC, abstractmethod
from typing import ClassVar

import attrs
from torch import Tensor


@attrs.frozen
class FrameTextScorer(ABC):
    """Rates frames against a question, for selectors that look for what is asked about.

    In two steps, so that a video is looked at once however many questions there are. Subclasses
    are frozen attrs classes: their fields are the options a user may set.
    """

    #: Where the method comes from, as `retake list` shows it.
    source: ClassVar[str] = ""

    @abstractmethod
    def look(self, frames: Tensor) -> Tensor:
        """What is remembered of frames, float32 `[F, E]` on the host.

        Args:
            frames: uint8 RGB `[F, H, W, 3]`, as they were resized for the model.
        """

    @abstractmethod
    def rate(self, seen: Tensor, question: str) -> Tensor:
        """How well each frame fits: float32 `[F]`, higher is better.

        Args:
            seen: what `look` returned, `[F, E]`.
            question: in words.
        """
