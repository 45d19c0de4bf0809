"""Asking: questions about one watched video, alone or several in a batch.

What this module does not know: videos, frames, which model families and methods there are.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import attrs
import torch
from transformers import GenerationConfig

from retake.core.adapter import ModelAdapter
from retake.core.batch import asking_rows
from retake.core.config import GenerateOptions, ModelOptions
from retake.core.engine import Engine, Prefilled
from retake.core.errors import UsageError
from retake.core.generation import (
    Generated,
    generate,
    generate_rows,
    generation_config,
    in_rows,
)
from retake.core.heads import HeadsLayer
from retake.core.memory import Answer, StageCost, VideoMemory
from retake.core.positions import position_policy
from retake.core.stages import StageClock
from retake.parts import Parts
from retake.watching import ANSWER_ROOM

#: What a model without a path is called.
EMBEDDED = "the embedded model"


class Asking:
    """Asks one memory, which stays as it is."""

    def __init__(self, parts: Parts, memory: VideoMemory, rules: GenerateOptions) -> None:
        check_maker(parts.adapter, parts.config.model, memory)
        check_place(parts.adapter, memory)
        self._question = memory.question
        self._parts = parts
        self._memory = memory
        self._rules = rules
        self._settings = generation_config(parts.adapter, rules)
        self._engine = _engine(parts, memory)
        self._prefilled = Prefilled(memory.cache, memory.next_position, memory.kept)
        self._room = min(rules.max_new_tokens, ANSWER_ROOM)

    def one(self, question: str, streamer: Any = None) -> Answer:
        """Answer one question; a streamer receives tokens as they come."""
        self._check(question)
        if streamer is not None and _several(self._settings):
            raise UsageError("Only a single sequence can be streamed: leave beams out.")
        adapter, backend = self._parts.adapter, self._parts.backend
        suffix = adapter.prompt(question).suffix
        clock = StageClock(backend)
        with (
            clock.stage("answer"),
            self._engine.asking(self._prefilled, len(suffix) + self._room) as cache,
        ):
            generated = generate(
                adapter,
                backend,
                cache,
                suffix,
                self._settings,
                seed=self._parts.config.seed,
                streamer=streamer,
                unusual=bool(self._rules.extra),
            )
        return self._answer(question, suffix, generated, clock.costs()[0])

    def many(self, questions: Sequence[str], batch: int | None) -> list[Answer]:
        """Answer questions, so many at a time; one by one where they cannot be batched."""
        for question in questions:
            self._check(question)
        rows = (batch or max(1, len(questions))) if self.in_batches else 1
        answers: list[Answer] = []
        for first in range(0, len(questions), rows):
            some = questions[first : first + rows]
            answers += self._together(some) if len(some) > 1 else [self.one(some[0])]
        return answers

    def _check(self, question: str) -> None:
        """Refuse another question than the one that the video was watched for."""
        if self._question in (None, question):
            return
        raise UsageError(
            f"This memory was made for the question '{self._question}' and answers no other: "
            "what it keeps depends on it.",
            hint="Watch the video anew with questions=[...], or with a selector and a compressor "
            "that do not look at the question.",
        )

    @property
    def in_batches(self) -> bool:
        """Whether several questions are decoded in a batch as each would be alone."""
        apart = any(isinstance(layer, HeadsLayer) for layer in self._memory.cache.layers)
        plain = not self._rules.extra and not apart and in_rows(self._settings)
        return self._engine.policy.counts_on and plain

    def _together(self, questions: Sequence[str]) -> list[Answer]:
        """Answer at least two questions in one batch."""
        adapter, backend = self._parts.adapter, self._parts.backend
        suffixes = [adapter.prompt(question).suffix for question in questions]
        clock = StageClock(backend)
        with (
            clock.stage("answer"),
            asking_rows(
                self._engine, self._prefilled, [len(suffix) for suffix in suffixes], self._room
            ) as cache,
        ):
            rows = generate_rows(
                adapter, backend, cache, suffixes, self._settings, seed=self._parts.config.seed
            )
        whole = clock.costs()[0]
        share = attrs.evolve(whole, seconds=whole.seconds / len(questions))
        return [
            self._answer(question, suffix, generated, share)
            for question, suffix, generated in zip(questions, suffixes, rows, strict=True)
        ]

    def _answer(
        self, question: str, suffix: tuple[int, ...], generated: Generated, cost: StageCost
    ) -> Answer:
        times = generated.token_times
        texts = [
            self._parts.adapter.tokenizer.decode(list(row), skip_special_tokens=True).strip()
            for row in generated.sequences
        ]
        held = tuple(length + len(suffix) for length in self._memory.cache.lengths())
        budget = self._memory.compression.budget
        return Answer(
            text=texts[0],
            question=question,
            token_ids=generated.sequences[0],
            prompt_tokens=len(suffix),
            cache_tokens=held,
            first_token_seconds=times[0],
            token_seconds=(times[-1] - times[0]) / (len(times) - 1) if len(times) > 1 else None,
            over_budget=max(0, -(-sum(held) // len(held)) - budget) if budget is not None else 0,
            memory=self._memory,
            alternatives=tuple(texts[1:]),
            generation=self._settings.to_diff_dict(),
            seed=self._parts.config.seed,
            cost=cost,
        )


def check_maker(adapter: ModelAdapter, model: ModelOptions, memory: VideoMemory) -> None:
    """Refuse a memory that another model made: its pairs mean nothing to this one."""
    theirs = memory.config["model"]
    if (memory.config["fingerprint"], theirs["dtype"]) == (adapter.fingerprint, model.dtype):
        return
    raise UsageError(
        f"This memory was made by another model: {theirs['path'] or EMBEDDED} in "
        f"{theirs['dtype']} ({memory.config['fingerprint']}); this is {model.path or EMBEDDED} "
        f"in {model.dtype} ({adapter.fingerprint}).",
        hint="Ask with the model that made it, or watch the video anew with this one.",
    )


def check_place(adapter: ModelAdapter, memory: VideoMemory) -> None:
    """Refuse a memory whose pairs are not where the model's layers would read them."""
    held = [layer.device for layer in memory.cache.layers if layer.is_initialized]
    wanted = adapter.layer_devices
    if all(_place(a) == _place(b) for a, b in zip(held, wanted, strict=False)):
        return
    raise UsageError(
        f"This memory is on {_listed(held)}, the model's layers are on {_listed(wanted)}.",
        hint="retake.load_memory(path, model.adapter.layer_devices) loads it to where they are.",
    )


def _place(device: torch.device) -> tuple[str, int]:
    """A device, whether or not its number was said."""
    return device.type, device.index or 0


def _listed(devices: Iterable[torch.device]) -> str:
    return ", ".join(dict.fromkeys(map(str, devices)))


def _engine(parts: Parts, memory: VideoMemory) -> Engine:
    """An engine that places text as the memory was made, not as this model would make one."""
    rules = memory.config["prefill"]
    policy = position_policy(
        rules["positions"],
        published=rules["reference"],
        dropped=memory.compression.steps_dropped,
    )
    return Engine(parts.adapter, parts.compressor, policy, parts.backend)


def _several(settings: GenerationConfig) -> bool:
    """Whether more than one sequence is decoded."""
    return (settings.num_beams or 1) > 1 or (settings.num_return_sequences or 1) > 1
