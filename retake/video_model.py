"""A loaded model with its parts: watches videos and answers questions about them."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from retake.asking import Asking
from retake.assembling import reconfigured
from retake.core import config as options
from retake.core.adapter import ModelAdapter
from retake.core.backend import Backend
from retake.core.compressor import KVCompressor
from retake.core.config import GenerateOptions, PartOptions, PrefillOptions, RunConfig
from retake.core.errors import UsageError
from retake.core.frames import FrameBatch
from retake.core.memory import Answer, VideoMemory
from retake.core.questions import check_question
from retake.core.scorer import FrameTextScorer
from retake.core.selector import FrameSelector
from retake.core.stages import StageClock
from retake.encoding import EncodedVideo, encoded_slices, with_background
from retake.footage import FileFootage, Footage, StreamFootage, planned_times
from retake.parts import Parts
from retake.watching import Progress, Watching


class VideoModel:
    """A model that watches videos through a selector and a compressor, and answers questions."""

    def __init__(
        self,
        adapter: ModelAdapter,
        backend: Backend,
        selector: FrameSelector,
        compressor: KVCompressor,
        config: RunConfig,
    ) -> None:
        self.adapter = adapter
        self.backend = backend
        self.selector = selector
        self.compressor = compressor
        self.config = config
        self._memory: VideoMemory | None = None

    def with_parts(
        self,
        *,
        selector: str | PartOptions | FrameSelector | None = None,
        compressor: str | PartOptions | KVCompressor | None = None,
        budget: int | None = None,
        keep_ratio: float | None = None,
        prefill: PrefillOptions | Mapping[str, Any] | None = None,
        generate: GenerateOptions | Mapping[str, Any] | None = None,
        seed: int | None = None,
    ) -> "VideoModel":
        """The same loaded model with other parts; arguments as in `retake.load`.

        What is left out stays as it is here; `prefill` and `generate` are taken as a whole.
        """
        config, selecting, compressing = reconfigured(
            self.config,
            (self.selector, self.compressor),
            selector=selector,
            compressor=compressor,
            budget=budget,
            keep_ratio=keep_ratio,
            prefill=prefill,
            generate=generate,
            seed=seed,
        )
        return VideoModel(self.adapter, self.backend, selecting, compressing, config)

    def __repr__(self) -> str:
        return (
            f"VideoModel({self.adapter.folder!r}, selector={self.selector!r}, "
            f"compressor={self.compressor!r}, on {self.backend.describe()})"
        )

    def watch(
        self,
        video: "str | Path | Iterable[FrameBatch] | EncodedVideo",
        *,
        questions: Sequence[str] = (),
        expected_frames: int | None = None,
        progress: Progress | None = None,
    ) -> VideoMemory:
        """Watch a video once; the memory answers any number of questions.

        Args:
            video: a video file, a folder of numbered frames, what `encode` returned, or a stream
                of frames that you deliver: every one of them is looked at, and its end need not
                be known.
            questions: those known already. They do not change what is kept, only how many
                tokens of the budget are set aside for the longest of them; unless selector or
                compressor look at the question (`needs_question`): then give exactly one, and
                the memory answers only that.
            expected_frames: how many frames a stream will have, if you know: the budget is then
                spread over so many. Where more or fewer come, it is kept all the same, and
                `compression.notes` says so; but what was evicted early for the sake of frames
                that never came is gone. If in doubt leave it out.
            progress: told how far each stage is; in all 0 where nobody knows.

        Raises:
            VideoError: the video cannot be read, or gave no frames.
            UsageError: the budget leaves the video no tokens; or what is kept depends on the
                question, and none or several are given.
        """
        if isinstance(questions, str):
            questions = (questions,)
        for question in questions:
            check_question(question)
        clock = StageClock(self.backend)
        footage = self._opened(video, expected_frames, clock)
        with footage:
            self._memory = Watching(self._parts(), footage, questions, clock, progress).run()
        return self._memory

    def sampled_times(self, video: str | Path | EncodedVideo) -> tuple[float, ...]:
        """When the frames that watching a video looks at were taken, in seconds.

        Of a file they are planned only: nothing is decoded but what opening it takes.

        Raises:
            VideoError, UsageError: as `watch`.
        """
        if isinstance(video, EncodedVideo):
            return tuple(float(time) for part in video.slices for time in part.timestamps)
        return planned_times(video, self.config.video, self.adapter)

    def encode(
        self,
        video: str | Path | Iterable[FrameBatch],
        *,
        scorers: Sequence[FrameTextScorer] = (),
        expected_frames: int | None = None,
        progress: Progress | None = None,
    ) -> EncodedVideo:
        """Decode and encode a video once, to watch it in many ways.

        What comes back holds the visual tokens of the whole video, and is watched by this model
        with whatever selector, compressor and budget (`with_parts`).

        Args:
            video: as `watch` takes it.
            scorers: frame–text scorers that shall look at the frames, for selectors that need
                the question; this model's own is always one of them.
            expected_frames: as `watch` takes it.
            progress: told how far it is.

        Raises:
            VideoError: the video cannot be read, or gave no frames.
        """
        if isinstance(video, EncodedVideo):
            raise UsageError(f"{video!r} is encoded already.")
        own = self._parts().scorer
        looking: list[FrameTextScorer] = []
        for scorer in [*scorers, *([] if own is None else [own])]:
            if not isinstance(scorer, FrameTextScorer):
                raise UsageError(f"A scorer is a retake.FrameTextScorer, got {scorer!r}.")
            if scorer not in looking:
                looking.append(scorer)
        clock = StageClock(self.backend)
        with self._opened(video, expected_frames, clock) as footage:
            slices = []
            done = 0
            for part in encoded_slices(self.adapter, footage, clock, looking):
                slices.append(part)
                done += len(part)
                if progress is not None:
                    progress("encode", done, footage.planned or 0)
            if not slices:
                raise footage.nothing()
            costs = tuple(with_background(clock, footage))
            return EncodedVideo(footage, slices, costs, self.adapter.fingerprint)

    @property
    def needs_question(self) -> bool:
        """Whether what is kept of a video depends on the question, by selector or compressor."""
        return self._parts().needs_question

    def _opened(self, video: Any, expected_frames: int | None, clock: StageClock) -> Footage:
        if isinstance(video, EncodedVideo):
            if video.fingerprint != self.adapter.fingerprint:
                raise UsageError(f"{video!r} was encoded by another model.")
            if expected_frames is not None:
                raise UsageError("expected_frames is for a stream; a video that is encoded ended.")
            return video
        with clock.stage("open"):
            return self._footage(video, expected_frames)

    def _footage(self, video: Any, expected_frames: int | None) -> Footage:
        rules = self.config.video
        if not isinstance(video, (str, Path)):
            if not isinstance(video, Iterable):
                raise UsageError(
                    f"A video is a path or a stream of FrameBatch objects, got {video!r}."
                )
            if expected_frames is not None and (
                not isinstance(expected_frames, int) or expected_frames < 1
            ):
                raise UsageError(
                    f"expected_frames is a number of frames, 1 or more; got {expected_frames!r}.",
                    hint="Leave it out where the stream's length is not known.",
                )
            return StreamFootage(video, expected_frames, rules, self.adapter)
        if expected_frames is not None:
            raise UsageError("expected_frames is for a stream; a file says how long it is.")
        return FileFootage(video, rules, self.adapter)

    def ask(
        self,
        question: str,
        memory: VideoMemory | None = None,
        *,
        streamer: Any = None,
        **generate_options: Any,
    ) -> Answer:
        """Answer a question about a watched video; the memory stays as it is.

        Args:
            question: in words; the checkpoint's chat template goes around it.
            memory: of which video; the one watched last if left out.
            streamer: a `transformers` streamer that receives tokens as they come.
            generate_options: fields of `GenerateOptions` that replace the configured ones.

        Raises:
            UsageError: nothing was watched yet, the question is empty, or an option is wrong.
        """
        check_question(question)
        return self._asking(memory, generate_options).one(question, streamer)

    def ask_many(
        self,
        questions: Sequence[str],
        memory: VideoMemory | None = None,
        *,
        batch: int | None = None,
        **generate_options: Any,
    ) -> list[Answer]:
        """Answer questions about one watched video in batches; the memory stays as it is.

        The video's pairs are held and read once for a whole batch. Each answer is the one that
        `ask` gives up to rounding: the same sums are added in another order, which now and then
        decides between two tokens that are as good as equally likely.

        Only plain greedy decoding goes in batches. With sampling, beams, settings in `extra`,
        settings of the checkpoint that look at the length of the text, and of memories made with
        `reference`, questions are answered one by one, as `ask` does.

        Args:
            questions: in words.
            memory: of which video; the one watched last if left out.
            batch: questions answered at a time, at least 1; all at once if left out. 1 is exactly
                `ask`, question by question.
            generate_options: fields of `GenerateOptions` that replace the configured ones.

        Returns:
            An answer a question, in their order. `first_token_seconds` counts from when the
            batch began; `cost` has an equal share of the batch's time, and its peak memory.

        Raises:
            UsageError: as `ask`; or `questions` is no list of them, or `batch` is below 1.
        """
        if isinstance(questions, str) or not isinstance(questions, Sequence):
            raise UsageError(
                f"ask_many takes a list of questions, got {questions!r}.",
                hint="ask() answers a single one.",
            )
        for question in questions:
            check_question(question)
        if batch is not None and (not isinstance(batch, int) or batch is True or batch < 1):
            raise UsageError(f"batch must be at least 1, or None for all at once; got {batch!r}.")
        return self._asking(memory, generate_options).many(questions, batch)

    def _asking(self, memory: VideoMemory | None, given: Mapping[str, Any]) -> Asking:
        memory = memory if memory is not None else self._memory
        if memory is None:
            raise UsageError("No video was watched yet.", hint="Call watch(video) first.")
        if not isinstance(memory, VideoMemory):
            raise UsageError(
                f"A memory is what watch() or retake.load_memory(path) returns, got {memory!r}."
            )
        return Asking(self._parts(), memory, self._generate_options(given))

    def _parts(self) -> Parts:
        return Parts(self.adapter, self.backend, self.selector, self.compressor, self.config)

    def _generate_options(self, given: Mapping[str, Any]) -> GenerateOptions:
        if not given:
            return self.config.generate
        base = options.unstructure(self.config.generate)
        return options.structure(GenerateOptions, {**base, **given}, "generate option")
