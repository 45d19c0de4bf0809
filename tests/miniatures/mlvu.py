"""A miniature of MLVU as it is distributed: dev and test, choice and writing.

The layouts are those of MLVU/MVLU and MLVU/MLVU_Test on the hub (a JSON file a task; two files of
questions, a folder of what is right), and of sy1998/MLVU_dev and sy1998/MLVU_Test, which lmms-eval
reads (one parquet file with options in the questions and letters for answers; flat videos in
zips). Two tasks of dev have a video of the same name here, and it is not the same video.
"""

import json
import tarfile
import zipfile
from collections.abc import Iterator, Sequence
from io import BytesIO
from pathlib import Path
from shutil import copyfile
from tempfile import TemporaryDirectory
from typing import Any

import attrs
import pyarrow as pa
import pyarrow.parquet as pq

from retake.datasets.scenes import Clip, Question
from retake.datasets.scenes.questions import sort_of
from tests.miniatures.clips import clip

#: By file of the dev split: what its rows call the task, its videos, and the questions asked.
DEV = {
    "1_plotQA": ("plotQA", ("movie101_66", "movie102_1"), ("scene_colour", "scene_shape")),
    "2_needle": ("findNeedle", ("needle_32", "needle_51"), ("needle_colour", "needle_shape")),
    "3_ego": ("ego", ("ego_35", "ego_21"), ("scene_shape",)),
    "4_count": ("count", ("count_126",), ("count",)),
    "5_order": ("order", ("order_126",), ("scene_colour",)),
    "6_anomaly_reco": ("anomaly_reco", ("surveil_7",), ("needle_shape",)),
    "7_topic_reasoning": ("topic_reasoning", ("AWA-6",), ("needle_colour",)),
    "8_sub_scene": ("subPlot", ("movie101_66", "en_tv_28"), ("caption",)),
    "9_summary": ("summary", ("217", "218"), ("summary",)),
}
#: By question_type of the test split: the letters of its ids, its videos, and what is asked.
TEST = {
    "anomaly_reco": ("AR", ("test_surveil_0",), ("needle_shape",)),
    "sportsQA": ("SQA", ("test_sports_0", "test_sports_1"), ("scene_colour",)),
    "order": ("AO", ("test_order_0",), ("scene_shape",)),
    "needleQA": ("NQA", ("test_needle_0",), ("needle_colour", "needle_shape")),
    "plotQA": ("PQA", ("test_movie_0",), ("scene_colour", "scene_shape")),
    "topic_reasoning": ("TR", ("test_topic_0",), ("scene_shape",)),
    "ego": ("ER", ("test_ego_0",), ("scene_colour",)),
    "tutorialQA": ("TQA", ("test_tutorial_0",), ("needle_shape",)),
    "count": ("AC", ("test_count_0",), ("count",)),
    "subsummary": ("", ("test_tv_0", "test_tv_1"), ("caption",)),
    "summary": ("", ("test_topic_0",), ("summary",)),
}
WRITTEN = ("subPlot", "subsummary", "summary")
PARQUET = "mlvu/test-00000-of-00001.parquet"
_NAMES = {"findNeedle": "needle"}  # of tasks, in the parquet file


@attrs.frozen
class Row:
    """A question of the miniature.

    Attributes:
        folder: of the video, in the dev split.
        clip: the video.
        data: the row as the JSON files have it.
    """

    folder: str
    clip: Clip
    data: dict[str, Any]


def make(
    folder: Path,
    *,
    split: str = "dev",
    layout: str = "official",
    videos: str = "folder",
    truth: str = "no",
) -> None:
    """Write the miniature.

    Args:
        folder: made where it is missing.
        split: "dev" or "test".
        layout: "official", or "hub" as lmms-eval reads it, without the writing tasks.
        videos: "folder"; "archives" as downloaded: zips on lmms-eval's hub, parts of a tar for the
            official test split; "none".
        truth: "yes": the test split's answers are there too.
    """
    with TemporaryDirectory() as made:
        rows = list(_dev(Path(made)) if split == "dev" else _test(Path(made)))
        if layout == "hub":
            _write_hub(folder, split, rows, videos)
        elif split == "dev":
            _write_dev(folder, rows, videos)
        else:
            _write_test(folder, rows, videos, truth == "yes")


def _dev(folder: Path) -> Iterator[Row]:
    seed = 0
    for file, (kind, names, asked) in DEV.items():
        for name in names:
            seed += 1
            made = clip(folder / file / f"{name}.mp4", 8 + seed % 3, seed)
            for question in asked:
                yield Row(file, made, _row(made, kind, question, options=4))


def _test(folder: Path) -> Iterator[Row]:
    seed = 100
    for kind, (letters, names, asked) in TEST.items():
        number = 0
        for name in names:
            seed += 1
            made = clip(folder / f"{name}.mp4", 8 + seed % 3, seed)
            for question in asked:
                data = _row(made, kind, question, options=6)
                yield Row("", made, {"question_id": f"{letters}_{number}", **data})
                number += 1


def _row(made: Clip, kind: str, asked: str, options: int) -> dict[str, Any]:
    data: dict[str, Any] = {"video": made.path.name, "duration": made.seconds}
    if kind in WRITTEN:
        return {**data, **_written(made, asked), "question_type": kind}
    text, candidates, answer = _count(made) if asked == "count" else _choice(made, asked, options)
    return {
        **data,
        "question": text,
        "candidates": candidates,
        "answer": answer,
        "question_type": kind,
    }


def _written(made: Clip, asked: str) -> dict[str, Any]:
    cards = [f"{needle.colour} {needle.shape}" for needle in made.needles]
    shown = f"a {made.scenes[0].colour} {made.scenes[0].shape} that moves"
    if asked == "summary":
        answer = f"The video shows {shown}, and flashes {', then '.join(cards)}."
        return {"question": "Please summarize the main content of this video.", "answer": answer}
    answer = f"It flashes {cards[0]} over {shown}."
    points = [f"what flashes is {cards[0]}", f"there is {shown}"]
    return {
        "question": "Please describe what flashes first,\nand over what?",
        "answer": answer,
        "scoring_points": points,
    }


def _choice(made: Clip, kind: str, options: int) -> tuple[str, list[str], str]:
    """A scene's question, with so many options."""
    question: Question = next(each for each in made.questions if each.kind == kind)
    others = [name for name in sort_of(question.answer) if name not in question.options]
    return question.text, [*question.options, *others][:options], question.answer


def _count(made: Clip) -> tuple[str, list[str], str]:
    return "How many flashes are there in the video?", ["3", "1", "2", "4"], str(len(made.needles))


def _write_dev(folder: Path, rows: Sequence[Row], videos: str) -> None:
    for file in DEV:
        data = [row.data for row in rows if row.folder == file]
        _write_json(folder / "MLVU" / "json" / f"{file}.json", data)
    if videos != "none":
        for row in rows:
            _copy(row.clip.path, folder / "MLVU" / "video" / row.folder)


def _write_test(folder: Path, rows: Sequence[Row], videos: str, truth: bool) -> None:
    choice = [row.data for row in rows if row.data["question_type"] not in WRITTEN]
    written = [row.data for row in rows if row.data["question_type"] in WRITTEN]
    hidden = [_without(data, "answer") for data in choice]
    _write_json(folder / "test_multi_choice_tasks.json", hidden)
    _write_json(folder / "MLVU_Test" / "test_question.json", hidden)
    asked = [_without(data, "answer", "scoring_points", "question_id") for data in written]
    _write_json(folder / "test_generation_tasks.json", asked)
    if truth:
        right = folder / "test-ground-truth"
        known = [_without(data, "question_id") for data in written]
        _write_json(right / "test_mcq_gt.json", choice)
        for name, kind in (("ssc", "subsummary"), ("vs", "summary")):
            some = [data for data in known if data["question_type"] == kind]
            _write_json(right / f"test_{name}_gt.json", some)
    if videos == "archives":
        _write_tar(folder / "MLVU_Test", rows)
    if videos == "folder":
        for row in rows:
            _copy(row.clip.path, folder / "MLVU_Test" / "video")


def _write_hub(folder: Path, split: str, rows: Sequence[Row], videos: str) -> None:
    chosen = [row for row in rows if row.data["question_type"] not in WRITTEN]
    path = folder / (PARQUET if split == "dev" else PARQUET.replace("mlvu", "mlvu_test"))
    path.parent.mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist([_hub_row(row.data) for row in chosen]), path)
    if videos == "archives":
        files = sorted({row.clip.path for row in chosen})
        for number in (1, 2):
            with zipfile.ZipFile(folder / f"video_part_{number}.zip", "w") as archive:
                for file in files[number - 1 :: 2]:
                    archive.write(file, file.name)
    if videos == "folder":
        for row in chosen:
            _copy(row.clip.path, folder)


def _hub_row(data: dict[str, Any]) -> dict[str, Any]:
    letters = "ABCDEF"
    lines = [f"({letters[n]}) {text}" for n, text in enumerate(data["candidates"])]
    kind = data["question_type"]
    return {
        "video_name": data["video"],
        "duration": data["duration"],
        "question": "\n".join([data["question"], *lines]),
        "candidates": data["candidates"],
        "answer": letters[data["candidates"].index(data["answer"])],
        "task_type": _NAMES.get(kind, kind),
    }


def _write_tar(folder: Path, rows: Sequence[Row]) -> None:
    """Two parts of a compressed tar, which nothing can read before they are put together."""
    whole = BytesIO()
    with tarfile.open(fileobj=whole, mode="w:gz") as archive:
        for path in sorted({row.clip.path for row in rows}):
            archive.add(path, f"video/{path.name}")
    content = whole.getvalue()
    half = len(content) // 2
    for letter, part in (("a", content[:half]), ("b", content[half:])):
        (folder / f"test_video.tar.gz.part-{letter}").write_bytes(part)


def _copy(video: Path, into: Path) -> None:
    into.mkdir(parents=True, exist_ok=True)
    copyfile(video, into / video.name)


def _write_json(path: Path, data: Sequence[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(list(data), indent=4), encoding="utf-8")


def _without(data: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in data.items() if name not in names}
