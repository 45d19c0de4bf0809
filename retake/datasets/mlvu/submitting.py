"""Answers of MLVU as its test server and its scripts for generation take them."""

import json
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any

from retake.core.benchmark import Marked
from retake.datasets.mlvu.tasks import SUB_SCENE, SUMMARY, WRITING, submitted_as

CHOICES = "test_res.json"
#: As the official script for generation writes them, which the scripts of the judge read.
WRITTEN = {SUB_SCENE: "subplot_all.json", SUMMARY: "summary_all.json"}


def choice_file(marked: Sequence[Marked]) -> dict[str, str]:
    """The test split's choices by letter, "" where none was read; no file without choices."""
    rows = [
        {
            "question_id": one.id,
            "question_type": submitted_as(one.kind),
            "option": one.parsed or "",
        }
        for one in marked
        if one.kind not in WRITING
    ]
    return {CHOICES: _json(rows)} if rows else {}


def writing_files(marked: Sequence[Marked], questions: Mapping[str, str]) -> dict[str, str]:
    """A file for each writing task that was answered.

    Args:
        questions: as the benchmark has them, without any prompt around, by sample.
    """
    files = {}
    for task, name in WRITTEN.items():
        rows = [
            {
                "video_name": PurePath(one.video).name,
                "Q": questions[one.id],
                "A": one.expected or "",
                "pred": one.said,
            }
            for one in marked
            if one.kind == task
        ]
        if rows:
            files[name] = _json(rows)
    return files


def _json(rows: Sequence[Mapping[str, Any]]) -> str:
    return f"{json.dumps(rows, indent=4, ensure_ascii=False)}\n"
