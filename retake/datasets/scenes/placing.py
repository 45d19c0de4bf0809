"""Scripts in which one card stands where it was told to, for questions at a controlled depth.

The idea: position and length are what a long video is hard by, so they are chosen and
everything else is drawn. The card that is asked about is put down first; the others, its
distractors, go to random times in the room that is left, never closer than the gap. One
scene's object has a shape and a colour that no other scene has, so that scenes can be
asked about in videos of any length. All times are whole units of the grid.
"""

import math

import attrs
import numpy as np

from retake.core.errors import UsageError
from retake.datasets.scenes.world import (
    COLOURS,
    GRID,
    MAX_NEEDLES,
    NEEDLE_GAP,
    NEEDLE_SECONDS,
    SHAPES,
    Needle,
    Scene,
    Script,
    Split,
    check,
    lay_scenes,
    stream,
)

_GAP = round(NEEDLE_GAP / GRID)


@attrs.frozen
class Placed:
    """A script and the card in it that stands where it was told to.

    Attributes:
        script: the video.
        asked: which of its needles that is.
        counts: how many needles there might have been, as far as a viewer can know.
    """

    script: Script
    asked: int
    counts: tuple[int, ...]

    @property
    def depth(self) -> float:
        """Where the middle of the card asked about stands, as a fraction of the length."""
        needle = self.script.needles[self.asked]
        return (needle.start + needle.end) / 2 / self.script.seconds


def write_placed(
    seconds: float,
    seed: int,
    *,
    depth: float,
    needles: tuple[int, int] = (1, 4),
    needle_seconds: tuple[float, float] = NEEDLE_SECONDS,
    split: Split = "test",
) -> Placed:
    """Invents a video with one needle at a given depth.

    Args:
        seconds: length of the video, at least 4.
        seed: same seed and other arguments, same script.
        depth: where the needle's middle stands, as a fraction of the length; it is nearer to
            the middle of the video where the needle would stick out, and on the grid.
        needles: how many there are at least and at most; the upper bound gives way where
            so many do not fit.
        needle_seconds: how long each is shown at least and at most.
        split: "train" is for training only.

    Raises:
        UsageError: the length is too short, or too short for the fewest needles.
    """
    check(seconds, seed)
    rng = stream(split, seed)
    scenes = _scenes(seconds, rng)
    total = math.floor(seconds / GRID)
    card = _card_lengths(needle_seconds, total)
    length = int(rng.integers(card[0], card[1] + 1))
    start = min(max(0, round(depth * seconds / GRID - length / 2)), total - length)
    end = start + length
    before, after = _Room(start, *card), _Room(total - end, *card)
    counts = _counts(needles, 1 + before.fits + after.fits, seconds)
    left, right = _share(int(rng.choice(counts)) - 1, before, after, rng)
    spans = [*before.lay(left, rng), (start, end)]
    spans += [(a + end + _GAP, b + end + _GAP) for a, b in after.lay(right, rng)]
    script = Script(float(seconds), seed, split, scenes, _needles(spans, rng))
    return Placed(script, left, counts)


@attrs.frozen
class _Room:
    """Free time beside the card asked about, and how long a card may be, in units."""

    size: int
    shortest: int
    longest: int

    @property
    def fits(self) -> int:
        """How many cards can be laid here, each with a gap."""
        return self.size // (self.shortest + _GAP)

    def lay(self, count: int, rng: np.random.Generator) -> list[tuple[int, int]]:
        """Starts and ends of cards at random times, each with the gap behind it."""
        if count == 0:
            return []
        longest = min(self.longest, self.size // count - _GAP)
        lengths = rng.integers(self.shortest, longest + 1, count)
        slack = self.size - int(lengths.sum()) - _GAP * count
        starts = np.sort(rng.integers(0, slack + 1, count))
        starts[1:] += np.cumsum(lengths + _GAP)[:-1]
        return [(int(a), int(a + b)) for a, b in zip(starts, lengths, strict=True)]


def _card_lengths(needle_seconds: tuple[float, float], total: int) -> tuple[int, int]:
    """How many units a card is long, at least and at most; a second of video is always bare."""
    shortest, longest = (round(seconds / GRID) for seconds in needle_seconds)
    most = total - round(1 / GRID)
    if not 1 <= shortest <= min(longest, most):
        raise UsageError(
            f"Needles of {needle_seconds[0]:g} to {needle_seconds[1]:g} seconds cannot be shown "
            f"in {total * GRID:g} seconds: from {GRID:g} to {most * GRID:g} seconds can.",
        )
    return shortest, min(longest, most)


def _counts(needles: tuple[int, int], fits: int, seconds: float) -> tuple[int, ...]:
    """How many needles there may be."""
    fewest, most = needles
    fits = min(fits, MAX_NEEDLES)
    if not 1 <= fewest <= most or fewest > fits:
        raise UsageError(
            f"{fewest} to {most} needles do not fit into {seconds:g} seconds "
            f"with one of them in its place: 1 to {fits} do.",
            hint="Ask for fewer or shorter needles, longer videos or another depth.",
        )
    return tuple(range(fewest, min(most, fits) + 1))


def _share(others: int, before: _Room, after: _Room, rng: np.random.Generator) -> tuple[int, int]:
    """How many of the others stand before the card asked about and after it, by room."""
    room = before.size + after.size
    drawn = int(rng.binomial(others, before.size / room))
    left = min(max(drawn, others - after.fits), before.fits, others)
    return left, others - left


def _scenes(seconds: float, rng: np.random.Generator) -> tuple[Scene, ...]:
    """Scenes of which one, at a random place, has a shape and a colour of its own."""
    shape, colour = str(rng.choice(SHAPES)), str(rng.choice(COLOURS))
    scenes = list(
        lay_scenes(
            seconds,
            rng,
            shapes=[name for name in SHAPES if name != shape],
            colours=[name for name in COLOURS if name != colour],
        )
    )
    place = int(rng.integers(len(scenes)))
    scenes[place] = attrs.evolve(scenes[place], shape=shape, colour=colour)
    return tuple(scenes)


def _needles(spans: list[tuple[int, int]], rng: np.random.Generator) -> tuple[Needle, ...]:
    """Cards at those times; no two share a shape or a colour."""
    looks = zip(rng.permutation(SHAPES), rng.permutation(COLOURS), strict=True)
    return tuple(
        Needle(start * GRID, end * GRID, str(shape), str(colour), int(rng.integers(2**31)))
        for (start, end), (shape, colour) in zip(spans, looks, strict=False)
    )
