"""The interface of frame selectors."""

from abc import ABC, abstractmethod
from typing import ClassVar

import attrs

from retake.core.tokens import Selection, VisualTokens


@attrs.frozen
class FrameSelector(ABC):
    """Decides which steps or patches of a video enter the language model, and which are pivots.

    Subclasses are frozen attrs classes: their fields are the options a user may set.
    """

    #: Where the method comes from, as `retake list` shows it.
    source: ClassVar[str] = ""

    @property
    def lookahead(self) -> int | None:
        """Future steps needed before a step can be decided; None: the whole video.

        With a number the selector streams: it is shown windows of the video, and what it says of
        a step must not depend on more than `lookback` steps before it and these after it. It may
        select nothing of a window. Each step that it keeps something of becomes a row of its
        own; a selector that packs tokens of several steps into one row must see the whole.
        """
        return None

    @property
    def lookback(self) -> int:
        """Past steps on which a decision depends; only matters where `lookahead` is a number."""
        return 0

    @abstractmethod
    def select(self, tokens: VisualTokens) -> Selection:
        """Choose from a video's visual tokens `[T, N, C]`."""
