"""The baselines do the same work as retake: the same frames, pixels, tokens and answers."""

from pathlib import Path

import pytest
import torch

import retake
from benchmarks import naive_engine, stock
from benchmarks.contestants import Job, run_retake, sampled
from benchmarks.end_to_end import Run, check_same_frames
from benchmarks.harness import Peak


def _job(checkpoint: Path, clip: Path, **changed: object) -> Job:
    given = {"video": str(clip), "checkpoint": str(checkpoint), "frames": 64, **changed}
    return Job(**given)  # type: ignore[arg-type]


def test_the_stock_path_makes_the_patches_that_retake_makes(checkpoint: Path, clip: Path) -> None:
    theirs = stock.Stock(checkpoint)
    indices = sampled(_job(checkpoint, clip))
    frames = theirs.decode(str(clip), indices)
    values, grid = theirs.preprocess(frames)
    adapter = retake.load(checkpoint).adapter
    size = adapter.frame_size(frames.shape[1], frames.shape[2], 448)
    mine = adapter.preprocess(torch.from_numpy(frames), size)
    assert grid.tolist() == [list(mine.grid)]
    # A grey level is about 0.015; Pillow and torch round some pixels differently.
    assert (values - mine.values).abs().max() < 0.02


def test_the_naive_engine_keeps_what_retake_keeps(checkpoint: Path, clip: Path) -> None:
    """In the first layer, whose queries and keys depend on nothing but the chunk's own tokens."""
    job = _job(checkpoint, clip, keep_ratio=0.25)
    mine = run_retake(job)
    theirs = naive_engine.run(job, checkpoint, sampled(job))
    assert (theirs["tokens"], theirs["kept"]) == (mine["tokens"], mine["kept"])
    same = set(theirs["kept_first_layer"]) & set(mine["kept_first_layer"])
    assert len(same) >= 0.99 * mine["kept"]


def test_with_nothing_evicted_both_give_the_same_first_token(checkpoint: Path, clip: Path) -> None:
    full = _job(checkpoint, clip, compressor="none")
    mine = run_retake(full)
    theirs = naive_engine.run(full, checkpoint, sampled(full))
    assert theirs["answers"] == mine["answers"]
    assert theirs["indices"] == mine["indices"]
    assert mine["kept"] == mine["tokens"] == theirs["tokens"]


def test_different_frames_are_not_compared() -> None:
    peak = Peak(1, 1, 1.0, "", 1)
    runs = {
        "one": [Run({"indices": [0, 1], "tokens": 4}, peak)],
        "other": [Run({"indices": [0, 2], "tokens": 4}, peak)],
    }
    with pytest.raises(RuntimeError, match="same frames"):
        check_same_frames(runs)
