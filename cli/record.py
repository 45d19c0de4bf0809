"""A run as one JSON document."""

from typing import Any

import attrs

from retake.core.config import RunConfig, unstructure
from retake.core.memory import Answer, Frames, StageCost, VideoMemory
from retake.core.provenance import command_line, versions
from retake.video_model import VideoModel

from .questions import Asked

#: Changes where a key changes its meaning or goes; new keys may come without a change.
FORMAT = "retake.run/1"


@attrs.frozen(eq=False)
class Outcome:
    """What a run came to.

    Attributes:
        model: with the configuration as resolved.
        asked: the configuration before anything automatic was decided.
        memory: the watched video.
        answers: each question with its answer.
        load_cost: of loading the model.
        video: what was watched, as it was asked for.
    """

    model: VideoModel
    asked: RunConfig
    memory: VideoMemory
    answers: tuple[tuple[Asked, Answer], ...]
    load_cost: StageCost
    video: str

    @property
    def embedded(self) -> bool:
        """Whether it is the model that ships with retake."""
        return self.asked.model.path is None

    @property
    def auto(self) -> list[str]:
        """The options that were left to be decided: what they came to is in the configuration."""
        model, video = self.asked.model, self.asked.video
        choices = {
            "adapter": model.adapter,
            "backend": model.backend,
            "dtype": model.dtype,
            "reader": video.reader,
        }
        return [name for name, value in choices.items() if value == "auto"]

    @property
    def costs(self) -> tuple[StageCost, ...]:
        """Every stage once, the answers added up."""
        spent = [answer.cost for _, answer in self.answers if answer.cost is not None]
        peaks = [cost.peak_bytes for cost in spent if cost.peak_bytes is not None]
        answering = StageCost(
            "answer", sum(cost.seconds for cost in spent), max(peaks, default=None)
        )
        return (self.load_cost, *self.memory.costs, answering)

    @property
    def warnings(self) -> list[str]:
        """What the user should know before trusting the answers."""
        found = []
        frames = self.memory.frames
        if frames is not None and frames.unreadable:
            asked = len(frames.indices) + len(frames.unreadable)
            found.append(
                f"{len(frames.unreadable)} of {asked} sampled frames could not be decoded and "
                "were left out."
            )
        over = [answer.over_budget for _, answer in self.answers if answer.over_budget]
        if over:
            found.append(
                f"The cache exceeds the budget of {self.memory.compression.budget} by up to "
                f"{max(over)} tokens once the question is in; reserve more with --reserve."
            )
        return found


def document(outcome: Outcome) -> dict[str, Any]:
    """The whole run as plain data."""
    memory, model = outcome.memory, outcome.model
    config = model.config
    return {
        "format": FORMAT,
        "answers": [_answer(asked, answer) for asked, answer in outcome.answers],
        "video": attrs.asdict(memory.video) if memory.video is not None else None,
        "frames": _frames(memory.frames) if memory.frames is not None else None,
        "compression": {
            **attrs.asdict(memory.compression),
            "achieved_ratio": memory.compression.achieved_ratio,
        },
        "costs": [attrs.asdict(cost) for cost in outcome.costs],
        "model": {
            "path": model.adapter.folder,
            "embedded": outcome.embedded,
            "adapter": config.model.adapter,
            "backend": config.model.backend,
            "device": model.backend.describe(),
            "dtype": config.model.dtype,
            "attention": config.model.attention,
        },
        "config": unstructure(config),
        "auto": outcome.auto,
        "seed": config.seed,
        "versions": versions(),
        "command": command_line(),
        "warnings": outcome.warnings,
    }


def _answer(asked: Asked, answer: Answer) -> dict[str, Any]:
    return {
        "question": answer.question,
        "answer": answer.text,
        "expected": asked.expected,
        "correct": asked.correct(answer.text),
        "alternatives": answer.alternatives,
        "token_ids": answer.token_ids,
        "prompt_tokens": answer.prompt_tokens,
        "cache_tokens": answer.cache_tokens,
        "over_budget": answer.over_budget,
        "first_token_seconds": answer.first_token_seconds,
        "token_seconds": answer.token_seconds,
        "cost": attrs.asdict(answer.cost) if answer.cost is not None else None,
    }


def _frames(frames: Frames) -> dict[str, Any]:
    return {
        "count": len(frames.indices),
        "indices": frames.indices,
        "timestamps": frames.timestamps,
        "height": frames.size[0],
        "width": frames.size[1],
        "asked_fps": frames.asked_fps,
        "achieved_fps": frames.achieved_fps,
        "capped_by": frames.capped_by,
        "unreadable": [
            {"index": index, "timestamp": time, "reason": reason}
            for index, time, reason in frames.unreadable
        ],
        "notes": frames.notes,
    }
