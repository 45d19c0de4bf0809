"""Footage to compose training videos from: filmed scenes, real H.264 decoded, and fresh cards.

The idea: scenes are the costly part and repeat themselves, so a few hundred are drawn,
encoded, decoded and resized once, in the same code that makes clips. A training video
is then any script played from that footage: cuts and cards may fall between the two
frames of a temporal step, and no two videos are alike.
"""

import itertools
import tempfile
from collections.abc import Iterable
from pathlib import Path

import attrs
import numpy as np
import torch

from retake.datasets.scenes.clip import decode, encode
from retake.datasets.scenes.render import CardView, SceneView, add_noise
from retake.datasets.scenes.world import COLOURS, SHAPES, Scene, Script
from training.embedded.architecture import SIDE
from training.embedded.pixels import resize

FPS = 2.0  # sampled frames a second


@attrs.frozen
class Footage:
    """Filmed scenes, uint8 [64 kinds × takes, frames, 56, 56, 3], by shape then colour."""

    takes: int
    film: np.ndarray

    def scene(self, shape: str, colour: str, rng: np.random.Generator) -> np.ndarray:
        """One take of a scene, [frames, 56, 56, 3]."""
        kind = SHAPES.index(shape) * len(COLOURS) + COLOURS.index(colour)
        take: np.ndarray = self.film[kind * self.takes + int(rng.integers(self.takes))]
        return take


def film(takes: int, length: int, rng: np.random.Generator) -> Footage:
    """Draws, encodes and decodes `takes` scenes of `length` frames of every shape and colour."""
    kinds = itertools.product(SHAPES, COLOURS, range(takes))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "take.mp4"
        strips = [_strip(shape, colour, length, rng, path) for shape, colour, _ in kinds]
    return Footage(takes, np.stack(strips))


def _strip(
    shape: str, colour: str, length: int, rng: np.random.Generator, path: Path
) -> np.ndarray:
    view = SceneView(Scene(0, length / FPS, shape, colour, int(rng.integers(2**31))), 224)
    pictures = (add_noise(view.draw(index / FPS), rng) for index in range(length))
    encode(pictures, path, fps=FPS, size=224, crf=int(rng.integers(18, 33)))
    frames = np.stack(list(decode(path)))
    return resize(torch.from_numpy(frames)).numpy()


def play(
    script: Script, footage: Footage, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Sampled frames of a script, uint8 [2T, 56, 56, 3], from footage and fresh cards; times."""
    times = np.arange(2 * int(script.seconds)) / FPS + rng.uniform(0, 1 / FPS)
    frames = np.empty((len(times), SIDE, SIDE, 3), dtype=np.uint8)
    for scene in script.scenes:
        inside = (times >= scene.start) & (times < scene.end)
        inside |= (times >= scene.end) & (scene is script.scenes[-1])
        strip = footage.scene(scene.shape, scene.colour, rng)
        place = (np.arange(inside.sum()) + rng.integers(len(strip))) % (2 * len(strip))
        frames[inside] = strip[np.where(place < len(strip), place, 2 * len(strip) - 1 - place)]
    for needle in script.needles:
        shown = (times >= needle.start) & (times < needle.end)
        hold(CardView(needle, SIDE), frames, np.flatnonzero(shown), rng)
    return frames, times


def hold(
    card: CardView, frames: np.ndarray, where: Iterable[int], rng: np.random.Generator
) -> None:
    """Draws one card into the frames named, with the noise that survives resizing."""
    picture = np.zeros((SIDE, SIDE, 3), dtype=np.float32)
    card.draw(picture)
    rows, columns = (slice(p, p + card.side) for p in (card.top, card.left))
    soft = picture[rows, columns]
    for index in where:
        noise = rng.normal(0, rng.uniform(0.3, 2.5), (*soft.shape[:2], 1))
        frames[index, rows, columns] = np.clip(soft + noise + 0.5, 0, 255).astype(np.uint8)
