"""Which frames to look at: a pure rule from timestamps to frame numbers. Decodes nothing."""

import math
from typing import Any, Literal

import attrs
import numpy as np

from retake.core.errors import UsageError

# Times to a frame above which they are not listed one by one.
_DENSE = 8

Indices = np.ndarray[Any, np.dtype[np.int64]]
Times = np.ndarray[Any, np.dtype[np.float64]]


@attrs.frozen(eq=False)
class SamplePlan:
    """The frames chosen, and how far they are from what was asked.

    Attributes:
        indices: int64 `[S]`, frame numbers, strictly ascending.
        timestamps: float64 `[S]`, their true times in seconds.
        asked_fps: frames per second asked for; None where only a number was asked.
        achieved_fps: `S / duration`, 0 where the duration is not known.
        capped_by: "max_frames" where that limit bound, "native_fps" where the video has
            fewer frames than asked, None where the asked rate was met.
    """

    indices: Indices = attrs.field(repr=lambda a: f"[{len(a)}]")
    timestamps: Times = attrs.field(repr=False)
    asked_fps: float | None
    achieved_fps: float
    capped_by: Literal["max_frames", "native_fps"] | None

    def __len__(self) -> int:
        return len(self.indices)

    @property
    def seconds_per_frame(self) -> float | None:
        """Seconds from one sampled frame to the next: as asked, or the mean; None for one frame.

        As asked where that was met, because the frames nearest to even times are not quite even.
        """
        if self.asked_fps is not None and self.capped_by is None:
            return 1 / self.asked_fps
        return mean_spacing(self.timestamps)


def mean_spacing(times: Times) -> float | None:
    """Seconds from one of these times to the next on average; None where there is but one."""
    if len(times) < 2 or not times[-1] > times[0]:
        return None
    return float(times[-1] - times[0]) / (len(times) - 1)


def plan_samples(
    timestamps: Times,
    duration: float,
    *,
    fps: float | None,
    max_frames: int | None,
    multiple_of: int = 1,
) -> SamplePlan:
    """Choose the frames nearest to the times `0, 1/fps, 2/fps, ...` within the video.

    True timestamps are used, so a variable-rate video is sampled evenly in time. Where that
    gives more than `max_frames`, so many frames are spread evenly from the first to the last.
    No frame is chosen twice: a rate above the video's own yields every frame once.

    Args:
        timestamps: float64 `[F]`, ascending, seconds.
        duration: seconds from the first frame's start to the last one's end.
        fps: frames per second of video, above 0; None for every frame.
        max_frames: at least 1; None for no limit.
        multiple_of: the number of frames is rounded down to a multiple of this (2 where
            the model pairs frames), but never below it. A video of fewer frames gives all it
            has, and the model's adapter pads.

    Raises:
        UsageError: an option is out of its range, or `max_frames` is below `multiple_of`.
    """
    _check(fps, max_frames, multiple_of)
    times = np.asarray(timestamps, dtype=np.float64)
    wanted = len(times) if fps is None else _count(duration, fps)
    indices = np.arange(len(times)) if fps is None else _at_rate(times, fps, wanted)
    if max_frames is not None:
        max_frames = max_frames // multiple_of * multiple_of
    native = fps is not None and len(indices) < wanted
    limited = max_frames is not None and len(indices) > max_frames
    if max_frames is not None and limited:
        indices = _spread(times, max_frames)
    indices = _to_multiple(times, indices, multiple_of)
    return SamplePlan(
        indices=indices.astype(np.int64),
        timestamps=times[indices],
        asked_fps=fps,
        achieved_fps=len(indices) / duration if duration > 0 else 0.0,
        capped_by="max_frames" if limited else "native_fps" if native else None,
    )


def _check(fps: float | None, max_frames: int | None, multiple_of: int) -> None:
    if fps is not None and not (fps > 0 and np.isfinite(fps)):
        raise UsageError(f"fps must be a number above 0, got {fps}.")
    if max_frames is not None and max_frames < 1:
        raise UsageError(f"max_frames must be at least 1, got {max_frames}.")
    if multiple_of < 1:
        raise UsageError(f"multiple_of must be at least 1, got {multiple_of}.")
    if max_frames is not None and max_frames < multiple_of:
        raise UsageError(
            f"max_frames is {max_frames}, but this model takes frames {multiple_of} at a time.",
            hint=f"Use max_frames of at least {multiple_of}.",
        )


def _count(duration: float, fps: float) -> int:
    """How many of the times `k / fps` lie within the video; a clock's rounding adds none."""
    return max(1, math.ceil(duration * fps - 0.05))


def _at_rate(times: Times, fps: float, count: int) -> Indices:
    """The frames nearest to `k / fps` for `k < count`, each once."""
    if count > _DENSE * len(times):
        # Far more times than frames: ask of each frame whether a time falls nearest to it.
        middles = (times[1:] + times[:-1]) / 2 - times[0]
        first = np.ceil(np.concatenate(([0.0], middles)) * fps)
        stop = np.ceil(np.concatenate((middles, [math.inf])) * fps)
        return np.flatnonzero(first < np.minimum(stop, count))
    return np.unique(_nearest(times, times[0] + np.arange(count) / fps))


def _spread(times: Times, count: int) -> Indices:
    """Exactly `count` frames (of at least as many), evenly spread in time, ends included."""
    chosen = _nearest(times, np.linspace(times[0], times[-1], count))
    return _apart(chosen, len(times))


def _apart(chosen: Indices, total: int) -> Indices:
    """The ascending numbers, moved as little as needed for each to be a frame of its own."""
    steps = np.arange(len(chosen))
    forward = np.maximum.accumulate(chosen - steps) + steps
    return np.minimum(forward, total - len(chosen) + steps)


def _to_multiple(times: Times, indices: Indices, multiple: int) -> Indices:
    count = max(multiple, len(indices) // multiple * multiple)
    if count == len(indices) or len(times) < multiple:
        return indices
    return indices[:count] if count < len(indices) else _spread(times, count)


def _nearest(times: Times, targets: Times) -> Indices:
    """For each target the frame nearest in time, the earlier one of two equally near."""
    after = np.clip(np.searchsorted(times, targets), 0, len(times) - 1)
    before = np.maximum(after - 1, 0)
    # A rounding error of the container's clock must not decide between two frames.
    closer_before = targets - times[before] <= times[after] - targets + 1e-9
    return np.where(closer_before, before, after)
