"""Makes the clips that ship with the embedded model: `python -m training.clips`.

The idea: an example that the model gets wrong teaches a newcomer nothing, so of each
length the first test seed is taken whose questions are all answered rightly from the
full cache. How many were passed over is printed, and belongs in the card.
"""

import argparse
from pathlib import Path

import torch
from transformers import AutoTokenizer

from retake.datasets.scenes.clip import Clip, make_clip
from training.embedded.__main__ import CHECKPOINT
from training.embedded.batches import Writer
from training.evaluate import Setting, load, replies, watched

LENGTHS = {"short": 30, "medium": 45, "long": 64}
NEEDLES = {"short": 2, "medium": 3, "long": 4}
CRF = 31  # keeps the three clips together at about a megabyte


def choose(name: str, folder: Path, checkpoint: Path) -> tuple[Clip, int]:
    """The first clip of its length that is answered rightly, and how many were tried."""
    model = load(checkpoint, yarn=False)
    writer = Writer(AutoTokenizer.from_pretrained(checkpoint))
    for seed in range(1000):
        path = folder / f"{name}.mp4"
        clip = make_clip(path, seconds=LENGTHS[name], seed=seed, needles=NEEDLES[name], crf=CRF)
        questions, tokens = list(clip.questions), watched(model, path)
        if all(
            hit
            for is_open in (False, True)
            for hit in replies(model, writer, tokens, questions, Setting(1, open=is_open))
        ):
            return clip, seed + 1
    raise SystemExit(f"no clip of {LENGTHS[name]} s is answered rightly: train longer")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m training.clips", description=__doc__)
    parser.add_argument("--checkpoint", type=Path, default=CHECKPOINT)
    parser.add_argument("--output", type=Path, default=CHECKPOINT.parent / "clips")
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.output.mkdir(parents=True, exist_ok=True)
    for name in LENGTHS:
        clip, tried = choose(name, options.output, options.checkpoint)
        size = clip.path.stat().st_size
        print(f"{clip.path.name}: {size:,} bytes, seed {clip.seed}, tried {tried}", flush=True)


if __name__ == "__main__":
    main()
