"""How frames become the pictures that CLIP's and SigLIP's towers were trained on.

Pure torch. Resized as whole numbers, as image libraries do, then cropped, scaled and normalised,
all by the checkpoint's own settings; the published image processors need torchvision, which retake
does without. SigLIP 2's NaFlex towers take patches of a picture that keeps its shape.
"""

from fractions import Fraction
from typing import Literal

import attrs
import torch
import torch.nn.functional as F
from torch import Tensor

from retake.scorers.documents import Settings, Triple

Filter = Literal["bilinear", "bicubic"]

_FILTERS: dict[int, Filter] = {2: "bilinear", 3: "bicubic"}
_CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
_CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
_HALF = (0.5, 0.5, 0.5)


@attrs.frozen
class Finish:
    """What happens to a picture's values.

    Attributes:
        by: the filter it is resized with, always with antialiasing.
        mean, std: of the normalisation, of values in [0, 1].
    """

    by: Filter
    mean: Triple
    std: Triple

    @classmethod
    def of(cls, given: Settings, by: Filter, mean: Triple, std: Triple) -> "Finish":
        """Read it from a checkpoint's settings; what they leave out keeps its default."""
        given.always("do_resize", "do_rescale", "do_normalize")
        resample = given.given.get("resample")
        if resample is not None and (isinstance(resample, bool) or resample not in _FILTERS):
            raise given.wrong("resample", "2 (bilinear) or 3 (bicubic)")
        factor = given.given.get("rescale_factor", 1 / 255)
        if not isinstance(factor, float) or abs(factor * 255 - 1) > 1e-4:
            raise given.wrong("rescale_factor", f"{1 / 255}")
        return cls(
            by=by if resample is None else _FILTERS[resample],
            mean=given.triple("image_mean", mean),
            std=given.triple("image_std", std, positive=True),
        )

    def resize(self, frames: Tensor, size: tuple[int, int]) -> Tensor:
        """Uint8 `[F, 3, h, w]` of uint8 frames `[F, H, W, 3]`."""
        planes = frames.permute(0, 3, 1, 2)
        if planes.shape[2:] == size:
            return planes
        return F.interpolate(planes.contiguous(), size=size, mode=self.by, antialias=True)

    def normalise(self, planes: Tensor) -> Tensor:
        """Float32 of uint8 `[F, 3, h, w]`."""
        mean, std = (torch.tensor(values)[:, None, None] for values in (self.mean, self.std))
        return (planes.float() * (1 / 255) - mean) / std


@attrs.frozen
class SquarePictures:
    """Pictures of one size, whatever shape frames have.

    Attributes:
        finish: of their values.
        resized: height and width that frames are brought to, or the length of the shorter side.
        crop: height and width of what is cut from the middle, or None.
    """

    finish: Finish
    resized: tuple[int, int] | int
    crop: tuple[int, int] | None

    @classmethod
    def clip(cls, given: Settings) -> "SquarePictures":
        """CLIP's: the middle of frames whose shorter side is 224."""
        return cls._read(given, Finish.of(given, "bicubic", _CLIP_MEAN, _CLIP_STD), crops=True)

    @classmethod
    def siglip(cls, given: Settings) -> "SquarePictures":
        """SigLIP's: whole frames, squeezed into a square of 224."""
        return cls._read(given, Finish.of(given, "bicubic", _HALF, _HALF), crops=False)

    @classmethod
    def _read(cls, given: Settings, finish: Finish, *, crops: bool) -> "SquarePictures":
        resized = _size(given, "size", 224 if crops else (224, 224))
        if not given.flag("do_center_crop", crops):
            return cls(finish, resized, None)
        side = _size(given, "crop_size", 224)
        return cls(finish, resized, (side, side) if isinstance(side, int) else side)

    def prepare(self, frames: Tensor) -> dict[str, Tensor]:
        """A tower's inputs: `pixel_values`, float32 `[F, 3, h, w]`."""
        planes = self.finish.resize(frames, self._target(frames.shape[1], frames.shape[2]))
        if self.crop is not None:
            planes = _middle(planes, self.crop)
        return {"pixel_values": self.finish.normalise(planes)}

    def _target(self, height: int, width: int) -> tuple[int, int]:
        if not isinstance(self.resized, int):
            return self.resized
        short = min(height, width)
        return self.resized * height // short, self.resized * width // short


def _size(given: Settings, name: str, default: tuple[int, int] | int) -> tuple[int, int] | int:
    """Height and width, or the length of the shorter side."""
    value = given.given.get(name)
    if value is None:
        return default
    if isinstance(value, int):
        return given.checked_whole(name, value)
    if isinstance(value, dict):
        sides = {side: number for side, number in value.items() if number is not None}
        if set(sides) == {"shortest_edge"}:
            return given.checked_whole(name, sides["shortest_edge"])
        if set(sides) == {"height", "width"}:
            height, width = (given.checked_whole(name, sides[side]) for side in ("height", "width"))
            return height, width
    raise given.wrong(name, "a 'height' and 'width', a 'shortest_edge' or one number")


def _middle(planes: Tensor, size: tuple[int, int]) -> Tensor:
    """The middle of pictures `[F, 3, H, W]`; what they are too small for is black."""
    missing = [max(0, want - have) for want, have in zip(size, planes.shape[2:], strict=True)]
    if any(missing):
        (top, left) = (gap // 2 for gap in missing)
        planes = F.pad(planes, (left, missing[1] - left, top, missing[0] - top))
    top, left = ((have - want) // 2 for want, have in zip(size, planes.shape[2:], strict=True))
    return planes[:, :, top : top + size[0], left : left + size[1]]


@attrs.frozen
class PatchPictures:
    """Pictures that keep their shape, as a list of patches (SigLIP 2 NaFlex, arXiv 2502.14786).

    Attributes:
        finish: of their values.
        patch: side of a patch in pixels.
        most: patches of a picture; it is made as large as fits, and the rest is padding.
    """

    finish: Finish
    patch: int
    most: int

    @classmethod
    def naflex(cls, given: Settings) -> "PatchPictures":
        finish = Finish.of(given, "bilinear", _HALF, _HALF)
        return cls(finish, given.whole("patch_size", 16), given.whole("max_num_patches", 256))

    def prepare(self, frames: Tensor) -> dict[str, Tensor]:
        """A tower's inputs: patches `[F, most, 3·patch²]`, which are real, and their grid."""
        rows, columns = self.grid(frames.shape[1], frames.shape[2])
        size = (rows * self.patch, columns * self.patch)
        values = self.finish.normalise(self.finish.resize(frames, size))
        count = len(frames)
        cut = values.reshape(count, 3, rows, self.patch, columns, self.patch)
        patches = cut.permute(0, 2, 4, 3, 5, 1).flatten(3).flatten(1, 2)
        real = torch.zeros(count, self.most, dtype=torch.int32)
        real[:, : rows * columns] = 1
        return {
            "pixel_values": F.pad(patches, (0, 0, 0, self.most - rows * columns)),
            "pixel_attention_mask": real,
            "spatial_shapes": torch.tensor([[rows, columns]]).repeat(count, 1),
        }

    def grid(self, height: int, width: int) -> tuple[int, int]:
        """Rows and columns of patches: of the largest picture of that shape that fits.

        Sides are rounded up to whole patches, so they grow where one of them is a whole number of
        patches long: only those scales need to be looked at.
        """
        scales = (
            Fraction(count * self.patch, side)
            for side in {height, width}
            for count in range(1, self.most + 1)
        )
        grids = (self._patches(height, width, scale) for scale in scales)
        return max(grid for grid in grids if grid[0] * grid[1] <= self.most)

    def _patches(self, height: int, width: int, scale: Fraction) -> tuple[int, int]:
        rows, columns = (-(-side * scale // self.patch) for side in (height, width))
        return int(rows), int(columns)
