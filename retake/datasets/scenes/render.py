"""Draws a script frame by frame: muted moving backgrounds, one object, cards, sensor noise.

The idea: every shape is a signed distance, so it has the same soft edge at any size, and
a frame depends on nothing but the script and its time. Frames are made one at a time;
what is kept is the current scene's canvas. This module knows nothing of files.
"""

import math
from collections.abc import Callable, Iterator
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt

from retake.datasets.scenes.world import Needle, Scene, Script

Array = npt.NDArray[Any]  # float32 throughout
Frame = npt.NDArray[np.uint8]

RGB: dict[str, tuple[int, int, int]] = {
    "red": (215, 25, 30),
    "orange": (245, 135, 15),
    "yellow": (240, 225, 30),
    "green": (30, 155, 50),
    "cyan": (40, 210, 220),
    "blue": (30, 60, 215),
    "purple": (125, 35, 165),
    "pink": (250, 130, 190),
}
NOISE = 4.0  # standard deviation of the sensor noise, in grey levels
PAN = 1.5  # the background's canvas is this many frames wide


@attrs.frozen
class Background:
    """How hard it is to tell news from what goes on behind it.

    Attributes:
        texture: how strong the canvas's waves are.
        detail: how fine they are.
        pan: how fast the picture moves over the canvas.
        noise: how strong the sensor noise is.
    """

    texture: float = 1.0
    detail: float = 1.0
    pan: float = 1.0
    noise: float = 1.0


BACKGROUNDS = {
    "calm": Background(),  # what the embedded model was trained on
    "busy": Background(texture=2.0, detail=2.0, pan=4.0, noise=2.0),
    "wild": Background(texture=3.0, detail=4.0, pan=16.0, noise=4.0),
}
CALM = BACKGROUNDS["calm"]


def _circle(x: Array, y: Array) -> Array:
    return np.hypot(x, y) - 0.9


def _ring(x: Array, y: Array) -> Array:
    return np.abs(np.hypot(x, y) - 0.7) - 0.24


def _square(x: Array, y: Array) -> Array:
    return np.maximum(np.abs(x), np.abs(y)) - 0.76


def _diamond(x: Array, y: Array) -> Array:
    return (np.abs(x) * 1.25 + np.abs(y) - 0.98) / 1.6


def _triangle(x: Array, y: Array) -> Array:
    return np.maximum(y, 0.866 * np.abs(x) - 0.5 * y) - 0.5


def _cross(x: Array, y: Array) -> Array:
    ax, ay = np.abs(x), np.abs(y)
    return np.minimum(np.maximum(ax - 0.27, ay - 0.9), np.maximum(ay - 0.27, ax - 0.9))


def _star(x: Array, y: Array) -> Array:
    """Distance to the edge from a tip to the next valley, folded into one tenth of the star."""
    turn = math.tau / 5
    angle = np.abs(np.mod(np.arctan2(x, -y) + turn / 2, turn) - turn / 2)
    radius = np.hypot(x, y)
    valley = 0.4 * np.exp(1j * turn / 2)
    edge = valley - 1.0
    normal = -1j * edge / abs(edge)
    if normal.real < 0:
        normal = -normal
    along, across = radius * np.cos(angle) - 1.0, radius * np.sin(angle)
    distance: Array = along * normal.real + across * normal.imag
    return distance


def _moon(x: Array, y: Array) -> Array:
    return np.maximum(np.hypot(x, y) - 0.92, 0.78 - np.hypot(x - 0.48, y + 0.1))


DISTANCE: dict[str, Callable[[Array, Array], Array]] = {
    "circle": _circle,
    "square": _square,
    "triangle": _triangle,
    "star": _star,
    "cross": _cross,
    "ring": _ring,
    "diamond": _diamond,
    "moon": _moon,
}


@attrs.frozen
class Pose:
    """Where an object is drawn: centre and radius in frame widths, angle in radians."""

    x: float
    y: float
    radius: float
    angle: float = 0.0


def stamp(image: Array, shape: str, rgb: Array, pose: Pose) -> None:
    """Draws one object into an image [S, S, 3] in place, touching only the pixels around it."""
    size = image.shape[0]
    radius = pose.radius * size
    left, right = _span(pose.x * size, 1.1 * radius, size)
    top, bottom = _span(pose.y * size, 1.1 * radius, size)
    if left >= right or top >= bottom:
        return
    columns = (np.arange(left, right, dtype=np.float32) + 0.5 - pose.x * size) / radius
    rows = (np.arange(top, bottom, dtype=np.float32) + 0.5 - pose.y * size) / radius
    cos, sin = np.float32(math.cos(pose.angle)), np.float32(math.sin(pose.angle))
    x = columns[None] * cos + rows[:, None] * sin
    y = rows[:, None] * cos - columns[None] * sin
    alpha = np.clip(0.5 - DISTANCE[shape](x, y) * radius, 0, 1).astype(np.float32)[..., None]
    region = image[top:bottom, left:right]
    region += (rgb - region) * alpha


def _span(centre: float, reach: float, size: int) -> tuple[int, int]:
    return max(0, math.floor(centre - reach)), min(size, math.ceil(centre + reach))


def _colour(name: str, rng: np.random.Generator) -> Array:
    """The named colour, a little lighter or darker each time."""
    rgb = np.array(RGB[name], dtype=np.float32) * np.float32(rng.uniform(0.88, 1.05))
    shifted: Array = np.clip(rgb + rng.normal(0, 5, 3).astype(np.float32), 0, 255)
    return shifted


class SceneView:
    """One scene's looks: a canvas to pan over, and a path for its object."""

    def __init__(self, scene: Scene, size: int, background: Background = CALM) -> None:
        rng = np.random.default_rng(scene.seed)
        self.scene, self.size = scene, size
        self.canvas = _canvas(int(size * PAN), rng, background)
        self.rgb = _colour(scene.colour, rng) * np.float32(0.92)
        self.radius = rng.uniform(0.22, 0.32)
        self.speeds = rng.uniform(0.02, 0.12, 4)  # radians a second
        self.speeds[:2] *= background.pan
        self.phases = rng.uniform(0, math.tau, 4)
        self.tilt = rng.uniform(-0.15, 0.15)

    def draw(self, time: float) -> Array:
        """The scene at a time, float [S, S, 3]; a new array."""
        pan_x, pan_y, x, y = np.sin(self.phases + self.speeds * time)
        room = self.canvas.shape[0] - self.size
        left, top = (int(room * (0.5 + 0.5 * pan)) for pan in (pan_x, pan_y))
        image = self.canvas[top : top + self.size, left : left + self.size].copy()
        free = 0.5 - 0.85 * self.radius
        pose = Pose(
            0.5 + free * x, 0.5 + free * y, self.radius, self.tilt + 0.1 * math.sin(0.2 * time)
        )
        stamp(image, self.scene.shape, self.rgb, pose)
        return image


def _canvas(width: int, rng: np.random.Generator, background: Background) -> Array:
    """A muted texture: a dim base colour, a gradient and a few broad waves."""
    grid = np.linspace(0, 1, width, dtype=np.float32)
    base = rng.uniform(35, 115) + rng.normal(0, 12, 3)
    image = np.zeros((width, width), dtype=np.float32) + rng.uniform(-25, 25) * (grid[None] - 0.5)
    for _ in range(4):
        fx, fy = rng.normal(0, 9, 2) * background.detail
        wave = np.sin(fx * grid[None] + fy * grid[:, None] + rng.uniform(0, math.tau))
        image += np.float32(rng.uniform(2, 9) * background.texture) * wave
    canvas: Array = np.clip(image[..., None] + base.astype(np.float32), 5, 160)
    return canvas


class CardView:
    """One needle's looks: a light card with a dark edge, its object in the middle."""

    def __init__(self, needle: Needle, size: int) -> None:
        rng = np.random.default_rng(needle.seed)
        width = rng.uniform(0.72, 0.98)
        self.shape = needle.shape
        self.rgb = _colour(needle.colour, rng)
        self.paper = np.float32(rng.uniform(222, 250)) + rng.normal(0, 2, 3).astype(np.float32)
        self.edge = np.float32(rng.uniform(10, 40))
        self.side = round(width * size)
        self.left, self.top = (int(p) for p in rng.uniform(0, 1, 2) * (size - self.side))
        x, y = 0.5 + rng.uniform(-0.06, 0.06, 2)
        self.pose = Pose(x, y, rng.uniform(0.34, 0.42), rng.uniform(-0.15, 0.15))

    def draw(self, image: Array) -> None:
        """Holds the card into an image [S, S, 3], in place."""
        region = image[self.top : self.top + self.side, self.left : self.left + self.side]
        border = max(1, round(self.side * 0.04))
        region[:] = self.edge
        paper = region[border:-border, border:-border]
        paper[:] = self.paper
        stamp(paper, self.shape, self.rgb, self.pose)


class Renderer:
    """Draws any moment of a script; fastest when times ascend."""

    def __init__(self, script: Script, size: int = 224, background: Background = CALM) -> None:
        self.script, self.size, self.background = script, size, background
        self._scene: SceneView | None = None

    def at(self, time: float) -> Frame:
        """The frame shown at a time, uint8 [S, S, 3]."""
        scene = self.script.scene_at(time)
        if self._scene is None or self._scene.scene != scene:
            self._scene = SceneView(scene, self.size, self.background)
        image = self._scene.draw(time)
        needle = self.script.needle_at(time)
        if needle is not None:
            CardView(needle, self.size).draw(image)
        rng = np.random.default_rng([scene.seed, round(time * 1000)])
        return add_noise(image, rng, self.background.noise)


def add_noise(image: Array, rng: np.random.Generator, strength: float = 1.0) -> Frame:
    """Sensor noise of the same strength everywhere, then whole grey levels."""
    noise = rng.standard_normal(image.shape[:2], dtype=np.float32) * np.float32(NOISE * strength)
    noisy: Frame = np.clip(image + noise[..., None] + 0.5, 0, 255).astype(np.uint8)
    return noisy


def frame_count(seconds: float, fps: float) -> int:
    """Frames of a video of that length, at least one."""
    return max(1, round(seconds * fps))


def frames(
    script: Script, *, fps: float = 4, size: int = 224, background: Background = CALM
) -> Iterator[Frame]:
    """All frames of a script in order, one at a time."""
    renderer = Renderer(script, size, background)
    for index in range(frame_count(script.seconds, fps)):
        yield renderer.at(index / fps)
