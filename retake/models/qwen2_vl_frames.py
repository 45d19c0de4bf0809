"""Qwen2-VL's frames: to what size they are brought and how they become patches.

Pure torch. The rules are those of the family's published processor (arXiv 2409.12191):
sides are multiples of patch × merge, pixels stay within bounds, bicubic with antialiasing
on whole numbers, then CLIP's mean and deviation.
"""

import math

import attrs
import torch
from torch import Tensor

from retake.core.adapter import Patches
from retake.core.errors import ModelError, VideoError
from retake.models.documents import Settings

_CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
_CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
_MAX_ASPECT = 200
# The least area that may be asked for: a frame enlarged beyond it fills memory, not the eye.
_MOST_LEAST = 1 << 26
# Pixels or frames: far beyond every tower.
_MOST_SIDE = 1 << 10


@attrs.frozen
class FrameRules:
    """What a checkpoint's preprocessor configuration says of frames.

    Attributes:
        min_pixels, max_pixels: bounds on a resized frame's area.
        patch, merge, temporal: sides of a patch, patches merged per side, frames per step.
        mean, std: of the normalisation, in [0, 1].
    """

    min_pixels: int = 128 * 28 * 28
    max_pixels: int = 768 * 28 * 28
    patch: int = 14
    merge: int = 2
    temporal: int = 2
    mean: tuple[float, float, float] = _CLIP_MEAN
    std: tuple[float, float, float] = _CLIP_STD

    @property
    def factor(self) -> int:
        """Pixels a side of one visual token."""
        return self.patch * self.merge

    @classmethod
    def from_json(cls, text: str, path: str) -> "FrameRules":
        """Read a `preprocessor_config.json`; what it leaves out keeps its default.

        Raises:
            ModelError: it is no JSON object, a setting is not what it must be, or asks for
                what retake does not do.
        """
        given = Settings.of(text, path)
        given.check_supported()
        default = cls()
        least, most = _bounds(given, default)
        return cls(
            min_pixels=least,
            max_pixels=most,
            patch=given.whole("patch_size", default.patch, most=_MOST_SIDE),
            merge=given.whole("merge_size", default.merge, most=_MOST_SIDE),
            temporal=given.whole("temporal_patch_size", default.temporal, most=_MOST_SIDE),
            mean=given.triple("image_mean", default.mean),
            std=given.triple("image_std", default.std, positive=True),
        )


def _bounds(given: Settings, default: FrameRules) -> tuple[int, int]:
    """The least and the largest area, which checkpoints write in either of two ways."""
    size = given.part("size")
    least = size.whole("shortest_edge", default.min_pixels, most=_MOST_LEAST)
    least = given.whole("min_pixels", least, most=_MOST_LEAST)
    most = given.whole("max_pixels", size.whole("longest_edge", default.max_pixels))
    # A default may well lie beyond the other bound, where that is given alone.
    if least > most and least != default.min_pixels and most != default.max_pixels:
        raise ModelError(
            f"'{given.path}' asks for frames of at least {least} pixels and at most {most}."
        )
    return least, most


def within_long_side(height: int, width: int, long_side: int | None) -> tuple[int, int]:
    """Scale down so that the longer side is at most `long_side`; never up."""
    longest = max(height, width)
    if long_side is None or longest <= long_side:
        return height, width
    scale = long_side / longest
    return max(1, round(height * scale)), max(1, round(width * scale))


def fitted_size(
    height: int, width: int, rules: FrameRules, title: str = "Qwen2-VL"
) -> tuple[int, int]:
    """Height and width nearest to those given that the rules allow; `title` is the family's.

    Raises:
        VideoError: one side is over 200 times the other.
    """
    if max(height, width) > _MAX_ASPECT * min(height, width):
        raise VideoError(
            f"Frames of {width}×{height} are too narrow for {title}: "
            f"one side may be at most {_MAX_ASPECT} times the other."
        )
    factor = rules.factor
    fitted = tuple(max(factor, round(side / factor) * factor) for side in (height, width))
    area = fitted[0] * fitted[1]
    if area > rules.max_pixels:
        shrink = math.sqrt(height * width / rules.max_pixels)
        fitted = tuple(
            max(factor, math.floor(side / shrink / factor) * factor) for side in (height, width)
        )
    elif area < rules.min_pixels:
        grow = math.sqrt(rules.min_pixels / (height * width))
        fitted = tuple(math.ceil(side * grow / factor) * factor for side in (height, width))
    return fitted[0], fitted[1]


def to_patches(frames: Tensor, rules: FrameRules) -> Patches:
    """Normalised patches of resized frames, uint8 `[F, h, w, 3]`.

    An odd number of frames is filled up with the last one.
    """
    planes = frames.permute(0, 3, 1, 2)
    mean = torch.tensor(rules.mean, device=planes.device)[:, None, None] * 255
    std = torch.tensor(rules.std, device=planes.device)[:, None, None] * 255
    values = (planes.float() - mean) / std
    missing = -values.shape[0] % rules.temporal
    if missing:
        values = torch.cat((values, values[-1:].expand(missing, -1, -1, -1)))
    steps = values.shape[0] // rules.temporal
    rows, columns = (side // rules.patch for side in values.shape[2:])
    blocks = values.reshape(
        steps,
        rules.temporal,
        3,
        rows // rules.merge,
        rules.merge,
        rules.patch,
        columns // rules.merge,
        rules.merge,
        rules.patch,
    )
    # Patches that will be merged into one token stand next to each other.
    ordered = blocks.permute(0, 3, 6, 4, 7, 2, 1, 5, 8)
    width = 3 * rules.temporal * rules.patch**2
    return Patches(ordered.reshape(-1, width), (steps, rows, columns))
