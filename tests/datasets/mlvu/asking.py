"""MLVU made with options, its published rows, and answers as models and judges give them."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs
import numpy as np

from retake.core.benchmark import Marked, Sample
from retake.core.config import structure
from retake.datasets import datasets
from retake.datasets.mlvu.benchmark import MLVU
from tests.datasets.answering import marked_by

#: What a model may say, "{}" being the letter, and whether the official rule reads it.
SAID = (("{}", True), ("({}) so", True), ("{})", True), ("It is {}.", False), ("", False))


def benchmark(root: Path, **options: Any) -> MLVU:
    return structure(datasets.get("mlvu"), {"root": str(root), **options}, "option")


def rows_of(root: Path, file: str) -> list[dict[str, Any]]:
    """A JSON file's rows."""
    return json.loads((root / file).read_text(encoding="utf-8"))


def write(root: Path, file: str, rows: Any) -> None:
    (root / file).write_text(json.dumps(rows), encoding="utf-8")


def answered(made_it: MLVU, samples: Sequence[Sample], seed: int = 0) -> list[Marked]:
    """Answers as models give them, judged where they are written."""
    random = np.random.default_rng(seed)
    said = {}
    for sample in samples:
        letters = "ABCDEF"[: len(sample.options)] or "Z"
        form, is_read = SAID[random.integers(len(SAID))]
        letter = str(random.choice(list(letters)))
        said[sample.id] = (form.format(letter), letter if is_read else None)
    return [_judged(one, random) for one in marked_by(made_it, samples, said)]


def _judged(one: Marked, random: np.random.Generator) -> Marked:
    aspects = {
        "sub_scene": ("accuracy", "relevance"),
        "summary": ("completeness", "reliability"),
    }.get(one.kind, ())
    return attrs.evolve(one, aspects={each: float(random.integers(1, 6)) for each in aspects})
