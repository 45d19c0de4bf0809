"""A model that costs nothing, alone and as a worker: what is left is the harness's own cost.

Its passes and answers are as large as real ones: 768 frames with their times, an answer of a few
words. Run by `benchmarks.evaluation_overhead`.
"""

import os
import platform
import sys
from collections.abc import Mapping, Sequence, Set
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import attrs

import retake
from retake.core.config import unstructure
from retake.core.memory import Answer, Compression, Frames, Source, StageCost
from retake.core.plain import plain
from retake.core.provenance import versions
from retake.evaluation.running import Run
from retake.evaluation.scale import worker
from retake.evaluation.scale.messages import About
from retake.evaluation.scale.working import FarFolder

FRAMES, LAYERS, QUESTIONS = 768, 28, 4
FINGERPRINT = "5" * 16


@attrs.frozen
class Quiz(retake.Benchmark):
    """So many made-up questions, four about each video.

    Attributes:
        count: of all questions.
    """

    count: int = 10_000

    def samples(self) -> Sequence[retake.Sample]:
        return [
            retake.Sample(
                id=f"{number // QUESTIONS:05d}-{number % QUESTIONS}",
                video=Path(f"/data/videos/{number // QUESTIONS:05d}.mp4"),
                question="Which of these happens first in the video? " + "A. … B. … C. … D. … " * 4,
                answer="ABCD"[number % 4],
                kind="order",
                options=("one", "two", "three", "four"),
                groups={"duration": "long", "domain": "Sports", "seconds": 1800.0},
                chance=0.25,
                seconds=1800.0,
            )
            for number in range(self.count)
        ]

    def mark(self, sample: retake.Sample, answer: str) -> float:
        return float(answer[:1] == sample.answer)


class Model:
    """Watches and answers at once, without looking."""

    needs_question = False

    def watch(self, video: Any, *, questions: Sequence[str], progress: Any = None) -> Any:
        if progress is not None:
            progress("watch", FRAMES, FRAMES)
        return SimpleNamespace(
            frames=Frames(
                tuple(range(0, FRAMES * 60, 60)),
                tuple(number * 2.345 for number in range(FRAMES)),
                (448, 252),
                0.5,
                0.5,
            ),
            source=Source(str(video), 100_000_000, f"{hash(str(video)):064x}"[-64:]),
            compression=Compression(
                steps=FRAMES // 2,
                steps_dropped=0,
                tokens_per_step=144,
                tokens_seen=FRAMES * 72,
                tokens_selected=FRAMES * 72,
                tokens_kept=(16_000,) * LAYERS,
                pivots=5000,
                pivots_kept=(5000,) * LAYERS,
                text_tokens=20,
                reserved=200,
                budget=16_000,
                keep_ratio=None,
                kv_bytes_full=3_000_000_000,
                kv_bytes=900_000_000,
                kv_bytes_reserved=1_000_000_000,
            ),
            costs=tuple(
                StageCost(name, 1.234567, 20_000_000_000, 3_000_000_000)
                for name in ("open", "decode", "encode", "select", "prefill")
            ),
        )

    def ask_many(self, questions: Sequence[str], memory: Any, *, batch: int) -> list[Answer]:
        return [
            Answer(
                text="A. The first of them.",
                question=question,
                token_ids=(1, 2, 3),
                prompt_tokens=200,
                cache_tokens=(16_200,) * LAYERS,
                first_token_seconds=0.123456,
                token_seconds=0.034567,
                over_budget=0,
                memory=memory,
                cost=StageCost("answer", 0.456789),
            )
            for question in questions
        ]


class Working:
    """The same as a worker has it."""

    def __init__(self, message: Mapping[str, Any], sender: Any) -> None:
        task = message["task"]
        self._task = SimpleNamespace(batch=task["batch"], watch_each=task["watch_each"])
        self._sender = sender
        self._quiz = Quiz(**task["benchmark"]["options"])
        self._config = task["config"]

    def about(self) -> dict[str, Any]:
        return attrs.asdict(
            About(
                host=platform.node(),
                pid=os.getpid(),
                device="stub",
                threads=1,
                config=self._config,
                fingerprint=FINGERPRINT,
                versions=versions(),
                code={},
            )
        )

    def answer(self, samples: Sequence[retake.Sample], answered: Set[str]) -> None:
        keeping = FarFolder(self._sender, self._task, set(answered))  # type: ignore[arg-type]
        model: Any = Model()
        Run(keeping, self._quiz).answer(model, samples[0].video, samples, self._sender.progress)


def config() -> dict[str, Any]:
    """The configuration that all of them have."""
    found: dict[str, Any] = plain(unstructure(retake.RunConfig()))
    return found


if __name__ == "__main__":
    worker.leave(worker.main(sys.argv[1:], Working))
