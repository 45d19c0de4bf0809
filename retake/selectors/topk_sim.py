"""The steps that fit the question best."""

import attrs

from retake.core.options import count_of, fraction
from retake.core.selector import QuestionSelector
from retake.core.tokens import Selection, VisualTokens


@attrs.frozen(kw_only=True)
class TopKSim(QuestionSelector):
    """Keep the steps most relevant to the question, wherever in the video they lie.

    The plainest way of selecting by a question, and the baseline that AKS (arXiv 2502.21271) and
    BOLT (arXiv 2503.21483) compare with: neighbours that all show the same may use up all there is
    to keep. Ties go to the earlier step. No pivots.

    Attributes:
        scorer: rates every frame against the question; a step counts as its best frame does.
        keep_ratio: fraction of the steps to keep, in (0, 1].
    """

    keep_ratio: float = attrs.field(default=0.5, validator=fraction)

    def select(self, tokens: VisualTokens) -> Selection:
        order = self.relevance(tokens).argsort(descending=True, stable=True)
        kept = order[: count_of(self.keep_ratio, tokens.steps)]
        return Selection.gather(tokens, kept.sort().values)
