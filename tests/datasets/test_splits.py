"""What is trained on, what is tested on and what else was looked at never meet."""

from collections.abc import Iterable

import attrs
import numpy as np
import pytest

from benchmarks.embedded_needles import FIRST_SEED
from retake.datasets.scenes import COLOURS, SHAPES, Clip, Script, write_script
from retake.datasets.scenes.benchmark import Scenes
from retake.datasets.scenes.catalogue import script_seed
from retake.datasets.scenes.placing import write_placed
from retake.datasets.scenes.world import stream
from retake.models.embedded import clips
from training.evaluate import FINAL_SEED

TRAIN_SEEDS = (*range(400), *np.random.default_rng(0).integers(2**31, size=400).tolist())
# Seeds of the test split that something else was made or measured with.
OTHER_SEEDS = (
    *range(200),
    *(FIRST_SEED + number for number in range(200)),
    *(FINAL_SEED + 1000 * times + number for times in (1, 2, 4) for number in range(60)),
)


def benchmark_scripts() -> list[Script]:
    """The scripts of many seeds of the benchmark."""
    planned = Scenes(lengths=(16, 64), videos=5, seeds=20).planned()
    return [video.placed.script for video in planned]


def contents(scripts: Iterable[Script]) -> list[set[object]]:
    """Everything that could be the same in two scripts."""
    scripts = tuple(scripts)
    return [
        {(script.scenes, script.needles) for script in scripts},
        {script.needles for script in scripts},
        {script.scenes for script in scripts},
        {(s.shape, s.colour, s.seed) for script in scripts for s in script.scenes},
        {(n.shape, n.colour, n.seed) for script in scripts for n in script.needles},
    ]


def first_draws(streams: Iterable[np.random.Generator]) -> set[int]:
    """What each stream gives first."""
    return {int(rng.integers(2**63)) for rng in streams}


@pytest.mark.parametrize("seconds", [16, 64])
def test_no_training_script_is_a_test_script(seconds: int) -> None:
    """No script, list of needles or scenes, scene or needle of one split is in the other."""
    train = contents(write_script(seconds, seed, split="train") for seed in TRAIN_SEEDS)
    tests = [write_script(seconds, seed) for seed in (*TRAIN_SEEDS, *OTHER_SEEDS)]
    for seen, asked in zip(train, contents([*tests, *benchmark_scripts()]), strict=True):
        assert not seen & asked


def test_streams_of_the_splits_differ() -> None:
    """Whatever the numbers behind the split's key, the first draws are others."""
    keys = [(seed,) for seed in TRAIN_SEEDS] + [
        (seed, part) for seed in range(50) for part in (1, 3)
    ]
    keys += [(script_seed(64, seed, number),) for seed in range(10) for number in range(5)]
    train, test = (first_draws(stream(split, *key) for key in keys) for split in ("train", "test"))
    assert len(train) == len(test) == len(keys)
    assert not train & test


def test_the_benchmark_is_of_the_test_split() -> None:
    """There is no option to draw from what was trained on."""
    assert all(script.split == "test" for script in benchmark_scripts())
    assert not {"split", "train"} & {field.name for field in attrs.fields(Scenes)}


def test_nothing_else_has_the_benchmarks_seeds() -> None:
    """Its seeds are four words with a last one of its own; all others are one word."""
    bundled = {Clip.load(path.with_suffix(".json")).seed for path in clips()}
    assert max(*OTHER_SEEDS, *bundled) < 2**32
    for extreme in ((4, 0, 0), (4294966, 2**32 - 1, 2**32 - 1), (64.001, 7, 3)):
        assert script_seed(*extreme) >> 96 == 0x42656E63
    seeds = [script.seed for script in benchmark_scripts()]
    assert len(set(seeds)) == len(seeds)


def test_the_benchmark_meets_nothing_else_that_was_looked_at() -> None:
    """Not the clips that ship, those of the model's card, nor those of the speed benchmarks."""
    bundled = [Clip.load(path.with_suffix(".json")).script for path in clips()]
    others = [write_script(64, seed) for seed in OTHER_SEEDS]
    for ours, theirs in zip(
        contents(benchmark_scripts()), contents([*bundled, *others]), strict=True
    ):
        assert not ours & theirs
    draws = first_draws(stream("test", script.seed) for script in benchmark_scripts())
    keys = [(seed, *part) for seed in OTHER_SEEDS for part in ((), (1,), (0x71,), (0xDA7,))]
    assert not draws & first_draws(stream("test", *key) for key in keys)


def test_a_seed_says_which_video() -> None:
    """Another seed, length or number is another video; the same is the same."""
    keys = [(s, seed, n) for s in (8, 8.5, 64) for seed in range(5) for n in range(5)]
    scripts = {write_placed(64, script_seed(*key), depth=0.5).script.needles for key in keys}
    assert len(scripts) == len(keys)


def test_all_looks_occur_in_the_benchmark() -> None:
    """Disjoint from training does not mean another world: every shape and colour is asked for."""
    needles = [needle for script in benchmark_scripts() for needle in script.needles]
    assert {needle.shape for needle in needles} == set(SHAPES)
    assert {needle.colour for needle in needles} == set(COLOURS)
