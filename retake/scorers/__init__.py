"""How well a frame fits a question: one scorer a file, for the selectors that need the question."""

from typing import TYPE_CHECKING

from retake.core.registry import Registry

if TYPE_CHECKING:
    from retake.core.scorer import FrameTextScorer

scorers: "Registry[FrameTextScorer]" = Registry(
    "scorer", "retake.core.scorer:FrameTextScorer", entry_point_group="retake.scorers"
)
scorers.register_lazy("clip", "retake.scorers.clip:Clip")
scorers.register_lazy("colours", "retake.scorers.colours:Colours")
