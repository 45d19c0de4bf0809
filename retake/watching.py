"""Watching: decode → resize → encode → select → prefill, as a stream.

Frames are decoded ahead in the background. What is computed holds one slice of frames, the
steps that the selector still depends on, one chunk of tokens and the budget: memory depends
on those, not on the video's length.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction

import torch
from torch import Tensor

from retake.core import config as options
from retake.core.adapter import Prompt
from retake.core.allowance import (
    Allowance,
    CacheAllowance,
    RatioAllowance,
    WeightedAllowance,
)
from retake.core.budget import Share, check_kept, check_room, share_of
from retake.core.chunks import RowChunks, chunks_of_tokens
from retake.core.compressor import checked_weights
from retake.core.engine import Engine, Prefill, Prefilled
from retake.core.errors import UsageError, blame
from retake.core.memory import Compression, VideoMemory
from retake.core.positions import position_policy
from retake.core.provenance import versions
from retake.core.stages import StageClock
from retake.core.stream import selection_stream
from retake.core.tokens import Selection, VisualTokens
from retake.encoding import SeenFrames, encoded_slices, with_background
from retake.footage import Footage
from retake.parts import Parts

#: Tokens set aside for a question that is not known when a video is watched.
DEFAULT_RESERVE = 64
#: Room for an answer that is set aside at once; a longer one makes more as it grows.
ANSWER_ROOM = 256

#: Called with a stage's name, how much of it is done, and how much there is.
Progress = Callable[[str, int, int], None]


class Watching:
    """One pass over one video."""

    def __init__(
        self,
        parts: Parts,
        footage: Footage,
        questions: Sequence[str],
        clock: StageClock,
        progress: Progress | None,
    ) -> None:
        self._parts = parts
        self._rules = parts.config.prefill
        self._check_reference()
        parts.check()
        self._footage = footage
        self._clock = clock
        self._progress: Progress = progress or (lambda stage, done, total: None)
        self._question = parts.only(questions) if parts.needs_question else None
        prompts = [parts.adapter.prompt(question) for question in questions]
        guided = parts.compressor.needs_question
        device = parts.adapter.device
        self._guide = torch.tensor(prompts[0].suffix, device=device) if guided else None
        self._prefix = prompts[0].prefix if prompts else parts.adapter.prompt("?").prefix
        # What is there besides video: the text in front, and what closes the video.
        self._text = len(self._prefix) + len(parts.adapter.after_video())
        self._reserve = self._reserved(prompts)
        self._grid = parts.adapter.token_grid(footage.size)
        self._seen = SeenFrames(footage.planned, parts.adapter.frames_per_step)
        # The published code's chunks depend on the length of the whole video.
        self._stream = selection_stream(
            parts.selector, self._seen.planned_steps(0), whole=self._rules.reference
        )
        self._ended = False
        self._rows = 0
        self._pivots = 0
        self._prefill: Prefill | None = None
        self._allowance: _Allowances = None

    def run(self) -> VideoMemory:
        """Watch the footage to its end."""
        self._check_budget()
        if self._parts.compressor.weighs_chunks:
            waiting = list(self._chunks())
            if waiting and self._parts.compressor.evicts:
                self._weigh(waiting)
            # Each is let go of once it is in.
            self._prefill_all(waiting.pop(0) for _ in range(len(waiting)))
        else:
            # Filled by a ratio, the whole cache's size depends on whether more is to come.
            ratio = self._rules.keep_ratio is not None
            late = ratio and self._parts.compressor.scope == "cache"
            self._prefill_all(_one_late(self._chunks()) if late else self._chunks())
        return self._finish()

    def _chunks(self) -> Iterator[Selection]:
        """The chunks to prefill, each as soon as it is selected."""
        chunks = RowChunks(self._chunk_rows)
        for tokens in self._encoded():
            for part in self._selecting(self._stream.push(tokens)):
                yield from chunks.push(part)
        if not self._stream.steps:
            raise self._footage.nothing()
        self._ended = True
        for part in self._selecting(self._stream.finish()):
            yield from self._published(part) if self._rules.reference else chunks.push(part)
        yield from chunks.finish()

    def _weigh(self, chunks: list[Selection]) -> None:
        """Split the budget among all chunks of the video, as the compressor weighs them."""
        compressor = self._parts.compressor
        with blame(compressor, "chunk_weights"), torch.inference_mode():
            given = compressor.chunk_weights(chunks)
        weights = checked_weights(
            given, len(chunks), f"{type(compressor).__name__}.chunk_weights()"
        )
        selected = self._stream.selected
        share = self._share(selected)
        self._allowance = WeightedAllowance(
            share.keep(0, selected), weights, [len(chunk) for chunk in chunks]
        )

    def _finish(self) -> VideoMemory:
        if self._prefill is None:
            raise UsageError(
                f"The selector '{self._parts.config.selector.name}' selected nothing of "
                f"{self._stream.steps} steps."
            )
        return self._memory(self._prefill.finish())

    def _encoded(self) -> Iterator[VisualTokens]:
        """Visual tokens, a slice of frames at a time."""
        adapter, scorer = self._parts.adapter, self._parts.scorer
        pace = adapter.frames_per_step
        scorers = [] if scorer is None else [scorer]
        for part in encoded_slices(adapter, self._footage, self._clock, scorers):
            self._seen.add(part)
            self._progress("watch", len(self._seen), self._footage.planned or 0)
            times = torch.from_numpy(part.timestamps[::pace].copy())
            fits = None
            if scorer is not None and self._question is not None:
                with self._clock.stage("select"), torch.inference_mode():
                    fits = part.relevance(scorer, self._question, pace)
            yield VisualTokens(part.features, times, self._grid, fits)

    def _selecting(self, parts: Iterator[Selection]) -> Iterator[Selection]:
        """Parts of the selection as they are decided."""
        while True:
            with self._clock.stage("select"), torch.inference_mode():
                part = next(parts, None)
            if part is None:
                return
            self._rows = part.row_count
            self._pivots += int(part.pivots.sum())
            yield part

    def _published(self, selection: Selection) -> Iterator[Selection]:
        """The published code's chunks: so many tokens, whatever steps they fall in."""
        size = self._chunk_tokens()
        for start, stop in chunks_of_tokens(len(selection), size):
            yield selection.part(start, stop)

    def _prefill_all(self, chunks: Iterator[Selection]) -> None:
        for chunk in chunks:
            with self._clock.stage("prefill"):
                self._feed(chunk)

    def _feed(self, chunk: Selection) -> None:
        expected = self._expected()
        if self._prefill is None:
            self._prefill = self._start(expected)
        done, keep = chunk.first + len(chunk), None
        if self._allowance is not None:
            ration = self._allowance.next(len(chunk), expected)
            if ration.thin is not None:
                self._prefill.thin(ration.thin)
            keep = ration.keep
        else:
            self._check_fits(done)
        own = self._parts.adapter.video_positions(
            len(self._prefix), chunk, self._grid, self._seconds(chunk)
        )
        self._prefill.feed(chunk, own, keep)
        self._progress("prefill", done, expected or 0)

    def _expected(self) -> int | None:
        """Tokens selected of the whole video once it has ended, by what is known now."""
        stream, patches = self._stream, self._grid[0] * self._grid[1]
        if self._ended:
            return stream.selected
        planned = self._seen.planned_steps(self._footage.lost(self._seen.last_index))
        if planned is None or planned < stream.steps:
            return None
        # As many of each step to come as of those before; all, as long as nothing is dropped.
        seen = stream.decided * patches
        share = Fraction(stream.selected, seen) if seen else Fraction(1)
        return stream.selected + math.ceil((planned - stream.decided) * patches * share)

    @property
    def _chunk_rows(self) -> int:
        return max(1, self._rules.chunk_frames // self._parts.adapter.frames_per_step)

    def _chunk_tokens(self) -> int:
        """Tokens of a chunk at most."""
        patches, pace = self._grid[0] * self._grid[1], self._parts.adapter.frames_per_step
        if self._rules.reference:
            # The smaller of a number of frames and one of steps, as the published code has it.
            return max(1, min(self._rules.chunk_frames, self._stream.steps) * patches // pace)
        return self._chunk_rows * patches

    def _start(self, expected: int | None) -> Prefill:
        """Plan the budget, take memory for it, and prefill the text before the video."""
        self._allowance = self._allowance or self._plan(expected)
        largest, spare = self._chunk_tokens(), 0
        kept = largest if expected is None else expected
        if self._allowance is not None:
            if self._rules.budget is not None:
                limit = self._rules.budget - self._text - self._reserve
                kept = limit if expected is None else min(limit, kept)
            elif self._rules.keep_ratio is not None:
                # A token more a chunk where the published code rounds up.
                kept = int(self._rules.keep_ratio * kept) + kept // largest + 1
            kept = max(0, kept)
            largest = largest if expected is None else min(largest, expected)
            spare = largest + (0 if self._guide is None else len(self._guide))
        spare += self._reserve + min(self._parts.config.generate.max_new_tokens, ANSWER_ROOM)
        ids = torch.tensor(self._prefix, dtype=torch.long, device=self._parts.adapter.device)
        policy = position_policy(self._rules.positions, published=self._rules.reference)
        engine = Engine(self._parts.adapter, self._parts.compressor, policy, self._parts.backend)
        return engine.start(ids, self._text + spare, max(1, kept), self._guide)

    def _seconds(self, chunk: Selection) -> Tensor | None:
        """Seconds from the video's start to each token's step; None where no family asks.

        A file's steps are evenly apart, as the rate says; a stream's where its own times say.
        """
        adapter = self._parts.adapter
        if not adapter.absolute_time:
            return None
        spacing = self._footage.seconds_per_frame
        if spacing is not None:
            # In float32 and in this order, as published: cutting off is sensitive to rounding.
            return chunk.steps.float() * (spacing * adapter.frames_per_step)
        times = torch.from_numpy(self._seen.times()[:: adapter.frames_per_step])
        return (times - times[0]).float().to(chunk.steps.device)[chunk.steps]

    def _plan(self, expected: int | None) -> "_Allowances":
        """How the compressor's budget is spent; None for one that never evicts."""
        rules, text = self._rules, self._text + self._reserve
        if not self._parts.compressor.evicts:
            return None
        whole = self._parts.compressor.scope == "cache"
        if rules.budget is not None and not rules.reference:
            if whole:
                return CacheAllowance(limit=rules.budget - text)
            return Allowance(budget=rules.budget, text=text, expected=expected)
        share = self._share(expected)
        return CacheAllowance(share=share) if whole else RatioAllowance(share)

    def _share(self, video: int | None) -> Share:
        """The share of a video of so many tokens that the budget or the ratio leaves it."""
        return share_of(
            video=video,
            text=self._text + self._reserve,
            budget=self._rules.budget,
            keep_ratio=self._rules.keep_ratio,
            published=self._rules.reference,
        )

    def _check_reference(self) -> None:
        """Refuse to reproduce for a family what was never published for it."""
        if self._rules.reference and self._parts.adapter.absolute_time:
            raise UsageError(
                f"The published code knows no family with time in seconds, such as "
                f"{self._parts.config.model.adapter}: there is nothing for 'reference' to repeat.",
                hint="Leave --reference out.",
            )

    def _check_budget(self) -> None:
        """Refuse a budget that cannot be met before anything is decoded."""
        if self._rules.budget is None or self._rules.reference:
            return
        if self._parts.compressor.evicts:
            check_room(self._rules.budget, self._text + self._reserve)
        else:
            self._check_fits(1)

    def _check_fits(self, tokens: int) -> None:
        """Refuse to go beyond a budget with a compressor that evicts nothing."""
        needed, budget = self._text + self._reserve + tokens, self._rules.budget
        if budget is not None and needed > budget:
            raise UsageError(
                f"The compressor '{self._parts.config.compressor.name}' evicts nothing, and "
                f"{needed} tokens do not fit in a budget of {budget}.",
                hint="Use a compressor such as pivotkv, or leave the budget out.",
            )

    def _reserved(self, prompts: Sequence[Prompt]) -> int:
        """Tokens of the budget that the question will take."""
        if self._rules.reserve is not None:
            return self._rules.reserve
        if prompts:
            return max(len(prompt.suffix) for prompt in prompts)
        if self._rules.budget is None:
            return DEFAULT_RESERVE
        return min(DEFAULT_RESERVE, max(0, self._rules.budget - self._text) // 4)

    def _memory(self, prefilled: Prefilled) -> VideoMemory:
        if self._rules.keep_ratio is not None and not self._rules.reference:
            check_kept(self._rules.keep_ratio, self._stream.selected)
        source = self._footage.source()
        costs = [*self._footage.costs, *with_background(self._clock, self._footage)]
        return VideoMemory(
            cache=prefilled.cache,
            next_position=prefilled.next_position,
            kept=prefilled.kept,
            compression=self._account(prefilled),
            frames=self._footage.frames(*self._seen.columns()),
            video=self._footage.info(),
            source=source,
            question=self._question,
            costs=tuple(costs),
            config={
                **options.unstructure(self._parts.config),
                "fingerprint": self._parts.adapter.fingerprint,
                "device": self._parts.backend.describe(),
                "versions": versions(),
            },
        )

    def _account(self, prefilled: Prefilled) -> Compression:
        cache, stream = prefilled.cache, self._stream
        pair = cache.nbytes() // sum(cache.lengths())
        seen = stream.steps * self._grid[0] * self._grid[1]
        return Compression(
            steps=stream.steps,
            steps_dropped=stream.steps - self._rows,
            tokens_per_step=self._grid[0] * self._grid[1],
            tokens_seen=seen,
            tokens_selected=stream.selected,
            tokens_kept=prefilled.tokens_kept,
            pivots=self._pivots,
            pivots_kept=prefilled.pivots_kept,
            text_tokens=self._text,
            reserved=self._reserve,
            budget=self._rules.budget,
            keep_ratio=self._rules.keep_ratio,
            kv_bytes_full=pair * len(prefilled.kept) * (self._text + seen),
            kv_bytes=cache.nbytes(),
            kv_bytes_reserved=cache.reserved_bytes(),
            notes=tuple(self._notes(sum(prefilled.tokens_kept) // len(prefilled.tokens_kept))),
        )

    def _notes(self, held: int) -> Iterator[str]:
        """What the user should know of how the budget was met.

        `held` tokens of the video are kept in an average layer.
        """
        if not isinstance(self._allowance, Allowance):
            return
        planned, came = self._footage.planned, len(self._seen)
        if planned is None:
            yield "How long the video would be was not known beforehand."
        elif planned != came:
            yield f"{came} frames came where {planned} were planned."
        if self._allowance.thinned:
            times = self._allowance.thinned
            yield (
                "To stay within the budget, what was kept was thinned evenly "
                f"{'once' if times == 1 else f'{times} times'} on the way."
            )
        elif self._allowance.respread:
            yield "The budget was spread anew on the way, as more or less came than expected."
        possible = min(self._allowance.limit, self._stream.selected)
        if held < possible:
            yield f"{held} tokens of the video are kept where the budget has room for {possible}."


def _one_late(chunks: Iterator[Selection]) -> Iterator[Selection]:
    """The same chunks, each once the next is there, or the last."""
    held: Selection | None = None
    for chunk in chunks:
        if held is not None:
            yield held
        held = chunk
    if held is not None:
        yield held


_Allowances = Allowance | RatioAllowance | CacheAllowance | WeightedAllowance | None
