"""Why one compressor answers better than another: what is left of the cards that are asked about.

The idea: a card of the scenes benchmark is on screen for a second or two; of its visual tokens a
compressor keeps some, in some layers. For each method this counts, over all cards that are asked
about, the share of a card's tokens that survives in each layer, how often something of a card
survives in some layer and in every layer, and how often its question is answered rightly.
`python -m benchmarks.needle_survival`
"""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import numpy as np

import retake
from benchmarks import harness
from retake.datasets.scenes import Clip, Needle
from retake.datasets.scenes.benchmark import Scenes

METHODS = {
    "random": ("none", "random"),
    "random, the same in all layers": ("none", "random:together=true"),
    "uniform": ("none", "uniform"),
    "attention mass": ("none", "pivotkv"),
    "paper: pivots first": ("dpselect", "pivotkv"),
    "code: pivots score 1": ("dpselect", "pivotkv:pivot_score=1.0"),
    "pivots, then random": ("dpselect", "random"),
    "shots as pivots": ("scene:keep_ratio=1", "pivotkv"),
    "shots, then random": ("scene:keep_ratio=1", "random"),
    "keydiff": ("none", "keydiff"),
}


@attrs.frozen
class Fate:
    """What became of one card.

    Attributes:
        shares: of its tokens, what each layer kept.
        right: whether the question about it was answered rightly.
    """

    shares: tuple[float, ...]
    right: bool


def tokens_of(
    needle: Needle, per_step: int, steps: int, step_seconds: float
) -> np.ndarray[Any, Any]:
    """Numbers of the visual tokens of the steps in which a card is seen."""
    first = math.floor(needle.start / step_seconds)
    last = min(steps, math.ceil(needle.end / step_seconds))
    return np.arange(first * per_step, last * per_step)


def fates(
    model: retake.VideoModel, memory: retake.VideoMemory, samples: list[retake.Sample]
) -> Iterator[Fate]:
    """The fate of each card that is asked about by one of its two properties."""
    clip = Clip.load(samples[0].video.with_suffix(".json"))
    done = memory.compression
    for sample in samples:
        needle = next(n for n in clip.needles if sample.answer in (n.colour, n.shape))
        asked = tokens_of(needle, done.tokens_per_step, done.steps, clip.seconds / done.steps)
        shares = tuple(float(np.isin(asked, kept).mean()) for kept in memory.kept)
        right = model.ask(sample.question, memory).text == sample.answer
        yield Fate(shares, right)


def measure(
    scenes: Scenes, methods: dict[str, tuple[str, str]], keep_ratio: float
) -> dict[str, list[Fate]]:
    """Every method's fates of all cards; each video is encoded once."""
    base = retake.load(selector="none", compressor="none")
    found: dict[str, list[Fate]] = {name: [] for name in methods}
    by_video: dict[Path, list[retake.Sample]] = {}
    for sample in scenes.samples():
        by_video.setdefault(sample.video, []).append(sample)
    for video, samples in by_video.items():
        encoded = base.encode(video)
        for name, (selector, compressor) in methods.items():
            model = base.with_parts(selector=selector, compressor=compressor, keep_ratio=keep_ratio)
            found[name] += fates(model, model.watch(encoded), samples)
    return found


def row(fates_of: list[Fate]) -> dict[str, float]:
    """What became of a method's cards, in shares of 1."""
    shares = np.array([fate.shares for fate in fates_of])
    right = np.array([fate.right for fate in fates_of])
    anywhere, everywhere = (shares > 0).any(1), (shares > 0).all(1)
    return {
        "cards": float(len(fates_of)),
        "share kept": float(shares.mean()),
        "in some layer": float(anywhere.mean()),
        "in every layer": float(everywhere.mean()),
        "right": float(right.mean()),
        "right if in some layer": _mean(right[anywhere]),
        "right if in none": _mean(right[~anywhere]),
        **{f"layer {layer}": float(kept) for layer, kept in enumerate(shares.mean(0))},
    }


def _shown(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.3g}"


def _mean(values: np.ndarray[Any, Any]) -> float:
    return float(values.mean()) if len(values) else math.nan


def main() -> None:
    """Measure, print, save."""
    parser = harness.arguments(__doc__)
    parser.add_argument("--root", type=Path, help="the scenes' folder, made with --size 112")
    parser.add_argument("--seconds", type=float, default=64)
    parser.add_argument("--videos", type=int, default=20)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--keep-ratio", type=float, default=0.125)
    given = parser.parse_args()
    if given.quick:
        given.seconds, given.videos, given.seeds = 20.0, 2, 1
    kinds: Any = ["needle_colour", "needle_shape"]
    scenes = Scenes(
        root=given.root,
        lengths=(given.seconds,),
        videos=given.videos,
        seeds=given.seeds,
        kinds=kinds,
        size=112,
    )
    rows = {name: row(of) for name, of in measure(scenes, METHODS, given.keep_ratio).items()}
    columns = list(next(iter(rows.values())))
    table = [["method", *columns]]
    for name, values in rows.items():
        table.append([name, *(_shown(values[each]) for each in columns)])
    kept = f"1/{1 / given.keep_ratio:g}"
    notes = [
        f"Videos of {given.seconds:g} s, {kept} of the tokens kept. Shares of 1.",
        "share kept: of a card's tokens, the mean over layers. Then how often something of a card "
        "is left in some layer, and in every one, and how often its question was answered rightly.",
    ]
    harness.finish("needle_survival", harness.Result(table, notes, {"rows": rows}), given)


if __name__ == "__main__":
    main()
