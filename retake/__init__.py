"""retake: long videos for video-language models.

Select frames, compress the KV cache, ask questions:

    import retake

    model = retake.load(selector="dpselect", compressor="pivotkv", keep_ratio=0.25)
    memory = model.watch("video.mp4")
    print(model.ask("What happens?", memory))
"""

from retake.api import attach, from_config, load
from retake.backends import backends
from retake.compressors import compressors
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
from retake.datasets import datasets
from retake.models import models
from retake.selectors import selectors
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
