"""One contestant, one job, one fresh process: prints a line of JSON.

`python -m benchmarks.contestants retake|stock|naive JOB`, where JOB is a `Job` as JSON. The
model is loaded before the clock starts, so `ttft` goes from a video's path to the first token.
What the others are is said in `benchmarks/stock.py` and `benchmarks/naive_engine.py`.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from attrs import asdict, frozen

import retake
from benchmarks import harness, naive_engine, stock
from benchmarks.forking import Forked
from retake.video import open_video, plan_samples

WAYS = ("retake", "stock", "naive")


@frozen
class Job:
    """What a contestant is to do.

    Attributes:
        video: a file.
        checkpoint: a folder; None is the embedded model.
        fps: frames sampled a second; None: `frames` of them, spread over the video.
        frames: at most so many; None for no limit.
        compressor, budget, keep_ratio, chunk_frames: as `retake.load` takes them.
        questions: asked in turn; the first token of the first ends the clock.
        max_new_tokens: of each answer.
        cores: pin the process (and its children) to so many; None leaves it as it is.
    """

    video: str
    checkpoint: str | None = None
    fps: float | None = None
    frames: int | None = None
    compressor: str = "pivotkv"
    budget: int | None = None
    keep_ratio: float | None = None
    chunk_frames: int = 32
    questions: Sequence[str] = ("What colour is the flashed star?",)
    max_new_tokens: int = 1
    cores: int | None = None


def compete(way: str, job: Job, *, quick: bool = False) -> tuple[dict[str, Any], harness.Peak]:
    """Run a contestant in a fresh process: what it replied, and the memory its tree took.

    For a quick look it may be a fork of this one, whose memory counts as its own.
    """
    words = [way, json.dumps(asdict(job))]
    if quick:
        peak = harness.weighed(Forked(main, words), time.perf_counter())
    else:
        peak = harness.peak_of([sys.executable, "-m", "benchmarks.contestants", *words])
    return peak.reply, peak


def sampled(job: Job) -> list[int]:
    """The frames that retake takes, for those who take what they are told."""
    with open_video(job.video) as reader:
        plan = plan_samples(
            reader.timestamps,
            reader.info.duration,
            fps=job.fps,
            max_frames=job.frames,
            multiple_of=2,
        )
        return [int(index) for index in plan.indices]


def run_retake(job: Job) -> dict[str, Any]:
    """Watch and answer, as a user would."""
    model = retake.load(
        job.checkpoint,
        compressor=job.compressor,
        budget=job.budget,
        keep_ratio=job.keep_ratio,
        video={"fps": job.fps, "max_frames": job.frames},
        prefill={"chunk_frames": job.chunk_frames},
        generate={"max_new_tokens": job.max_new_tokens},
    )
    start = time.perf_counter()
    memory = model.watch(job.video, questions=job.questions)
    watched = time.perf_counter() - start
    answers = [model.ask(question, memory) for question in job.questions]
    assert memory.frames is not None
    return {
        "ttft": watched + answers[0].first_token_seconds,
        "watch": watched,
        "stages": {cost.name: cost.seconds for cost in memory.costs},
        "indices": [int(index) for index in memory.frames.indices],
        "tokens": memory.compression.tokens_selected,
        "kept": len(memory.kept[0]),
        "kept_first_layer": [int(number) for number in memory.kept[0]],
        "answers": [answer.text for answer in answers],
        "kv_bytes": memory.compression.kv_bytes_reserved,
    }


def pin(cores: int | None) -> None:
    """Keep this process, its threads and its children on so many cores."""
    if cores is not None:
        allowed = sorted(os.sched_getaffinity(0))[:cores]
        os.sched_setaffinity(0, allowed)
        torch.set_num_threads(len(allowed))


def main() -> None:
    """Do the job and print the reply."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("way", choices=WAYS)
    parser.add_argument("job", help="JSON")
    given = parser.parse_args()
    job = Job(**json.loads(given.job))
    pin(job.cores)
    if given.way == "retake":
        reply = run_retake(job)
    else:
        folder = Path(job.checkpoint) if job.checkpoint else None
        run = stock.run if given.way == "stock" else naive_engine.run
        reply = run(job, folder, sampled(job))
    print(json.dumps(reply))


if __name__ == "__main__":
    main()
