"""What a command came to, and that as one JSON document."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import attrs

from retake.core.config import RunConfig, unstructure
from retake.core.memory import Answer, Frames, StageCost, VideoMemory
from retake.core.provenance import command_line, versions

from .questions import Asked

if TYPE_CHECKING:
    from retake.video_model import VideoModel

Command = Literal["run", "watch", "ask"]
#: By command. One changes where a key changes its meaning or goes; new keys may come without.
FORMATS: dict[Command, str] = {
    "run": "retake.run/1",
    "watch": "retake.watch/1",
    "ask": "retake.ask/1",
}


@attrs.frozen(eq=False)
class Outcome:
    """What `run`, `watch` or `ask` came to.

    Attributes:
        command: which of them.
        model: that watched, or was asked.
        asked: the configuration before anything automatic was decided.
        config: the configuration that the answers rest on, watching and asking.
        memory: the watched video; where it was watched anew for each question, for the first.
        video: what was watched, as it was asked for.
        spent: what this command cost besides answering.
        answers: each question with its answer.
        file: the memory's file; None where there is none.
    """

    command: Command
    model: "VideoModel"
    asked: RunConfig
    config: RunConfig
    memory: VideoMemory
    video: str
    spent: tuple[StageCost, ...]
    answers: tuple[tuple[Asked, Answer], ...] = ()
    file: Path | None = None

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
    def watched_anew(self) -> bool:
        """Whether the video was watched for each question; `memory` is then that of the first."""
        return any(answer.memory is not self.memory for _, answer in self.answers)

    @property
    def costs(self) -> tuple[StageCost, ...]:
        """Every stage once, the answers added up."""
        if not self.answers:
            return self.spent
        spent = [answer.cost for _, answer in self.answers if answer.cost is not None]
        peaks = [cost.peak_bytes for cost in spent if cost.peak_bytes is not None]
        answering = StageCost(
            "answer", sum(cost.seconds for cost in spent), max(peaks, default=None)
        )
        return (*self.spent, answering)

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
    """All of it as plain data."""
    memory, model, config = outcome.memory, outcome.model, outcome.config
    answers = [
        _answer(asked, answer, anew=outcome.watched_anew) for asked, answer in outcome.answers
    ]
    return {
        "format": FORMATS[outcome.command],
        **({} if outcome.command == "watch" else {"answers": answers}),
        **({} if outcome.file is None else {"memory": _file(outcome.file, memory)}),
        "video": attrs.asdict(memory.video) if memory.video is not None else None,
        "source": attrs.asdict(memory.source) if memory.source is not None else None,
        "frames": _frames(memory.frames) if memory.frames is not None else None,
        "compression": _compression(memory),
        "costs": [attrs.asdict(cost) for cost in outcome.costs],
        "model": {
            "path": model.adapter.folder,
            "embedded": outcome.embedded,
            "fingerprint": model.adapter.fingerprint,
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


def _file(file: Path, memory: VideoMemory) -> dict[str, Any]:
    """A memory's file, and how it came to be."""
    return {
        "path": str(file),
        "bytes": file.stat().st_size,
        "tokens": memory.cache.lengths(),
        "device": memory.config["device"],
        "versions": memory.config["versions"],
        "costs": [attrs.asdict(cost) for cost in memory.costs],
    }


def _compression(memory: VideoMemory) -> dict[str, Any]:
    return {
        **attrs.asdict(memory.compression),
        "achieved_ratio": memory.compression.achieved_ratio,
    }


def _answer(asked: Asked, answer: Answer, *, anew: bool) -> dict[str, Any]:
    return {
        **({"compression": _compression(answer.memory)} if anew else {}),
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
