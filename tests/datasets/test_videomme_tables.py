"""Video-MME: tables that are not quite as published, and runs of a table that has changed."""

import json
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from retake.core.benchmark import Count
from retake.core.config import structure
from retake.core.errors import UsageError, VideoError
from retake.datasets import datasets
from retake.datasets.videomme import VideoMME
from tests.datasets.answering import marked_by
from tests.miniatures import videomme as miniature


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The miniature as it lies on the hub; do not change it."""
    folder = tmp_path_factory.mktemp("videomme")
    miniature.make(folder)
    return folder


@pytest.fixture
def copy(root: Path, tmp_path: Path) -> Path:
    """One to be changed, its table in JSON."""
    folder = Path(shutil.copytree(root, tmp_path / "copy"))
    rows = json.loads(pd.read_parquet(root / miniature.PARQUET).to_json(orient="records"))
    (folder / miniature.PARQUET).unlink()
    (folder / miniature.JSON).write_text(json.dumps(rows))
    return folder


def change(root: Path, **columns: Any) -> None:
    """The first question, changed."""
    rows = json.loads((root / miniature.JSON).read_text())
    rows[0].update(columns)
    (root / miniature.JSON).write_text(json.dumps(rows))


def benchmark(root: Path, **options: Any) -> VideoMME:
    return structure(datasets.get("videomme"), {"root": str(root), **options}, "option")


@pytest.mark.parametrize("protocol", ["official", "retake", "lmms-eval"])
@pytest.mark.parametrize("subtitles", ["none", "frames"])
@pytest.mark.parametrize(
    ("options", "texts"),
    [
        (["A.Apples", "B.Pears", "C. Figs", "D. "], ("Apples", "Pears", "Figs", "")),
        (["A . Apples", "B. Pears", "C . Figs", "D. Nuts"], ("Apples", "Pears", "Figs", "Nuts")),
        (["a. Apples", "b. Pears", "c. Figs", "d. Nuts"], ("Apples", "Pears", "Figs", "Nuts")),
    ],
)
def test_options_are_shown_as_they_stand(
    copy: Path, options: list[str], texts: tuple[str, ...], protocol: str, subtitles: str
) -> None:
    """With the table's own letters, once, in prompts and in the submission."""
    change(copy, options=options)
    made = benchmark(copy, protocol=protocol, subtitles=subtitles)
    sample = made.samples()[0]
    assert sample.options == texts
    assert "\n" + "\n".join(options) + "\n" in made.phrase(sample, [1.0])
    written = json.loads(made.submission([])["output_test_template.json"])
    assert written[0]["questions"][0]["options"] == options


def test_options_without_letters_get_them(copy: Path) -> None:
    change(copy, options=["A. Lincoln", "G. Washington"], answer="B")
    sample = benchmark(copy).samples()[0]
    assert "\nA. A. Lincoln\nB. G. Washington\n" in sample.question


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://youtu.be/x_Y-z?si=1", "x_Y-z"),
        ("https://www.youtube.com/watch?v=x_Y-z", "x_Y-z"),
        ("http://[broken", "001"),
        (None, "001"),
    ],
)
def test_videos_by_their_address(copy: Path, url: str | None, name: str) -> None:
    """Where there is no videoID; an address that is none is passed over."""
    rows = json.loads((copy / miniature.JSON).read_text())
    for row in rows:
        row.pop("videoID")
        row["url"] = url if row["video_id"] == "001" else row["url"]
    (copy / miniature.JSON).write_text(json.dumps(rows))
    assert benchmark(copy).samples()[0].video.name == f"{name}.mp4"


def test_how_much_there_is(root: Path, copy: Path) -> None:
    """Subtitles are counted whether they are asked for or not."""
    made = benchmark(root, subtitles="all")
    assert made.counts() == {
        "questions": Count(18, 2700),
        "videos": Count(6, 900),
        "videos with subtitles": Count(4, 744),
        "videos without subtitles": Count(2),
    }
    (copy / "subtitle.zip").unlink()
    assert benchmark(copy).counts()["videos without subtitles"] == Count(6)


def test_a_submission_of_another_table(copy: Path) -> None:
    """Answers that belong to no question are not left out without a word."""
    made = benchmark(copy)
    marked = marked_by(made, made.samples(), {one.id: ("A", "A") for one in made.samples()})
    change(copy, question_id="900-1")
    with pytest.raises(UsageError, match=r"1 of .* such as '001-1': the table has changed"):
        made.submission(marked)


@pytest.mark.parametrize("hours", ["9" * 5000, "1234567"])
def test_times_that_python_does_not_read(copy: Path, hours: str) -> None:
    """They fail the video, not the run."""
    folder = copy / "subtitle"
    folder.mkdir()
    made = benchmark(copy, subtitles="all")
    sample = made.samples()[0]
    (folder / f"{sample.video.stem}.srt").write_text(f"{hours}:00:01,0 --> {hours}:00:02,0\nx\n")
    sample = benchmark(copy, subtitles="all").samples()[0]
    with pytest.raises(VideoError, match=r"Line 1 of .* has no times of SRT"):
        made.phrase(sample, [1.0])
