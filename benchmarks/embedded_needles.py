"""How well the embedded model answers needle questions about fresh mp4 files, through retake.

The path is the user's: `retake.load`, `watch`, `ask`. Answers in words and by letter are
counted apart. `python benchmarks/embedded_needles.py --seconds 64 --clips 40`
"""

import argparse
import tempfile
from collections import defaultdict
from pathlib import Path

import retake
from retake.datasets.scenes import Clip, make_clip

KINDS = ("needle_colour", "needle_shape", "needle_exists")
FIRST_SEED = 9000  # of the test split; training never draws from it, nothing was tuned on these


def measure(
    model: retake.VideoModel, seconds: float, clips: int, folder: Path
) -> dict[str, list[bool]]:
    """Right or wrong for every needle question, by kind and way of answering."""
    right: dict[str, list[bool]] = defaultdict(list)
    for number in range(clips):
        path = folder / f"{number}.mp4"
        make_clip(path, seconds=seconds, seed=FIRST_SEED + number)
        memory = model.watch(path)
        for question in Clip.load(path.with_suffix(".json")).questions:
            if question.kind in KINDS:
                word = model.ask(question.text, memory).text
                letter = model.ask(question.choose(), memory).text
                right[f"{question.kind}, in words"].append(word == question.answer)
                right[f"{question.kind}, by letter"].append(letter == question.letter)
        path.unlink()
    return right


def main() -> None:
    """Parse the command line and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=64)
    parser.add_argument("--clips", type=int, default=40)
    parser.add_argument("--keep-ratio", type=float, help="compress; without, the full cache")
    parser.add_argument("--quick", action="store_true", help="two short clips, to see that it runs")
    given = parser.parse_args()
    if given.quick:
        given.seconds, given.clips = 20, 2
    model = (
        retake.load(selector="none", compressor="none")
        if given.keep_ratio is None
        else retake.load(keep_ratio=given.keep_ratio)
    )
    with tempfile.TemporaryDirectory() as folder:
        right = measure(model, given.seconds, given.clips, Path(folder))
    for way in ("in words", "by letter"):
        rows = {name: marks for name, marks in sorted(right.items()) if name.endswith(way)}
        everything = [mark for marks in rows.values() for mark in marks]
        for name, marks in {**rows, f"all three, {way}": everything}.items():
            print(f"{name:28} {sum(marks):4} of {len(marks):4}  {sum(marks) / len(marks):6.1%}")


if __name__ == "__main__":
    main()
