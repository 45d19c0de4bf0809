"""LLaVA-OneVision's frames: to what size they are brought, and how they are normalised.

Pure torch. Every frame is resized to one fixed size, whatever its shape (bicubic with
antialiasing on whole numbers), then normalised, as the family's published processor does
(arXiv 2408.03326).
"""

import attrs
import torch
from torch import Tensor

from retake.core.adapter import Patches
from retake.models.documents import Settings

_HALF = (0.5, 0.5, 0.5)
# Pixels a side: far beyond every tower.
_LONGEST = 1 << 14


@attrs.frozen
class FixedFrames:
    """What a checkpoint's preprocessor configuration says of frames.

    Attributes:
        height, width: of a resized frame.
        mean, std: of the normalisation, in [0, 1].
    """

    height: int = 384
    width: int = 384
    mean: tuple[float, float, float] = _HALF
    std: tuple[float, float, float] = _HALF

    @classmethod
    def from_json(cls, text: str, path: str) -> "FixedFrames":
        """Read a preprocessor configuration; what it leaves out keeps its default.

        Raises:
            ModelError: it is no JSON object, its size is none of one height and width, or it
                asks for what retake does not do.
        """
        given = Settings.of(text, path)
        given.check_supported()
        default = cls()
        height, width = _size(given, default)
        return cls(
            height=height,
            width=width,
            mean=given.triple("image_mean", default.mean),
            std=given.triple("image_std", default.std, positive=True),
        )


def _size(given: Settings, default: FixedFrames) -> tuple[int, int]:
    """Height and width of a resized frame; one number is both."""
    value = given.given.get("size")
    if isinstance(value, int):
        side = given.whole("size", default.height, most=_LONGEST)
        return side, side
    size = given.part("size")
    if size.given and not {"height", "width"} <= set(size.given):
        raise given.wrong(
            "size",
            "one 'height' and 'width', or one number for both: this family resizes every frame "
            "to one 'height' and 'width'",
        )
    return (
        size.whole("height", default.height, most=_LONGEST),
        size.whole("width", default.width, most=_LONGEST),
    )


def to_pixels(frames: Tensor, rules: FixedFrames, patch: int) -> Patches:
    """Normalised frames `[F, 3, H, W]` of resized ones, uint8 `[F, H, W, 3]`."""
    planes = frames.permute(0, 3, 1, 2)
    mean = torch.tensor(rules.mean, device=planes.device)[:, None, None]
    std = torch.tensor(rules.std, device=planes.device)[:, None, None]
    # Scaled first, as the published processor does: the same rounding.
    values = (planes.float() * (1 / 255) - mean) / std
    rows, columns = (side // patch for side in values.shape[2:])
    return Patches(values, (len(values), rows, columns))
