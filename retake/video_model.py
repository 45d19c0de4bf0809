"""A loaded model with its parts: watches videos and answers questions about them."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from transformers import GenerationConfig

from retake.core import config as options
from retake.core.adapter import ModelAdapter
from retake.core.backend import Backend
from retake.core.compressor import KVCompressor
from retake.core.config import GenerateOptions, RunConfig
from retake.core.engine import Engine, Prefilled
from retake.core.errors import UsageError
from retake.core.frames import FrameBatch
from retake.core.generation import Generated, generate, generation_config
from retake.core.memory import Answer, StageCost, VideoMemory
from retake.core.positions import position_policy
from retake.core.questions import check_question
from retake.core.selector import FrameSelector
from retake.core.stages import StageClock
from retake.footage import FileFootage, Footage, StreamFootage
from retake.watching import ANSWER_ROOM, Parts, Progress, Watching


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

    def __repr__(self) -> str:
        return (
            f"VideoModel({self.adapter.folder!r}, selector={self.selector!r}, "
            f"compressor={self.compressor!r}, on {self.backend.describe()})"
        )

    def watch(
        self,
        video: str | Path | Iterable[FrameBatch],
        *,
        questions: Sequence[str] = (),
        expected_frames: int | None = None,
        progress: Progress | None = None,
    ) -> VideoMemory:
        """Watch a video once; the memory answers any number of questions.

        Args:
            video: a video file, a folder of numbered frames, or a stream of frames that you
                deliver: every one of them is looked at, and its end need not be known.
            questions: those known already. They do not change what is kept, only how many
                tokens of the budget are set aside for the longest of them.
            expected_frames: how many frames a stream will have, if you know. Where it turns out
                otherwise, the budget is kept all the same, and `compression.notes` says so.
            progress: told how far each stage is; in all 0 where nobody knows.

        Raises:
            VideoError: the video cannot be read, or gave no frames.
            UsageError: the budget leaves the video no tokens.
        """
        if isinstance(questions, str):
            questions = (questions,)
        for question in questions:
            check_question(question)
        clock = StageClock(self.backend)
        parts = Parts(self.adapter, self.backend, self.selector, self.compressor, self.config)
        with clock.stage("open"):
            footage = self._footage(video, expected_frames)
        with footage:
            self._memory = Watching(parts, footage, questions, clock, progress).run()
        return self._memory

    def _footage(self, video: Any, expected_frames: int | None) -> Footage:
        rules = self.config.video
        if not isinstance(video, (str, Path)):
            if not isinstance(video, Iterable):
                raise UsageError(
                    f"A video is a path or a stream of FrameBatch objects, got {video!r}."
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
        memory = memory if memory is not None else self._memory
        if memory is None:
            raise UsageError("No video was watched yet.", hint="Call watch(video) first.")
        self._check_own(memory)
        rules = self._generate_options(generate_options)
        settings = generation_config(self.adapter, rules)
        if streamer is not None and (
            (settings.num_beams or 1) > 1 or (settings.num_return_sequences or 1) > 1
        ):
            raise UsageError("Only a single sequence can be streamed: leave beams out.")
        suffix = self.adapter.prompt(question).suffix
        clock = StageClock(self.backend)
        prefilled = Prefilled(memory.cache, memory.next_position, memory.kept)
        with (
            clock.stage("answer"),
            self._engine(memory).asking(
                prefilled, len(suffix) + min(rules.max_new_tokens, ANSWER_ROOM)
            ) as cache,
        ):
            generated = generate(
                self.adapter,
                self.backend,
                cache,
                suffix,
                settings,
                seed=self.config.seed,
                streamer=streamer,
                unusual=bool(rules.extra),
            )
        return self._answer(question, suffix, generated, memory, settings, clock.costs()[0])

    def _engine(self, memory: VideoMemory) -> Engine:
        """An engine that places text as the memory was made, not as this model would make one."""
        rules = memory.config["prefill"]
        policy = position_policy(
            rules["positions"],
            published=rules["reference"],
            dropped=memory.compression.steps_dropped,
        )
        return Engine(self.adapter, self.compressor, policy, self.backend)

    def _check_own(self, memory: VideoMemory) -> None:
        """Refuse a memory that another model made: its pairs mean nothing to this one."""
        theirs, mine = memory.config["model"], self.config.model
        if (memory.config["fingerprint"], theirs["dtype"]) != (
            self.adapter.fingerprint,
            mine.dtype,
        ):
            raise UsageError(
                f"This memory was made by another model: {theirs['path']} in {theirs['dtype']} "
                f"({memory.config['fingerprint']}); this is {self.adapter.folder} in "
                f"{mine.dtype} ({self.adapter.fingerprint})."
            )

    def _generate_options(self, given: Mapping[str, Any]) -> GenerateOptions:
        if not given:
            return self.config.generate
        base = options.unstructure(self.config.generate)
        return options.structure(GenerateOptions, {**base, **given}, "generate option")

    def _answer(
        self,
        question: str,
        suffix: tuple[int, ...],
        generated: Generated,
        memory: VideoMemory,
        settings: GenerationConfig,
        cost: StageCost,
    ) -> Answer:
        times = generated.token_times
        texts = [
            self.adapter.tokenizer.decode(list(row), skip_special_tokens=True).strip()
            for row in generated.sequences
        ]
        held = tuple(length + len(suffix) for length in memory.cache.lengths())
        budget = memory.compression.budget
        return Answer(
            text=texts[0],
            question=question,
            token_ids=generated.sequences[0],
            prompt_tokens=len(suffix),
            cache_tokens=held,
            first_token_seconds=times[0],
            token_seconds=(times[-1] - times[0]) / (len(times) - 1) if len(times) > 1 else None,
            over_budget=max(0, max(held) - budget) if budget is not None else 0,
            memory=memory,
            alternatives=tuple(texts[1:]),
            generation=settings.to_diff_dict(),
            seed=self.config.seed,
            cost=cost,
        )
