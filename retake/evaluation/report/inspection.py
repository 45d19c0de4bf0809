"""What methods keep of one video: selected steps, pivots, and each layer's share over time.

The idea: a memory says which of the selected tokens each layer holds (`VideoMemory.kept`); the
selection, made again from the same visual tokens, says which step each of them came from.
Knows nothing of pages.
"""

from collections.abc import Sequence
from typing import Any

import attrs
import numpy as np
import torch

from retake.core.errors import UsageError
from retake.core.memory import Compression, Frames, VideoMemory
from retake.core.scorer import FrameTextScorer
from retake.core.stream import selection_stream
from retake.core.tokens import Selection, VisualTokens
from retake.encoding import EncodedVideo
from retake.evaluation.report.filmstrip import Moment
from retake.selectors.dpselect import dissimilarity, local_peaks
from retake.video_model import VideoModel
from retake.watching import Progress

Array = np.ndarray[Any, Any]

_WINDOW = 3  # steps within which a keyframe must be the largest change


@attrs.frozen(eq=False)
class Kept:
    """What one method keeps of a video of T steps, N tokens each, in L layers.

    Attributes:
        name: the method's.
        selected: float `[T]`, how much of each step's tokens enters the language model.
        pivots: float `[T]`, how much of them is pivots.
        layers: float `[L, T]`, how much of them each layer holds after the video. Where heads of
            a layer hold different tokens, those that any of them holds.
        pivots_kept: float `[L, T]`, how much of a step's pivots each layer holds; NaN where a
            step has none.
        compression: what was asked and achieved.
        config: the whole resolved configuration.
    """

    name: str
    selected: Array
    pivots: Array
    layers: Array
    pivots_kept: Array
    compression: Compression
    config: dict[str, Any]


@attrs.frozen(eq=False)
class Inspection:
    """A video as methods see it.

    Attributes:
        video: what it is called.
        times: float `[T]`, seconds at which steps start.
        change: float `[T]`, dissimilarity of each step to the one before, the mean over tokens.
        peaks: bool `[T]`, steps where that is largest around.
        frames: which frames were looked at.
        pace: frames a step.
        patches: tokens a step.
        methods: what each keeps.
        question: what the video was watched for, or None.
    """

    video: str
    times: Array
    change: Array
    peaks: Array
    frames: Frames
    pace: int
    patches: int
    methods: tuple[Kept, ...]
    question: str | None = None

    @property
    def end(self) -> float:
        """Seconds at which the last step ends, as far as the steps before tell."""
        times = self.times
        return float(2 * times[-1] - times[-2]) if len(times) > 1 else float(times[-1]) + 1.0

    def moment(self, step: int) -> Moment:
        """A step's frames, and the one before them."""
        start, stop = step * self.pace, (step + 1) * self.pace
        numbers, seconds = self.frames.indices, self.frames.timestamps
        return Moment(
            tuple(zip(numbers[start:stop], seconds[start:stop], strict=True)),
            numbers[start - 1] if start else None,
            f"{self.change[step]:.2f}",
        )


def inspect(
    name: str,
    video: Any,
    models: Sequence[tuple[str, VideoModel]],
    *,
    question: str | None = None,
    progress: Progress | None = None,
) -> Inspection:
    """Watch a video with every model, which share weights, and note what each keeps.

    Args:
        name: what the video is called.
        video: as `VideoModel.encode` takes it; it is decoded and encoded once.
        models: named; made from one by `with_parts`.
        question: for methods that look at it.

    Raises:
        UsageError: a method looks at the question, and there is none.
        VideoError: the video cannot be read.
    """
    check_question(models, question)
    scorers = [each for _, model in models if (each := _scorer(model)) is not None]
    encoded = models[0][1].encode(video, scorers=scorers, progress=progress)
    asked = [] if question is None else [question]
    methods, frames = [], None
    for label, model in models:
        memory = model.watch(encoded, questions=asked, progress=progress)
        tokens = _tokens(model, encoded, question)
        methods.append(_kept(label, model, memory, tokens))
        frames = memory.frames
    assert frames is not None
    change = dissimilarity(tokens.features).mean(dim=1, keepdim=True)
    return Inspection(
        video=name,
        times=tokens.timestamps.numpy(),
        change=change[:, 0].numpy(),
        peaks=local_peaks(change, _WINDOW)[:, 0].numpy(),
        frames=frames,
        pace=models[0][1].adapter.frames_per_step,
        patches=tokens.patches,
        methods=tuple(methods),
        question=question,
    )


def check_question(models: Sequence[tuple[str, VideoModel]], question: str | None) -> None:
    """Refuse methods that look at a question where there is none, before anything is decoded."""
    needing = [name for name, model in models if model.needs_question]
    if needing and question is None:
        raise UsageError(
            f"What '{needing[0]}' keeps depends on the question, and none is given.",
            hint="Give the one to watch for, with question=TEXT (--question TEXT).",
        )


def _scorer(model: VideoModel) -> FrameTextScorer | None:
    """Who rates frames against the question for the model's selector."""
    return getattr(model.selector, "scorer", None) if model.selector.needs_question else None


def _tokens(model: VideoModel, encoded: EncodedVideo, question: str | None) -> VisualTokens:
    """The whole video's visual tokens, rated where the selector asks for it."""
    pace, scorer = model.adapter.frames_per_step, _scorer(model)
    times = np.concatenate([each.timestamps[::pace] for each in encoded.slices])
    fits = None
    if scorer is not None and question is not None:
        fits = torch.cat([each.relevance(scorer, question, pace) for each in encoded.slices])
    grid = model.adapter.token_grid(encoded.size)
    return VisualTokens(encoded.tokens, torch.from_numpy(times), grid, fits)


def _kept(name: str, model: VideoModel, memory: VideoMemory, tokens: VisualTokens) -> Kept:
    selection = _selection(model, tokens)
    steps = selection.steps.cpu().numpy()
    pivots = selection.pivots.cpu().numpy()
    marked = _counted(steps[pivots], tokens.steps)
    with np.errstate(invalid="ignore"):
        survived = [
            _counted(steps[numbers[pivots[numbers]]], tokens.steps) / marked
            for numbers in memory.kept
        ]
    return Kept(
        name=name,
        selected=_counted(steps, tokens.steps) / tokens.patches,
        pivots=marked / tokens.patches,
        layers=np.stack([_counted(steps[n], tokens.steps) for n in memory.kept]) / tokens.patches,
        pivots_kept=np.stack(survived),
        compression=memory.compression,
        config=memory.config,
    )


def _selection(model: VideoModel, tokens: VisualTokens) -> Selection:
    """What the model's selector makes of the video, as it did while watching."""
    whole = model.config.prefill.reference
    stream = selection_stream(model.selector, tokens.steps, whole=whole)
    with torch.inference_mode():
        return Selection.joined([*stream.push(tokens), *stream.finish()])


def _counted(steps: Array, count: int) -> Array:
    """How many tokens there are of each step: float `[T]`."""
    return np.bincount(steps, minlength=count).astype(np.float64)
