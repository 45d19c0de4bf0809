"""A loaded model with its parts: watches videos and answers questions about them."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
import torch
from torch import Tensor
from transformers import GenerationConfig

from retake.core import config as options
from retake.core.adapter import ModelAdapter, Prompt
from retake.core.backend import Backend
from retake.core.budget import Share, share_of
from retake.core.compressor import KVCompressor
from retake.core.config import GenerateOptions, RunConfig
from retake.core.engine import Engine, Prefilled, chunks_of_rows, chunks_of_tokens
from retake.core.errors import UsageError, VideoError, blame
from retake.core.frames import whole_steps
from retake.core.generation import Generated, generate, generation_config
from retake.core.memory import Answer, Compression, Frames, StageCost, VideoMemory
from retake.core.positions import position_policy
from retake.core.provenance import versions
from retake.core.questions import check_question
from retake.core.selector import FrameSelector
from retake.core.stages import StageClock
from retake.core.tokens import Selection, VisualTokens
from retake.video import SamplePlan, VideoReader, open_video, plan_samples

#: Tokens set aside for a question that is not known when a video is watched.
DEFAULT_RESERVE = 64
# Frames decoded and encoded at a time.
_SLICE_FRAMES = 32
# Room for an answer that is set aside at once; a longer one makes more as it grows.
_ANSWER_ROOM = 256

#: Called with a stage's name, how much of it is done, and how much there is.
Progress = Callable[[str, int, int], None]


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
        video: str | Path,
        *,
        questions: Sequence[str] = (),
        progress: Progress | None = None,
    ) -> VideoMemory:
        """Watch a video once; the memory answers any number of questions.

        Args:
            video: a video file, or a folder of numbered frames.
            questions: those known already. They do not change what is kept, only how many
                tokens of the budget are set aside for the longest of them.
            progress: told how far each stage is.

        Raises:
            VideoError: the video cannot be read.
            UsageError: the budget leaves the video no tokens.
        """
        if isinstance(questions, str):
            questions = (questions,)
        for question in questions:
            check_question(question)
        clock = StageClock(self.backend)
        rules = self.config.video
        with clock.stage("open"):
            reader = open_video(
                video,
                reader=rules.reader,
                folder_fps=rules.folder_fps,
                on_bad_frame=rules.on_bad_frame,
            )
        with reader:
            plan = plan_samples(
                reader.timestamps,
                reader.info.duration,
                fps=rules.fps,
                max_frames=rules.max_frames,
                multiple_of=self.adapter.frames_per_step,
            )
            size = self.adapter.frame_size(reader.info.height, reader.info.width, rules.long_side)
            tokens, seen = self._see(reader, plan, size, clock, progress)
            memory = self._remember(tokens, questions, clock, progress)
            frames = Frames(
                indices=tuple(index for index, _ in seen),
                timestamps=tuple(time for _, time in seen),
                size=size,
                asked_fps=plan.asked_fps,
                achieved_fps=plan.achieved_fps,
                capped_by=plan.capped_by,
                unreadable=tuple(
                    (bad.index, bad.timestamp, bad.reason) for bad in reader.bad_frames
                ),
                notes=tuple(reader.notes),
            )
            self._memory = attrs.evolve(memory, frames=frames, video=reader.info)
        return self._memory

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
            self._engine(
                # As the memory was made, not as this model would make the next one.
                memory.config["prefill"]["positions"],
                memory.config["prefill"]["reference"],
                memory.compression.steps_dropped,
            ).asking(prefilled, len(suffix) + min(rules.max_new_tokens, _ANSWER_ROOM)) as cache,
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

    def _see(
        self,
        reader: VideoReader,
        plan: SamplePlan,
        size: tuple[int, int],
        clock: StageClock,
        progress: Progress | None,
    ) -> tuple[VisualTokens, list[tuple[int, float]]]:
        """Visual tokens of the planned frames, and which frames those were."""
        pace = self.adapter.frames_per_step
        total = len(plan.indices)
        features: list[Tensor] = []
        seen: list[tuple[int, float]] = []
        batches = reader.read(
            plan.indices.tolist(), batch_size=max(pace, _SLICE_FRAMES // pace * pace)
        )
        for batch in whole_steps(clock.timed(batches, "decode"), pace):
            with clock.stage("encode"), torch.inference_mode():
                features.append(self.adapter.encode_frames(batch, size))
            seen += zip(batch.indices.tolist(), batch.timestamps.tolist(), strict=True)
            if progress:
                progress("watch", len(seen), total)
        if not features:
            bad = ", ".join(str(frame.index) for frame in reader.bad_frames[:5])
            raise VideoError(
                f"None of the {total} sampled frames of {reader.info.path} could be decoded "
                f"(frames {bad}…)."
            )
        times = torch.tensor([time for _, time in seen[::pace]], dtype=torch.float64)
        grid = self.adapter.token_grid(size)
        return VisualTokens(torch.cat(features), times, grid), seen

    def _remember(
        self,
        tokens: VisualTokens,
        questions: Sequence[str],
        clock: StageClock,
        progress: Progress | None,
    ) -> VideoMemory:
        """Select, prefill and compress."""
        with clock.stage("select"), torch.inference_mode(), blame(self.selector, "select"):
            selection = self.selector.select(tokens)
        self._check_selection(selection, tokens)
        prompts = [self.adapter.prompt(question) for question in questions]
        prefix = prompts[0].prefix if prompts else self.adapter.prompt("?").prefix
        reserve = self._reserve(prompts, len(prefix))
        share = self._share(selection, len(prefix), reserve)
        chunks = self._chunks(selection, tokens)
        ids = torch.tensor(prefix, dtype=torch.long, device=self.adapter.device)
        own = self.adapter.video_positions(len(prefix), selection, tokens.grid)
        with clock.stage("prefill"):
            engine = self._engine(
                self.config.prefill.positions,
                self.config.prefill.reference,
                tokens.steps - selection.row_count,
            )
            prefilled = engine.prefill(
                ids,
                selection,
                own,
                chunks=chunks,
                share=share,
                spare=reserve + min(self.config.generate.max_new_tokens, _ANSWER_ROOM),
                progress=(lambda done, of: progress("prefill", done, of)) if progress else None,
            )
        return VideoMemory(
            cache=prefilled.cache,
            next_position=prefilled.next_position,
            kept=prefilled.kept,
            compression=self._account(tokens, selection, prefilled, len(prefix), reserve),
            costs=clock.costs(),
            config={
                **options.unstructure(self.config),
                "fingerprint": self.adapter.fingerprint,
                "device": self.backend.describe(),
                "versions": versions(),
            },
        )

    def _check_selection(self, selection: Any, tokens: VisualTokens) -> None:
        """Refuse what a selector returns if it is no selection of this video."""
        where = f"{type(self.selector).__name__}.select()"
        if not isinstance(selection, Selection):
            raise UsageError(f"{where} must return a Selection, got {type(selection).__name__}.")
        width, source = tokens.features.shape[2], (tokens.steps, tokens.patches)
        if selection.features.shape[1] != width or selection.source != source:
            raise UsageError(f"{where} returned tokens that are not this video's: {selection!r}.")

    def _reserve(self, prompts: Sequence[Prompt], prefix: int) -> int:
        """Tokens of the budget that the question will take."""
        if self.config.prefill.reserve is not None:
            return self.config.prefill.reserve
        if prompts:
            return max(len(prompt.suffix) for prompt in prompts)
        budget = self.config.prefill.budget
        if budget is None:
            return DEFAULT_RESERVE
        return min(DEFAULT_RESERVE, max(0, budget - prefix) // 4)

    def _share(self, selection: Selection, prefix: int, reserve: int) -> Share | None:
        rules = self.config.prefill
        if not self.compressor.evicts:
            needed = prefix + reserve + len(selection)
            if rules.budget is not None and needed > rules.budget:
                raise UsageError(
                    f"The compressor '{self.config.compressor.name}' evicts nothing, and "
                    f"{needed} tokens do not fit in a budget of {rules.budget}.",
                    hint="Use a compressor such as pivotkv, or leave the budget out.",
                )
            return None
        return share_of(
            video=len(selection),
            text=prefix + reserve,
            budget=rules.budget,
            keep_ratio=rules.keep_ratio,
            published=rules.reference,
        )

    def _chunks(self, selection: Selection, tokens: VisualTokens) -> list[tuple[int, int]]:
        pace = self.adapter.frames_per_step
        asked = self.config.prefill.chunk_frames
        if self.config.prefill.reference:
            # The published code takes the smaller of a number of frames and one of steps.
            size = max(1, min(asked, tokens.steps) * tokens.patches // pace)
            return chunks_of_tokens(len(selection), size)
        return chunks_of_rows(selection.rows, max(1, asked // pace))

    def _engine(self, positions: str, reference: bool, dropped: int) -> Engine:
        policy = position_policy(positions, published=reference, dropped=dropped)
        return Engine(self.adapter, self.compressor, policy, self.backend)

    def _account(
        self,
        tokens: VisualTokens,
        selection: Selection,
        prefilled: Prefilled,
        text: int,
        reserve: int,
    ) -> Compression:
        pair = prefilled.cache.nbytes() // sum(prefilled.cache.lengths())
        layers = len(prefilled.kept)
        seen = tokens.steps * tokens.patches
        marked = selection.pivots.cpu().numpy()
        return Compression(
            steps=tokens.steps,
            steps_dropped=tokens.steps - selection.row_count,
            tokens_per_step=tokens.patches,
            tokens_seen=seen,
            tokens_selected=len(selection),
            tokens_kept=tuple(len(kept) for kept in prefilled.kept),
            pivots=int(marked.sum()),
            pivots_kept=tuple(int(marked[kept].sum()) for kept in prefilled.kept),
            text_tokens=text,
            reserved=reserve,
            budget=self.config.prefill.budget,
            keep_ratio=self.config.prefill.keep_ratio,
            kv_bytes_full=pair * layers * (text + seen),
            kv_bytes=prefilled.cache.nbytes(),
            kv_bytes_reserved=prefilled.cache.reserved_bytes(),
        )
