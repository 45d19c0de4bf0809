"""A small memory made by hand, for tests of the file that holds one."""

from typing import Any

import numpy as np
import torch

from retake.core.arena import ArenaCache
from retake.core.config import ModelOptions, RunConfig, unstructure
from retake.core.frames import VideoInfo
from retake.core.memory import Compression, Frames, Source, StageCost, VideoMemory

KEPT = ((0, 2, 3), (1, 5), ())  # token numbers in each of three layers
TEXT = 2


def small_memory(dtype: torch.dtype = torch.float32, **config: Any) -> VideoMemory:
    """A memory of three layers that hold different numbers of pairs, with room to spare."""
    generator = torch.Generator().manual_seed(0)
    cache = ArenaCache.allocate(len(KEPT), room=9, axes=3)
    for layer, kept in zip(cache.layers, KEPT, strict=True):
        count = TEXT + len(kept)
        layer.expect(torch.arange(3 * count).reshape(3, count))
        keys, values = torch.randn(2, 1, 2, count, 4, generator=generator).to(dtype)
        layer.update(keys, values)
    compression = Compression(
        steps=4,
        steps_dropped=1,
        tokens_per_step=2,
        tokens_seen=8,
        tokens_selected=6,
        tokens_kept=tuple(map(len, KEPT)),
        pivots=2,
        pivots_kept=(2, 1, 0),
        text_tokens=TEXT,
        reserved=4,
        budget=None,
        keep_ratio=0.5,
        kv_bytes_full=1000,
        kv_bytes=cache.nbytes(),
        kv_bytes_reserved=cache.reserved_bytes(),
    )
    name = str(dtype).removeprefix("torch.")
    options = unstructure(RunConfig(model=ModelOptions(dtype=name)))  # type: ignore[arg-type]
    return VideoMemory(
        cache=cache,
        next_position=17,
        kept=tuple(np.array(kept, dtype=np.int64) for kept in KEPT),
        compression=compression,
        frames=Frames(
            indices=(0, 3, 6),
            timestamps=(0.0, 0.1, 1 / 3),
            size=(28, 56),
            asked_fps=2.0,
            achieved_fps=1.99,
            capped_by="max_frames",
            unreadable=((4, 0.2, "damaged"),),
            notes=("a note",),
        ),
        video=VideoInfo("fílm \udce9.mp4", 640, 480, 100, 29.97, 3.3, codec="h264"),
        costs=(StageCost("open", 0.5), StageCost("prefill", 1e-9, 2**40)),
        config={
            **options,
            "fingerprint": "0123456789abcdef",
            "device": "cpu",
            "versions": {"torch": "2"},
            **config,
        },
        source=Source("film.mp4", 123, "ab" * 32),
    )
