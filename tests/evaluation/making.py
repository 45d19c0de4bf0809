"""Runs made up for tests: no model is needed for what a folder does."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import attrs

import retake
from retake.core.config import unstructure
from retake.core.memory import Compression, Frames, Source, StageCost
from retake.evaluation.folder import RunFolder
from retake.evaluation.matching import digest, groups_digest
from retake.evaluation.records import BenchmarkRecord, RunHeader, SampleRecord


def samples(videos: int = 2, questions: int = 3) -> list[retake.Sample]:
    """So many questions about each of so many videos."""
    return [
        retake.Sample(
            id=f"v{video}-q{question}",
            video=Path(f"v{video}.mp4"),
            question=f"Question {question}?",
            answer="yes",
            kind=("needle", "order")[question % 2],
            options=("yes", "no"),
            groups={"seconds": 64.0, "seed": video, "length": "short"},
            chance=0.5,
        )
        for video in range(videos)
        for question in range(questions)
    ]


def header(asked: list[retake.Sample] | None = None, **changes: Any) -> RunHeader:
    """What a run of those samples says of itself."""
    asked = samples() if asked is None else asked
    made = RunHeader(
        name="made-up",
        benchmark=BenchmarkRecord("quiz", {"seconds": [16, 32], "seed": 0}),
        config=unstructure(retake.RunConfig()),
        versions={"torch": "1"},
        device="cpu",
        fingerprint="f" * 16,
        samples_total=len(asked),
        samples_sha256=digest(asked),
        command=("retake", "eval", "quiz"),
        created="2026-01-01T00:00:00+00:00",
        code={"./mine.py": "1" * 64},
        groups_sha256=groups_digest(asked),
    )
    return attrs.evolve(made, **changes)


def memory(sha256: str = "a" * 64) -> Any:
    """What a folder notes of a watched video."""
    return SimpleNamespace(
        frames=Frames((0, 2), (0.0, 0.5), (56, 56), 2.0, 2.0, None, ((1, 0.25, "broken"),), ("n",)),
        source=Source("v.mp4", 100, sha256),
        compression=Compression(
            steps=1,
            steps_dropped=0,
            tokens_per_step=4,
            tokens_seen=4,
            tokens_selected=4,
            tokens_kept=(2, 2),
            pivots=1,
            pivots_kept=(1, 1),
            text_tokens=10,
            reserved=5,
            budget=None,
            keep_ratio=0.5,
            kv_bytes_full=100,
            kv_bytes=50,
            kv_bytes_reserved=80,
        ),
        costs=(StageCost("decode", 1.0, 5, None, 0.5), StageCost("prefill", 2.0)),
    )


def answered(sample: retake.Sample, watch: int = 1, score: float = 1.0) -> SampleRecord:
    """A sample with an answer."""
    return SampleRecord(
        id=sample.id,
        watch=watch,
        video=str(sample.video),
        kind=sample.kind,
        groups=dict(sample.groups),
        question=sample.question,
        options=sample.options,
        expected=sample.answer,
        answer="yes – ✓ \ud83d",
        score=score,
        chance=sample.chance,
        cache_tokens=(12, 13),
        achieved_ratio=0.5,
        kv_bytes=50,
        kv_bytes_full=100,
        seconds={"decode": 1.0, "answer": 0.25},
        first_token_seconds=0.1,
        token_seconds=None,
        over_budget=0,
    )


def begun(folder: Path) -> Path:
    """A run of six samples, of which four are answered."""
    first, second = samples()[:3], samples()[3:]
    with RunFolder(folder, header()) as made:
        watch = made.add_video(first[0].video, None, memory())
        for sample in first:
            made.add_sample(answered(sample, watch))
        watch = made.add_video(second[0].video, second[0].question, memory("b" * 64))
        made.add_sample(answered(second[0], watch, 0.0))
    return folder
