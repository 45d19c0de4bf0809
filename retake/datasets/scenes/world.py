"""What happens in a synthetic video: scenes that last, needles that flash, and nothing drawn yet.

The idea: real video is redundant, so a script is a run of long scenes (8 to 64 seconds
of one slowly moving object), and what is asked about are *needles*: cards held into the
picture for 1 to 4 seconds. Cuts and cards ignore any sampling grid. A script follows
from its seed and its split alone, and the random streams of the two splits never meet.
This module knows nothing of pixels, questions or files.
"""

from collections.abc import Sequence
from typing import Literal

import attrs
import numpy as np

from retake.core.errors import UsageError

Split = Literal["train", "test"]

SHAPES = ("circle", "square", "triangle", "star", "cross", "ring", "diamond", "moon")
COLOURS = ("red", "orange", "yellow", "green", "cyan", "blue", "purple", "pink")

MIN_SECONDS = 4.0
MAX_NEEDLES = len(SHAPES)
GRID = 0.25  # seconds: cuts and cards fall on this grid, finer than any sampling in use
NEEDLE_SECONDS = (1.0, 4.0)
NEEDLE_GAP = 2.0
SCENE_SECONDS = (8.0, 64.0)
_SPLIT_KEY = {"train": 0x7261494E, "test": 0x74455354}


@attrs.frozen
class Scene:
    """A stretch of video with one object moving slowly over one background.

    Attributes:
        start, end: seconds, half open.
        shape, colour: the moving object.
        seed: everything else about its looks.
    """

    start: float
    end: float
    shape: str
    colour: str
    seed: int


@attrs.frozen
class Needle:
    """A light card with one object on it, flashed over whatever scene is running.

    Attributes:
        start, end: seconds, half open.
        shape, colour: the object on the card; no two needles of a script share either.
        seed: where the card is held and how large.
    """

    start: float
    end: float
    shape: str
    colour: str
    seed: int


@attrs.frozen
class Script:
    """A whole video before it is drawn: scenes in a gapless row, needles in order of time."""

    seconds: float
    seed: int
    split: Split
    scenes: tuple[Scene, ...]
    needles: tuple[Needle, ...]

    def scene_at(self, time: float) -> Scene:
        """The scene running at a time; the last one at and after the end."""
        return next((scene for scene in self.scenes if time < scene.end), self.scenes[-1])

    def needle_at(self, time: float) -> Needle | None:
        """The needle on screen at a time, if any."""
        return next((n for n in self.needles if n.start <= time < n.end), None)


def stream(split: Split, *seed: int) -> np.random.Generator:
    """The random stream of a split and seed; different splits never share one."""
    return np.random.default_rng([_SPLIT_KEY[split], *seed])


def write_script(
    seconds: float, seed: int, *, needles: int | None = None, split: Split = "test"
) -> Script:
    """Invents a video of the given length.

    Args:
        seconds: length of the video, at least 4.
        seed: same seed, length and split, same script.
        needles: how many cards flash, at most 8; by default 1 to 4, as many as fit.
        split: "train" is for training only; everything published uses "test".
    """
    check(seconds, seed)
    rng = stream(split, seed)
    count = _needle_count(seconds, needles, rng)
    return Script(
        seconds=float(seconds),
        seed=seed,
        split=split,
        scenes=lay_scenes(seconds, rng),
        needles=_needles(seconds, count, rng),
    )


def check(seconds: float, seed: int) -> None:
    """Refuses lengths and seeds that no script has.

    Raises:
        UsageError: the length is below 4 seconds or endless, or the seed is negative.
    """
    if not seconds >= MIN_SECONDS:
        raise UsageError(f"A clip of {seconds} seconds is too short: at least {MIN_SECONDS:g}.")
    if seconds == float("inf"):
        raise UsageError("A clip must end somewhere, got infinitely many seconds.")
    if seed < 0:
        raise UsageError(f"A seed must be 0 or more, got {seed}.")


def _needle_count(seconds: float, asked: int | None, rng: np.random.Generator) -> int:
    fits = min(MAX_NEEDLES, int((seconds - 1) // (NEEDLE_SECONDS[0] + NEEDLE_GAP)))
    if asked is None:
        return min(fits, int(rng.integers(1, 5)))
    if not 1 <= asked <= fits:
        raise UsageError(
            f"{asked} needles do not fit into {seconds:g} seconds: 1 to {fits} do.",
            hint="Ask for fewer needles or a longer clip.",
        )
    return asked


def _other(rng: np.random.Generator, names: Sequence[str], last: str | None) -> str:
    """One of the names, but not the last one."""
    return str(rng.choice([name for name in names if name != last]))


def lay_scenes(
    seconds: float,
    rng: np.random.Generator,
    *,
    shapes: Sequence[str] = SHAPES,
    colours: Sequence[str] = COLOURS,
) -> tuple[Scene, ...]:
    """Scenes of log-uniform length until the time is up; neighbours differ in shape and colour."""
    scenes: list[Scene] = []
    start, shape, colour = 0.0, None, None
    while start < seconds:
        length = float(np.exp(rng.uniform(*np.log(SCENE_SECONDS))))
        end = _on_grid(start + length)
        if end > seconds - SCENE_SECONDS[0]:
            end = seconds
        shape, colour = _other(rng, shapes, shape), _other(rng, colours, colour)
        scenes.append(Scene(start, float(end), shape, colour, int(rng.integers(2**31))))
        start = float(end)
    return tuple(scenes)


def _needles(seconds: float, count: int, rng: np.random.Generator) -> tuple[Needle, ...]:
    """Cards at uniformly random times, never closer than the gap; lengths shrink to what fits."""
    shapes, colours = rng.permutation(SHAPES)[:count], rng.permutation(COLOURS)[:count]
    longest = min(NEEDLE_SECONDS[1], (seconds - 1) / count - NEEDLE_GAP)
    lengths = [_on_grid(rng.uniform(NEEDLE_SECONDS[0], longest)) for _ in range(count)]
    slack = seconds - sum(lengths) - NEEDLE_GAP * (count - 1)
    offsets = np.sort(rng.uniform(0, slack, count))
    before, needles = 0.0, []
    for i in range(count):
        start = _on_grid(before + offsets[i])
        start = min(start, seconds - lengths[i])
        needle = Needle(
            start, start + lengths[i], str(shapes[i]), str(colours[i]), int(rng.integers(2**31))
        )
        needles.append(needle)
        before += lengths[i] + NEEDLE_GAP
    return tuple(needles)


def _on_grid(time: float) -> float:
    return round(time / GRID) * GRID
