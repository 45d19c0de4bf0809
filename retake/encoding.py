"""Encoding: frames become visual tokens, a slice at a time; a video may be kept encoded.

Decoding and encoding do not depend on selector, compressor or budget, so a video that is watched
in many ways is encoded once (`VideoModel.encode`). What this module does not know: how.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import attrs
import numpy as np
import torch
from torch import Tensor

from retake.core.adapter import ModelAdapter
from retake.core.errors import UsageError, blame
from retake.core.frames import FrameBatch, VideoInfo, slices_of
from retake.core.memory import Frames, Source, StageCost
from retake.core.scorer import FrameTextScorer
from retake.core.stages import StageClock
from retake.footage import Footage

# Frames encoded at a time.
_SLICE_FRAMES = 32


@attrs.frozen(eq=False)
class EncodedSlice:
    """Some frames of a video, encoded.

    Attributes:
        features: `[T, N, C]`, as they enter the language model.
        indices, timestamps: of the frames `[F]`, as in `FrameBatch`.
        looks: the scorers that looked, each with what it remembers of the frames, `[F, E]`.
    """

    features: Tensor = attrs.field(repr=lambda f: str(list(f.shape)))
    indices: np.ndarray[Any, np.dtype[np.int64]] = attrs.field(repr=False)
    timestamps: np.ndarray[Any, np.dtype[np.float64]] = attrs.field(repr=False)
    looks: tuple[tuple[FrameTextScorer, Tensor], ...] = attrs.field(default=(), repr=False)

    def __len__(self) -> int:
        return len(self.indices)

    def relevance(self, scorer: FrameTextScorer, question: str, pace: int) -> Tensor:
        """How well each step fits the question, float32 `[T]`: as its best frame does.

        Args:
            scorer: who looked at the frames.
            question: in words.
            pace: frames a step.
        """
        seen = next((look for who, look in self.looks if who == scorer), None)
        if seen is None:
            raise UsageError(
                f"The video was encoded without {scorer!r} looking at it.",
                hint="model.encode(video, scorers=[...]) takes all scorers that are needed.",
            )
        with blame(scorer, "rate"):
            rated = scorer.rate(seen, question)
        sound = isinstance(rated, Tensor) and rated.shape == (len(self),)
        if not sound or not bool(rated.isfinite().all()):
            raise UsageError(
                f"{type(scorer).__name__}.rate() must return a finite number for each of "
                f"{len(self)} frames, but returned {rated!r:.80}."
            )
        frames = rated.float().cpu()
        return torch.stack(
            [frames[start : start + pace].max() for start in range(0, len(frames), pace)]
        )


def encoded_slices(
    adapter: ModelAdapter,
    footage: Footage,
    clock: StageClock,
    scorers: Sequence[FrameTextScorer] = (),
) -> Iterator[EncodedSlice]:
    """A video's frames, encoded and looked at, in the order in which they are decoded."""
    if isinstance(footage, EncodedVideo):
        yield from footage.slices
        return
    pace = adapter.frames_per_step
    batches = slices_of(footage.batches(), max(pace, _SLICE_FRAMES // pace * pace))
    for batch in clock.timed(batches, "decode"):
        with clock.stage("encode"), torch.inference_mode():
            features = adapter.encode_frames(batch, footage.size)
        with torch.inference_mode():
            looks = tuple((scorer, _look(scorer, batch.frames, clock)) for scorer in scorers)
        yield EncodedSlice(features, batch.indices, batch.timestamps, looks)


def _look(scorer: FrameTextScorer, frames: Tensor, clock: StageClock) -> Tensor:
    """What a scorer remembers of frames, refused where it is not a row for each."""
    with clock.stage("look"), blame(scorer, "look"):
        seen: Any = scorer.look(frames)
    if not isinstance(seen, Tensor) or seen.ndim != 2 or len(seen) != len(frames):
        raise UsageError(
            f"{type(scorer).__name__}.look() must return a row for each of {len(frames)} frames, "
            f"[{len(frames)}, E], but returned {seen!r:.80}."
        )
    return seen


class EncodedVideo(Footage):
    """A video whose visual tokens are there, to be watched in many ways.

    It is what `VideoModel.encode` returns, and belongs to the model that encoded it.
    """

    def __init__(
        self,
        footage: Footage,
        slices: Sequence[EncodedSlice],
        costs: Sequence[StageCost],
        fingerprint: str,
    ) -> None:
        self.name = footage.name
        self.size = footage.size
        self.planned = footage.planned
        self.seconds_per_frame = footage.seconds_per_frame
        self.slices = tuple(slices)
        self.costs = tuple(costs)
        self.fingerprint = fingerprint
        indices = tuple(np.concatenate([each.indices for each in slices]).tolist())
        times = tuple(np.concatenate([each.timestamps for each in slices]).tolist())
        # In this order: a source's notes come with the record of frames.
        self._source = footage.source()
        self._info = footage.info()
        self._frames = footage.frames(indices, times)

    def __repr__(self) -> str:
        return f"EncodedVideo({self.name!r}, {len(self.tokens)} steps)"

    @property
    def tokens(self) -> Tensor:
        """All visual tokens `[T, N, C]`."""
        return torch.cat([each.features for each in self.slices])

    def batches(self) -> Iterator[FrameBatch]:
        raise UsageError(f"The frames of {self.name} are gone: it was encoded.")

    def lost(self, index: int) -> int:
        return sum(bad[0] <= index for bad in self._frames.unreadable)

    def info(self) -> VideoInfo | None:
        return self._info

    def source(self) -> Source | None:
        return self._source

    def frames(self, indices: tuple[int, ...], timestamps: tuple[float, ...]) -> Frames:
        return self._frames


def with_background(clock: StageClock, footage: Footage) -> Iterator[StageCost]:
    """What stages cost; decoding with the time that was spent on it beside the run."""
    for cost in clock.costs():
        if cost.name == "decode":
            cost = attrs.evolve(cost, background_seconds=footage.background_seconds())
        yield cost


class SeenFrames:
    """Which frames were looked at, and how many are still to come."""

    def __init__(self, planned: int | None, frames_per_step: int) -> None:
        self._planned = planned
        self._pace = frames_per_step
        self._indices: list[np.ndarray[Any, Any]] = []
        self._times: list[np.ndarray[Any, Any]] = []
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, batch: EncodedSlice) -> None:
        self._indices.append(batch.indices)
        self._times.append(batch.timestamps)
        self._count += len(batch)

    def times(self) -> np.ndarray[Any, Any]:
        """Seconds at which each frame is shown."""
        return np.concatenate(self._times)

    @property
    def last_index(self) -> int:
        return int(self._indices[-1][-1]) if self._indices else -1

    def planned_steps(self, lost: int) -> int | None:
        """Steps that the whole video will have, `lost` of its frames being gone."""
        return None if self._planned is None else -(-(self._planned - lost) // self._pace)

    def columns(self) -> tuple[tuple[int, ...], tuple[float, ...]]:
        """Numbers and times of all frames."""
        return tuple(np.concatenate(self._indices).tolist()), tuple(self.times().tolist())
