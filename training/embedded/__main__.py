"""Retrains the embedded model in one command: `python -m training.embedded`."""

import argparse
from pathlib import Path

import torch

from retake.datasets.scenes.world import stream
from training.embedded.architecture import build_model, save
from training.embedded.batches import Writer
from training.embedded.footage import film
from training.embedded.language import Course, train_language
from training.embedded.report import Progress
from training.embedded.together import train_together
from training.embedded.tokens import build_tokenizer
from training.embedded.vision import train_vision

CHECKPOINT = Path(__file__).parents[2] / "retake/models/embedded/checkpoint"
VISION_STEPS = 800
LAST_COURSE = Course(steps=1100, questions=12, rate=1.5e-3)
QUICK = Course(steps=4, videos=2, questions=2, longest=8, samples=1, sights=8)


def train(output: Path, *, seed: int = 0, quick: bool = False, quiet: bool = False) -> None:
    """Films, trains the tower, then the language model, then both, and saves the checkpoint."""
    torch.manual_seed(seed)
    rng = stream("train", seed)
    progress = Progress(quiet=quiet)
    tokenizer = build_tokenizer()
    model = build_model(tokenizer)
    footage = film(takes=1 if quick else 4, length=2 if quick else 32, rng=rng)
    progress.say("filmed the scenes")
    if quick:
        train_vision(model, footage, rng, steps=2, progress=progress, batch=QUICK.sights)
    else:
        train_vision(model, footage, rng, steps=VISION_STEPS, progress=progress)
    course = QUICK if quick else Course()
    train_language(model, footage, Writer(tokenizer), rng, course, progress)
    course = QUICK if quick else LAST_COURSE
    train_together(model, footage, Writer(tokenizer), stream("train", seed, 3), course, progress)
    save(model, tokenizer, output)
    progress.say(f"saved {output}")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m training.embedded", description=__doc__)
    parser.add_argument("--output", type=Path, default=CHECKPOINT, help="folder to write")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--quick", action="store_true", help="seconds, and good for nothing")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    train(options.output, seed=options.seed, quick=options.quick)


if __name__ == "__main__":
    main()
