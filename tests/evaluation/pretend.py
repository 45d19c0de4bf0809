"""Folders of runs and sweeps with made-up answers, in the format that `retake eval` writes."""

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs

import retake
from retake.core.config import unstructure
from retake.core.memory import Compression, StageCost
from retake.evaluation.records import BenchmarkRecord, RunHeader, SampleRecord, VideoRecord
from retake.evaluation.sweep_folder import SweepHeader

LENGTHS = (64.0, 128.0, 256.0)
DEPTHS = (0.1, 0.5, 0.9)
KINDS = ("needle_colour", "needle_order", "count")
_STEP = 4  # tokens, and a step is a second
_PAIR = 512  # bytes, all layers


@attrs.frozen
class Method:
    """How a pretended method does: how much accuracy it loses by keeping nothing at all."""

    selector: str
    compressor: str
    loss: float = 0.0

    @property
    def name(self) -> str:
        return f"{self.selector}+{self.compressor}"


FULL = Method("none", "none")
BENCHMARK = BenchmarkRecord("scenes", {"seconds": list(LENGTHS), "seeds": [0, 1]})


def write_run(
    folder: Path,
    method: Method,
    ratio: float = 1.0,
    *,
    lengths: Sequence[float] = LENGTHS,
    seeds: int = 2,
    answered: int | None = None,
    config: dict[str, Any] | None = None,
    name: str | None = None,
    notes: tuple[str, ...] = (),
) -> Path:
    """A run's folder; `answered`: only so many questions are, and the rest is still to come."""
    asked = [
        (f"{seed}-{length:g}-{depth:g}", length, depth, seed)
        for length in lengths
        for depth in DEPTHS
        for seed in range(seeds)
    ]
    videos = [_video(at, each, ratio, notes) for at, each in enumerate(asked, start=1)]
    samples = [
        _sample(at, each, kind, method, ratio)
        for at, each in enumerate(asked, start=1)
        for kind in KINDS
    ]
    header = _header(name or folder.name, method, ratio, len(samples), config or {})
    folder.mkdir(parents=True)
    shown = samples[: len(samples) if answered is None else answered]
    (folder / "run.json").write_text(json.dumps(attrs.asdict(header)))
    _lines(folder / "videos.jsonl", videos[: shown[-1].watch if shown else 0])
    _lines(folder / "samples.jsonl", shown)
    return folder


def write_sweep(
    folder: Path, methods: Sequence[Method], shares: Sequence[float], **given: Any
) -> Path:
    """A sweep of every method at every share, and of the full cache, which no share touches."""
    cells = [
        (f"{method.name}-keep-{share:g}", f"{method.name}-keep-{share:g}", method, share)
        for method in methods
        for share in shares
    ]
    cells = [(f"full-keep-{share:g}", "full", FULL, share) for share in shares] + cells
    for _, run, method, share in cells:
        place = folder / "cells" / run
        if not place.exists():
            write_run(place, method, 1.0 if method is FULL else share, **given)
    listed = [
        {
            "name": name,
            "method": "full" if method is FULL else method.name,
            "folder": f"cells/{run}",
            "selector": method.selector,
            "compressor": method.compressor,
            "keep_ratio": share,
            "positions": "reforge",
            "config": {},
        }
        for name, run, method, share in cells
    ]
    header = SweepHeader(
        name=folder.name,
        benchmark=BENCHMARK,
        grid={},
        config={},
        cells=tuple(listed),
        samples_total=54,
        samples_sha256="0" * 64,
        versions={},
        command=("retake", "sweep", "scenes"),
        created="2026-11-25T08:00:00+00:00",
    )
    (folder / "sweep.json").write_text(json.dumps(attrs.asdict(header)))
    return folder


def _lines(path: Path, records: Sequence[Any]) -> None:
    path.write_text("".join(json.dumps(attrs.asdict(each)) + "\n" for each in records))


def _header(
    name: str, method: Method, ratio: float, total: int, config: dict[str, Any]
) -> RunHeader:
    evicts = method.compressor != "none"
    return RunHeader(
        name=name,
        benchmark=BENCHMARK,
        config={
            **unstructure(retake.RunConfig()),
            "selector": {"name": method.selector, "options": {}},
            "compressor": {"name": method.compressor, "options": {}},
            "prefill": {"keep_ratio": ratio if evicts else None, "positions": "reforge"},
            **config,
        },
        versions={"python": "3.11.4", "retake": "0.1.0", "torch": "2.13.0"},
        device="cpu (2 threads)",
        fingerprint="f" * 16,
        samples_total=total,
        samples_sha256="0" * 64,
        command=("retake", "eval", "scenes"),
        created="2026-11-25T08:00:00+00:00",
    )


def _sample(
    watch: int, asked: tuple[str, float, float, int], kind: str, method: Method, ratio: float
) -> SampleRecord:
    video, length, depth, seed = asked
    draw = random.Random(f"{video}{kind}{method.selector}{method.compressor}{ratio}")
    right = draw.random() < max(0.25, 0.97 - method.loss * (1 - ratio) * (length / 64) ** 0.5)
    tokens = int(length * _STEP)
    return SampleRecord(
        id=f"{video}-{kind}",
        watch=watch,
        video=f"{video}.mp4",
        kind=kind,
        groups={"seconds": length, "depth": depth, "seed": seed},
        question="What colour is the flashed circle?",
        options=("red", "blue", "green", "white"),
        expected="red",
        answer="red" if right else "blue",
        score=float(right),
        chance=0.25,
        cache_tokens=(int(tokens * ratio) + 40,) * 4,
        achieved_ratio=ratio,
        kv_bytes=int((tokens * ratio + 20) * _PAIR),
        kv_bytes_full=(tokens + 20) * _PAIR,
        seconds={
            "decode": 0.002 * length,
            "encode": 0.004 * length,
            "select": 0.0001 * length,
            "prefill": 0.003 * length * (1 + ratio),
            "answer": 0.03 + 0.0001 * length * ratio,
        },
        first_token_seconds=0.012,
        token_seconds=0.005,
        over_budget=0,
    )


def _video(
    watch: int, asked: tuple[str, float, float, int], ratio: float, notes: tuple[str, ...]
) -> VideoRecord:
    video, length, _, _ = asked
    tokens = int(length * _STEP)
    kept = max(1, int(tokens * ratio))
    return VideoRecord(
        watch=watch,
        video=f"{video}.mp4",
        question=None,
        frames=None,
        source=None,
        compression=Compression(
            steps=int(length),
            steps_dropped=0,
            tokens_per_step=_STEP,
            tokens_seen=tokens,
            tokens_selected=tokens,
            tokens_kept=(kept,) * 4,
            pivots=kept // 2,
            pivots_kept=(kept // 2,) * 4,
            text_tokens=20,
            reserved=20,
            budget=None,
            keep_ratio=ratio,
            kv_bytes_full=(tokens + 20) * _PAIR,
            kv_bytes=(kept + 20) * _PAIR,
            kv_bytes_reserved=(tokens + 100) * _PAIR,
            notes=notes,
        ),
        costs=(StageCost("prefill", 0.4, 1_000_000),),
    )
