"""Runs made by hand: records that a run's folder could hold, and folders that hold them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs

from retake.core.memory import Compression, Source, StageCost
from retake.evaluation.records import (
    BenchmarkRecord,
    RunHeader,
    RunRecords,
    SampleRecord,
    VideoRecord,
)

KINDS = ("needle", "count")


def sample(number: int, score: float, **changes: Any) -> SampleRecord:
    """Question `number`: two a video, of two kinds, at two lengths."""
    fields: dict[str, Any] = {
        "id": f"q{number:03}",
        "watch": number // 2 + 1,
        "video": f"v{number // 2}.mp4",
        "kind": KINDS[number % 2],
        "groups": {"seconds": 64.0 if number % 4 < 2 else 128.0},
        "question": f"Which, {number}?",
        "options": ("red", "blue"),
        "expected": "red",
        "answer": "red" if score else "blue",
        "score": score,
        "chance": 0.5,
        "cache_tokens": (60, 60),
        "achieved_ratio": 0.5,
        "kv_bytes": 5000,
        "kv_bytes_full": 10000,
        "seconds": {"decode": 0.1, "encode": 0.2, "select": 0.0, "prefill": 0.4, "answer": 0.05},
        "first_token_seconds": 0.04,
        "token_seconds": 0.01,
        "over_budget": 0,
    }
    return SampleRecord(**{**fields, **changes})


def run(
    name: str,
    right: Callable[[int], float],
    *,
    count: int = 80,
    answered: Callable[[int], bool] = lambda number: True,
    changes: dict[str, Any] | None = None,
    header: dict[str, Any] | None = None,
    content: Callable[[int], str] = lambda video: f"{video:064}",
) -> RunRecords:
    """A run of `count` questions: those `answered`, with the score that `right` says."""
    about = RunHeader(
        **{
            "name": name,
            "benchmark": BenchmarkRecord("scenes", {"lengths": [64, 128], "seed": 0}),
            "config": {"compressor": {"name": name, "options": {}}, "seed": 0},
            "versions": {"retake": "0"},
            "device": "cpu",
            "fingerprint": "0" * 64,
            "samples_total": count,
            "samples_sha256": "1" * 64,
            "command": ("retake", "eval"),
            "created": "2026-01-01T00:00:00+00:00",
            **(header or {}),
        }
    )
    numbers = [number for number in range(count) if answered(number)]
    return RunRecords(
        folder=Path("runs") / name,
        header=about,
        videos=tuple(_video(number, content(number)) for number in range((count + 1) // 2)),
        samples=tuple(sample(number, right(number), **(changes or {})) for number in numbers),
    )


def write(records: RunRecords, folder: Path) -> Path:
    """A run's folder as `retake eval` would have left it."""
    folder.mkdir(parents=True)
    (folder / "run.json").write_text(json.dumps(attrs.asdict(records.header)))
    for name, lines in (("videos.jsonl", records.videos), ("samples.jsonl", records.samples)):
        text = "".join(json.dumps(attrs.asdict(line)) + "\n" for line in lines)
        (folder / name).write_text(text)
    return folder


def _video(number: int, content: str) -> VideoRecord:
    compression = Compression(
        steps=8,
        steps_dropped=0,
        tokens_per_step=4,
        tokens_seen=32,
        tokens_selected=32,
        tokens_kept=(16, 16),
        pivots=4,
        pivots_kept=(4, 4),
        text_tokens=10,
        reserved=34,
        budget=None,
        keep_ratio=0.5,
        kv_bytes_full=10000,
        kv_bytes=5000,
        kv_bytes_reserved=6000,
    )
    return VideoRecord(
        watch=number + 1,
        video=f"v{number}.mp4",
        question=None,
        frames=None,
        source=Source(f"v{number}.mp4", 100, content),
        compression=compression,
        costs=(StageCost("prefill", 0.4, 1000 + number),),
    )
