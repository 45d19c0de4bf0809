"""How stored frames are turned to stand upright: a container's display matrix, read."""

from typing import Any

import attrs
import numpy as np

Image = np.ndarray[Any, np.dtype[np.uint8]]


@attrs.frozen
class Orientation:
    """The turn that makes a stored frame upright: mirror first, then rotate.

    Attributes:
        rotation: degrees clockwise, one of 0, 90, 180, 270.
        mirrored: whether left and right are swapped before the rotation.
        exact: False where the container asks for an odd angle, which is left undone.
    """

    rotation: int = 0
    mirrored: bool = False
    exact: bool = True

    def apply(self, image: Image) -> Image:
        """A stored frame `[H, W, 3]` made upright; contiguous, never a view of a buffer."""
        if self.mirrored:
            image = image[:, ::-1]
        return np.ascontiguousarray(np.rot90(image, k=-(self.rotation // 90)))

    def size(self, width: int, height: int) -> tuple[int, int]:
        """Width and height as shown of a frame stored with these."""
        return (height, width) if self.rotation in (90, 270) else (width, height)


def from_matrix(data: bytes) -> Orientation:
    """Read a display matrix: nine 32-bit integers, of which four say how axes map.

    A stored point (x, y) is shown at (a x + c y, b x + d y), y pointing down.
    """
    a, b, _, c, d = np.frombuffer(data, dtype="<i4", count=5).astype(float)
    mirrored = a * d - b * c < 0
    if mirrored:
        a, b = -a, -b
    angle = round(float(np.degrees(np.arctan2(b, a)))) % 360
    if angle % 90:
        return Orientation(exact=False)
    return Orientation(rotation=angle, mirrored=bool(mirrored))
