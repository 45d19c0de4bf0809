"""What `run`, `watch` and `ask` have in common: configure, look at the video, load, answer.

Importing this module imports torch.
"""

import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs

from retake import api
from retake.core.config import RunConfig
from retake.core.errors import UsageError
from retake.core.memory import Answer, StageCost, VideoMemory
from retake.loading import make_compressor, make_selector
from retake.video import open_video
from retake.video_model import VideoModel

from . import configuration
from .console import Told, quiet_models, stdout
from .options import flags_given
from .questions import Asked
from .report import question_line


def configure(given: dict[str, Any], defaults: Mapping[str, Any] | None = None) -> RunConfig:
    """The configuration that a command's options ask for, over defaults of its own."""
    parts = {kind: (given[kind], given[f"{kind}_option"]) for kind in ("selector", "compressor")}
    return configuration.resolve(
        preset=given["preset"],
        files=given["config_files"],
        flags=flags_given(given),
        parts=parts,
        settings=[*generate_settings(given), *given["settings"]],
        defaults=defaults,
    )


def generate_settings(given: dict[str, Any]) -> list[str]:
    """What `--generate-option` set, as `--set` takes it."""
    return [f"generate.extra.{pair}" for pair in given.get("generate_option", ())]


def from_anywhere(config: RunConfig) -> RunConfig:
    """The model's folder by its whole path: what is kept may be used from another folder."""
    if config.model.path is None:
        return config
    folder = Path(config.model.path).expanduser()
    if not folder.exists():
        return config
    return attrs.evolve(config, model=attrs.evolve(config.model, path=str(folder.resolve())))


def check_video(path: Path, config: RunConfig) -> None:
    """Refuse what cannot be watched before a model of many gigabytes is loaded."""
    rules = config.video
    open_video(
        path,
        reader=rules.reader,
        folder_fps=rules.folder_fps,
        on_bad_frame=rules.on_bad_frame,
    ).close()


def load(config: RunConfig, told: Told) -> tuple[VideoModel, StageCost]:
    """The model, and what loading it cost."""
    quiet_models()
    told("load", 0, 0)
    start = time.perf_counter()
    model = api.from_config(config)
    told("load", 1, 1)
    spent = time.perf_counter() - start
    return model, StageCost("load", spent, model.backend.peak_memory())


def watch_each(model: VideoModel, video: Path, asked: list[Asked], told: Told) -> list[VideoMemory]:
    """The video watched anew for each question, decoded and encoded once."""
    encoded = model.encode(video, progress=told)
    return [model.watch(encoded, questions=[each.text], progress=told) for each in asked]


def check_kept(config: RunConfig) -> None:
    """Refuse to make a memory that no file holds, before anything is watched.

    Raises:
        UsageError: selector or compressor look at the question, or heads keep different pairs.
    """
    for kind, make in (("selector", make_selector), ("compressor", make_compressor)):
        options = getattr(config, kind)
        part: Any = make(options)[0]
        if getattr(part, "per_head", False):
            raise UsageError(
                f"With the compressor '{options.name}' heads keep different pairs, and no file "
                "holds such a memory.",
                hint="`retake run` asks in the same process; or choose another compressor.",
            )
        if part.needs_question:
            raise UsageError(
                f"The {kind} '{options.name}' looks for what is asked about, so there is nothing "
                "to watch once and ask often.",
                hint=f"`retake run` watches for each question; or choose another {kind}.",
            )


def answer(
    model: VideoModel, memory: VideoMemory, asked: list[Asked], told: Told, *, batch: int = 1
) -> Iterator[tuple[Asked, Answer]]:
    """Every question's answer, so many of them at a time."""
    for first in range(0, len(asked), batch):
        told("answer", first, len(asked))
        some = asked[first : first + batch]
        yield from zip(some, model.ask_many([each.text for each in some], memory), strict=True)


def stream(
    model: VideoModel, memory: VideoMemory, asked: list[Asked]
) -> Iterator[tuple[Asked, Answer]]:
    """Every question's answer, its tokens printed as they come."""
    for each in asked:
        stdout().print(question_line(each))
        yield each, stream_one(model, memory, each.text)
        stdout().print()


def stream_one(model: VideoModel, memory: VideoMemory, question: str) -> Answer:
    """An answer whose tokens are printed as they come."""
    from transformers import TextStreamer

    streamer = TextStreamer(model.adapter.tokenizer, skip_prompt=True, skip_special_tokens=True)
    return model.ask(question, memory, streamer=streamer)
