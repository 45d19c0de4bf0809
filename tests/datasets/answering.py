"""Answers of known letters to a benchmark's samples, marked as evaluation marks them."""

from collections.abc import Mapping, Sequence

import numpy as np

from retake.core.benchmark import Benchmark, Marked, Sample

#: What models say, "{}" being the letter; every rule reads it, or none reads anything.
SAID = ("{}", "({})", "{}.", "The best answer is {}.", "{}) that one", "no idea at all", "")


def said_of(samples: Sequence[Sample], seed: int = 0) -> dict[str, tuple[str, str | None]]:
    """For each sample what is said, and the letter in it; None where there is none.

    Of many samples about half are right, a quarter wrong, and a quarter says nothing.
    """
    random = np.random.default_rng(seed)
    given: dict[str, tuple[str, str | None]] = {}
    for sample in samples:
        form = SAID[random.integers(len(SAID))]
        letters = "ABCDE"[: len(sample.options)]
        guess = letters[random.integers(len(letters))]
        letter = sample.answer if sample.answer and random.random() < 0.6 else guess
        given[sample.id] = (form.format(letter), letter if "{}" in form else None)
    return given


def marked_by(
    benchmark: Benchmark, samples: Sequence[Sample], said: Mapping[str, tuple[str, str | None]]
) -> list[Marked]:
    """What evaluation hands to metrics and submissions, of those that something is said to."""
    return [
        Marked(
            id=sample.id,
            video=str(sample.video),
            kind=sample.kind,
            groups=sample.groups,
            options=sample.options,
            expected=sample.answer,
            said=said[sample.id][0],
            parsed=benchmark.parse(sample, said[sample.id][0]),
            score=benchmark.mark(sample, said[sample.id][0]),
            chance=sample.chance,
        )
        for sample in samples
        if sample.id in said
    ]
