"""Video-MME: what is refused, before anything is watched, and in which words."""

import json
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from retake.core.config import structure
from retake.core.errors import UsageError
from retake.datasets import datasets
from retake.datasets.videomme import VideoMME
from tests.miniatures import videomme as miniature


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The miniature as it lies on the hub; do not change it."""
    folder = tmp_path_factory.mktemp("videomme")
    miniature.make(folder)
    return folder


@pytest.fixture
def copy(root: Path, tmp_path: Path) -> Path:
    """One to be damaged."""
    return shutil.copytree(root, tmp_path / "copy")


def benchmark(root: Path, **options: Any) -> VideoMME:
    return structure(datasets.get("videomme"), {"root": str(root), **options}, "option")


def _changed(column: str, value: Any) -> Any:
    return lambda rows: rows[4].update({column: value})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda rows: [row.pop("options") for row in rows], "has no 'options'"),
        (lambda rows: [row.pop("question_id") for row in rows], "has no 'question_id'"),
        (_changed("question", None), "'question' in row 5"),
        (_changed("duration", "1"), "short, medium, long, and is '1'"),
        (_changed("options", ["A. one"]), "2 to 6 options in row 5"),
        (_changed("options", ["A. x", "B. y", "C x", "D. z"]), "and 'C x' does not"),
        (_changed("videoID", "../x"), "'videoID' in row 5 .* must name a file below"),
        (_changed("videoID", "/x"), "'videoID' in row 5 .* must name a file below"),
        (_changed("options", None), "must be a list of texts, and are None"),
        (_changed("answer", "E"), r"answer in row 5 of .* \(002-2\) must be one of ABCD"),
        (_changed("question_id", "001-1"), "Two questions in .* have the id '001-1'"),
        (lambda rows: rows.clear(), "has no rows"),
    ],
)
def test_bad_tables(root: Path, copy: Path, change: Any, words: str) -> None:
    """Named by file, row and column, before anything is watched."""
    rows = json.loads(pd.read_parquet(root / miniature.PARQUET).to_json(orient="records"))
    change(rows)
    (copy / miniature.PARQUET).unlink()
    (copy / miniature.JSON).write_text(json.dumps(rows))
    with pytest.raises(UsageError, match=words):
        benchmark(copy).samples()


def test_a_root_that_is_none(copy: Path) -> None:
    """What is missing, where to get it, and what there is instead."""
    with pytest.raises(UsageError, match=r"docs/datasets/videomme\.md") as caught:
        VideoMME().samples()
    assert "root=DIR" in str(caught.value)
    with pytest.raises(UsageError, match="nowhere'"):
        benchmark(copy / "nowhere").holdings()
    shutil.rmtree(copy / "videomme")
    with pytest.raises(UsageError, match=r"looked for .*test-\*\.parquet") as caught:
        benchmark(copy).samples()
    assert "subtitle.zip" in str(caught.value)
    with pytest.raises(UsageError, match=r"mine\.json"):
        benchmark(copy, annotations="mine.json").samples()


def test_subtitles_that_are_not_there(copy: Path) -> None:
    """Asking for them where there are none at all is a mistake."""
    (copy / "subtitle.zip").unlink()
    assert len(benchmark(copy).samples()) == 18
    with pytest.raises(UsageError, match=r"there are none under .*copy") as caught:
        benchmark(copy, subtitles="frames").samples()
    assert "subtitle.zip" in str(caught.value)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"subtitles": "some"}, "Allowed: all, frames, none"),
        ({"protocol": "offical"}, "'official'"),
        ({"prompt": "vidomme"}, "'videomme'"),
        ({"extraction": "lenent"}, "'lenient'"),
        ({"unparsed": "right"}, "left-out"),
        ({"average": "duration"}, "'durations'"),
        ({"subtitle": "all"}, "'subtitles'"),
    ],
)
def test_wrong_options_are_refused(root: Path, options: dict[str, Any], words: str) -> None:
    """The message names what is allowed, before anything is read."""
    with pytest.raises(UsageError) as caught:
        benchmark(root, **options)
    assert words in str(caught.value)
