"""The interface of frame selectors."""

from abc import ABC, abstractmethod
from typing import ClassVar

import attrs
from torch import Tensor

from retake.core.errors import UsageError
from retake.core.scorer import FrameTextScorer
from retake.core.tokens import Selection, VisualTokens


@attrs.frozen
class FrameSelector(ABC):
    """Decides which steps or patches of a video enter the language model, and which are pivots.

    Subclasses are frozen attrs classes: their fields are the options a user may set.
    """

    #: Where the method comes from, as `retake list` shows it.
    source: ClassVar[str] = ""
    #: Whether what it selects depends on the question. Then a video is watched anew for each.
    needs_question: ClassVar[bool] = False

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


@attrs.frozen(kw_only=True)
class QuestionSelector(FrameSelector):
    """A selector that looks for what is asked about, by the word of a frame–text scorer.

    Attributes:
        scorer: rates every frame against the question; a step counts as its best frame does.
    """

    needs_question: ClassVar[bool] = True

    scorer: FrameTextScorer | None = attrs.field(
        default=None,
        validator=attrs.validators.optional(attrs.validators.instance_of(FrameTextScorer)),
    )

    def relevance(self, tokens: VisualTokens) -> Tensor:
        """How well each step fits the question: float32 `[T]`, on the host.

        Raises:
            UsageError: the selector was given no scorer, so that nobody rated the steps.
        """
        if tokens.relevance is None:
            raise self._unrated()
        return tokens.relevance.float().cpu()

    def check_scorer(self) -> None:
        """Refuse to go on without a scorer.

        Raises:
            UsageError: there is none.
        """
        if self.scorer is None:
            raise self._unrated()

    def _unrated(self) -> UsageError:
        return UsageError(
            f"{type(self).__name__} needs a scorer that rates frames against the question.",
            hint="Name one in brackets behind the selector, as in 'aks(clip:path=…)'. "
            "`retake list scorers` shows them.",
        )
