"""Writes the task's folder: clips, questions about them, and what lmms-eval reads."""

import json
import shutil
from pathlib import Path

from retake.core.benchmark import Sample
from retake.datasets.scenes.benchmark import Scenes

_HERE = Path(__file__).parent
TASK = "retake_scenes"


def make(folder: Path) -> list[Sample]:
    """Make two clips and ask about them in turns, so that videos do not follow each other.

    Returns:
        The samples, in the order of the task.
    """
    benchmark = Scenes(root=str(folder / "clips"), lengths=(12, 16), videos=1)
    samples = sorted(benchmark.samples(), key=lambda sample: sample.kind)
    lines = [
        {
            "id": sample.id,
            "video": str(sample.video),
            "question": sample.question,
            "answer": sample.answer,
        }
        for sample in samples
    ]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (folder / "questions.jsonl").write_text(text, encoding="utf-8")
    for name in ("retake_scenes.yaml", "utils.py"):
        shutil.copy(_HERE / name, folder / name)
    return samples
