"""retake: long videos for video-language models.

Select frames, compress the KV cache, ask questions:

    import retake

    model = retake.load(selector="dpselect", compressor="pivotkv", keep_ratio=0.25)
    memory = model.watch("video.mp4")
    print(model.ask("What happens?", memory))
"""

import importlib
from typing import TYPE_CHECKING, Any

from retake.backends import backends
from retake.compressors import compressors
from retake.datasets import datasets
from retake.models import models
from retake.selectors import selectors

if TYPE_CHECKING:
    from retake.api import attach, from_config, load
    from retake.core.adapter import ModelAdapter
    from retake.core.backend import Backend
    from retake.core.benchmark import Benchmark, Sample
    from retake.core.compressor import KVCompressor
    from retake.core.config import (
        GenerateOptions,
        ModelOptions,
        PartOptions,
        PrefillOptions,
        RunConfig,
        VideoOptions,
    )
    from retake.core.errors import MemoryFileError, ModelError, RetakeError, UsageError, VideoError
    from retake.core.frames import FrameBatch
    from retake.core.kv import KVChunk
    from retake.core.memory import Answer, VideoMemory
    from retake.core.memory_file import load_memory
    from retake.core.scorer import FrameTextScorer
    from retake.core.selector import FrameSelector, QuestionSelector
    from retake.core.tokens import Selection, VisualTokens
    from retake.core.wrapper import Wrapper
    from retake.video_model import VideoModel

__version__ = "0.1.0"

__all__ = [
    "Answer",
    "Backend",
    "Benchmark",
    "FrameBatch",
    "FrameSelector",
    "FrameTextScorer",
    "GenerateOptions",
    "KVChunk",
    "KVCompressor",
    "MemoryFileError",
    "ModelAdapter",
    "ModelError",
    "ModelOptions",
    "PartOptions",
    "PrefillOptions",
    "QuestionSelector",
    "RetakeError",
    "RunConfig",
    "Sample",
    "Selection",
    "UsageError",
    "VideoError",
    "VideoMemory",
    "VideoModel",
    "VideoOptions",
    "VisualTokens",
    "Wrapper",
    "attach",
    "backends",
    "compressors",
    "datasets",
    "from_config",
    "load",
    "load_memory",
    "models",
    "selectors",
]

# Imported when first used: most of it takes torch and transformers, which take seconds to import.
# The registries above are not, as the rooms that they are named after would stand in for them.
_MODULES = {
    "Answer": "retake.core.memory",
    "Backend": "retake.core.backend",
    "Benchmark": "retake.core.benchmark",
    "FrameBatch": "retake.core.frames",
    "FrameSelector": "retake.core.selector",
    "FrameTextScorer": "retake.core.scorer",
    "GenerateOptions": "retake.core.config",
    "KVChunk": "retake.core.kv",
    "KVCompressor": "retake.core.compressor",
    "MemoryFileError": "retake.core.errors",
    "ModelAdapter": "retake.core.adapter",
    "ModelError": "retake.core.errors",
    "ModelOptions": "retake.core.config",
    "PartOptions": "retake.core.config",
    "PrefillOptions": "retake.core.config",
    "QuestionSelector": "retake.core.selector",
    "RetakeError": "retake.core.errors",
    "RunConfig": "retake.core.config",
    "Sample": "retake.core.benchmark",
    "Selection": "retake.core.tokens",
    "UsageError": "retake.core.errors",
    "VideoError": "retake.core.errors",
    "VideoMemory": "retake.core.memory",
    "VideoModel": "retake.video_model",
    "VideoOptions": "retake.core.config",
    "VisualTokens": "retake.core.tokens",
    "Wrapper": "retake.core.wrapper",
    "attach": "retake.api",
    "from_config": "retake.api",
    "load": "retake.api",
    "load_memory": "retake.core.memory_file",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(_MODULES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
