"""LLaVA-OneVision's frames: to what size they are brought, and how they are normalised.

Pure torch. Every frame is resized to one fixed size, whatever its shape (bicubic with
antialiasing on whole numbers), then normalised, as the family's published processor does
(arXiv 2408.03326).
"""

import json
from typing import Any

import attrs
import torch
from torch import Tensor

from retake.core.adapter import Patches
from retake.core.errors import ModelError

_HALF = (0.5, 0.5, 0.5)


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
            ModelError: it is not JSON, or its size is none of one height and width.
        """
        try:
            given: dict[str, Any] = json.loads(text)
        except json.JSONDecodeError as error:
            raise ModelError(f"'{path}' is not valid JSON: {error}.") from error
        default = cls()
        size = given.get("size") or {}
        if size and not {"height", "width"} <= set(size):
            raise ModelError(
                f"'{path}' gives the size {size}; this family resizes every frame to one "
                f"'height' and 'width'."
            )
        return cls(
            height=size.get("height", default.height),
            width=size.get("width", default.width),
            mean=tuple(given.get("image_mean", default.mean)),
            std=tuple(given.get("image_std", default.std)),
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
