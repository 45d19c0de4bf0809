"""What a video is watched with, and whether it goes together."""

from collections.abc import Sequence

import attrs

from retake.core.adapter import ModelAdapter
from retake.core.backend import Backend
from retake.core.compressor import KVCompressor
from retake.core.config import RunConfig
from retake.core.errors import UsageError
from retake.core.scorer import FrameTextScorer
from retake.core.selector import FrameSelector, QuestionSelector
from retake.core.wrapper import check_compressor


@attrs.frozen(eq=False)
class Parts:
    """What a video is watched with."""

    adapter: ModelAdapter
    backend: Backend
    selector: FrameSelector
    compressor: KVCompressor
    config: RunConfig

    @property
    def needs_question(self) -> bool:
        """Whether what is kept of a video depends on the question."""
        return self.selector.needs_question or self.compressor.needs_question

    @property
    def scorer(self) -> FrameTextScorer | None:
        """Who rates frames for the selector."""
        return getattr(self.selector, "scorer", None) if self.selector.needs_question else None

    def check(self) -> None:
        """Refuse parts that are incomplete or ask for what does not go together.

        Raises:
            UsageError: the compressor does, or the selector lacks a scorer.
        """
        check_compressor(self.compressor)
        if isinstance(self.selector, QuestionSelector):
            self.selector.check_scorer()

    def only(self, questions: Sequence[str]) -> str:
        """The one question that a video is watched for, where what is kept depends on it.

        Raises:
            UsageError: none is given, or several are.
        """
        if len(questions) == 1:
            return questions[0]
        kind = "selector" if self.selector.needs_question else "compressor"
        given = "none is" if not questions else f"{len(questions)} are"
        raise UsageError(
            f"The {kind} '{getattr(self.config, kind).name}' looks for what is asked about, so a "
            f"video is watched for one question at a time; {given} given.",
            hint="Give exactly one question, or use a selector and a compressor that do not "
            "look at it: then a video is watched once and asked many.",
        )
