"""A miniature of LongVideoBench as it is distributed: four videos to validate on, two to test on.

The layout is that of longvideobench/LongVideoBench on the hub: `lvb_val.json` and
`lvb_test_wo_gt.json` (16 fields an entry; the test split lacks `correct_choice`), the same as
parquet with `option0` … `option4`, "N/A" for those that are not there and no `level`, and one tar
archive of subtitles and one of videos, the latter in parts. Subtitles are in both published forms,
and those of a short clip are of the whole video that it was cut from. Videos are shorter than
their `duration_group` says.
"""

import io
import json
import shutil
import tarfile
from pathlib import Path
from typing import Any

import attrs
import pyarrow as pa
import pyarrow.parquet as pq

from retake.datasets.scenes import COLOURS, Question
from tests.miniatures.clips import clip

VAL, TEST = "lvb_val.json", "lvb_test_wo_gt.json"
VAL_PARQUET, TEST_PARQUET = "validation-00000-of-00001.parquet", "test-00000-of-00001.parquet"
#: As `correct_choice` stands in the parquet file of the test split, whose column is of numbers.
HIDDEN = -1


@attrs.frozen
class Video:
    """A video of the miniature.

    Attributes:
        starts: where in the whole video's subtitles the clip begins, in seconds.
        form: of its subtitles: "line" (start, end, line) or "text" (timestamp, text).
        questions: how many are asked about it.
    """

    video_id: str
    seconds: float
    duration_group: int
    topic: str
    starts: float
    form: str
    questions: int

    @property
    def seed(self) -> int:
        """What is seen, by what it is called."""
        return sum(map(ord, self.video_id))


VIDEOS = (
    Video("-mini015_Ab", 9, 15, "KH-Knowledge-History", 417.0, "line", 2),
    Video("mini060_AbC", 16, 60, "LC-Lifestyle-Cooking-Recipes", 64.5, "line", 2),
    Video("@mini.user-7212345678901234567", 20, 600, "NP-News-Programs", 0, "text", 3),
    Video("mini3600_Ab", 28, 3600, "Recreational: MR-Movie-Recaps", 0, "line", 3),
)
TEST_VIDEOS = (
    Video("test015_AbC", 8, 15, "KA-Knowledge-Art", 30.0, "line", 2),
    Video("test600_AbD", 24, 600, "KS-Knowledge-STEM", 0, "line", 2),
)
CATEGORIES = {
    "needle_colour": ("S2A", "L1-Perception"),
    "needle_shape": ("S2O", "L1-Perception"),
    "needle_exists": ("T2O", "L1-Perception"),
    "scene_colour": ("T2A", "L1-Perception"),
    "scene_shape": ("E2O", "L1-Perception"),
    "needle_first": ("SSS", "L2-Relation"),
    "needle_last": ("E3E", "L2-Relation"),
    "needle_order": ("O3O", "L2-Relation"),
}


def make(
    folder: Path, *, annotations: str = "both", videos: str = "tar", subtitles: str = "tar"
) -> None:
    """Write the miniature.

    Args:
        folder: made where it is missing.
        annotations: "both" as published, "json" or "parquet".
        videos, subtitles: "tar" as published, "folder" once unpacked, "none".
    """
    folder.mkdir(parents=True, exist_ok=True)
    for split, some in (("val", VIDEOS), ("test", TEST_VIDEOS)):
        entries = [entry for video in some for entry in _entries(folder, video)]
        if annotations in ("both", "json"):
            _write_json(folder / (VAL if split == "val" else TEST), entries, split)
        if annotations in ("both", "parquet"):
            _write_parquet(
                folder / (VAL_PARQUET if split == "val" else TEST_PARQUET), entries, split
            )
    for video in (*VIDEOS, *TEST_VIDEOS):
        path = folder / "subtitles" / f"{video.video_id}_en.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(spoken(video)), encoding="utf-8")
    _keep(folder, "videos", videos, parts=3)
    _keep(folder, "subtitles", subtitles, parts=1)


def spoken(video: Video) -> list[dict[str, Any]]:
    """Subtitles of the whole video: a line every two seconds, those before the clip among them."""
    lines: list[dict[str, Any]] = []
    for number, start in enumerate(range(-4, int(video.seconds) + 4, 2)):
        begins, ends = video.starts + start + 0.25, video.starts + start + 1.75
        if begins < 0:
            continue
        if video.form == "line":
            said = f"line {number} is said"
            lines.append({"start": _clock(begins), "end": _clock(ends), "line": said})
        else:
            lines.append({"timestamp": [begins, ends], "text": f" line {number} is said"})
    if video.form == "text":
        lines[-1]["timestamp"][1] = None  # the last one's end was not recognised
    return lines


def _clock(seconds: float) -> str:
    minutes, rest = divmod(seconds, 60)
    return f"{int(minutes) // 60:02d}:{int(minutes) % 60:02d}:{rest:06.3f}"


def _entries(folder: Path, video: Video) -> list[dict[str, Any]]:
    """The entries of one video, all fields, with the right choice."""
    made = clip(folder / "videos" / f"{video.video_id}.mp4", video.seconds, video.seed)
    entries = []
    for number, question in enumerate(_various(made.questions)[: video.questions]):
        candidates = _candidates(question, more=number == 1)
        category, level = CATEGORIES[question.kind]
        entries.append(
            {
                "video_id": video.video_id,
                "question": question.text,
                "question_wo_referring_query": question.text,
                "candidates": candidates,
                "correct_choice": candidates.index(question.answer),
                "position": [4, 12],
                "topic_category": video.topic,
                "question_category": category,
                "level": level,
                "id": f"{video.video_id}_{number}",
                "video_path": f"{video.video_id}.mp4",
                "subtitle_path": f"{video.video_id}_en.json",
                "duration_group": video.duration_group,
                "starting_timestamp_for_subtitles": video.starts,
                "duration": float(video.seconds),
                "view_count": 93803,
            }
        )
    return entries


def _various(questions: tuple[Question, ...]) -> list[Question]:
    """One about a colour, one about a scene, one about whether: then whatever else there is."""
    first = ("needle_shape", "scene_colour", "needle_exists")
    return sorted(questions, key=lambda q: first.index(q.kind) if q.kind in first else len(first))


def _candidates(question: Question, more: bool) -> list[str]:
    """The options; where asked for, a fifth colour before them, so that E may be right."""
    if more:
        other = next(colour for colour in COLOURS if colour not in question.options)
        return [other, *question.options]
    return list(question.options)


def _keep(folder: Path, name: str, how: str, parts: int) -> None:
    """A folder as it is; or in its place a tar archive, in one file or several; or nothing."""
    if how == "folder":
        return
    if how == "tar":
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as archive:
            archive.add(folder / name, arcname=name)
        content = packed.getvalue()
        size = -(-len(content) // parts)
        for part in range(parts):
            title = f"{name}.tar" + (f".part.a{chr(ord('a') + part)}" if parts > 1 else "")
            (folder / title).write_bytes(content[part * size : (part + 1) * size])
    shutil.rmtree(folder / name)


def _write_json(path: Path, entries: list[dict[str, Any]], split: str) -> None:
    left_out = {"correct_choice"} if split == "test" else set()
    shown = [{key: value for key, value in e.items() if key not in left_out} for e in entries]
    path.write_text(json.dumps(shown), encoding="utf-8")


def _write_parquet(path: Path, entries: list[dict[str, Any]], split: str) -> None:
    names = ("video_id", "id", "video_path", "subtitle_path", "question", "duration")
    names += ("duration_group", "question_category", "topic_category")
    names += ("starting_timestamp_for_subtitles",)
    rows = []
    for entry in entries:
        candidates = [*entry["candidates"], *["N/A"] * (5 - len(entry["candidates"]))]
        options = {f"option{number}": text for number, text in enumerate(candidates)}
        right = entry["correct_choice"] if split == "val" else HIDDEN
        rows.append({**{name: entry[name] for name in names}, "correct_choice": right, **options})
    pq.write_table(pa.Table.from_pylist(rows), path)
