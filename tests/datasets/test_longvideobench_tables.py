"""LongVideoBench: lengths that are written as text, and how much there is of each split."""

import json
from pathlib import Path

import pytest

from retake.core.benchmark import Count
from retake.datasets.longvideobench import LongVideoBench
from tests.miniatures import longvideobench as miniature


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The miniature as it lies on the hub."""
    miniature.make(tmp_path)
    return tmp_path


def test_durations_as_text(root: Path) -> None:
    rows = json.loads((root / miniature.VAL).read_text())
    lengths = {row["id"]: row["duration"] for row in rows}
    rows = [{**row, "duration": str(row["duration"])} for row in rows]
    (root / miniature.VAL).write_text(json.dumps(rows))
    assert {one.id: one.seconds for one in LongVideoBench(str(root)).samples()} == lengths


@pytest.mark.parametrize(("split", "published"), [("val", 1337), ("test", 5341)])
def test_how_much_there_is(root: Path, split: str, published: int) -> None:
    samples = LongVideoBench(str(root), split=split).samples()
    videos = {one.video for one in samples}
    assert LongVideoBench(str(root), split=split).counts() == {
        "questions": Count(len(samples), published),
        "videos": Count(len(videos)),
    }
