"""A miniature of Video-MME as it is distributed: six videos, three questions each.

The layout is that of lmms-eval/Video-MME (before: lmms-lab/Video-MME) on the hub: a parquet file
of 2700 rows, twenty zips of videos and one of subtitles; and that of the authors'
`output_test_template.json` (github.com/BradyFU/Video-MME, evaluation/). Subtitles overlap and
stand in font tags, as those on the hub do; two videos have none.
"""

import json
import zipfile
from pathlib import Path
from typing import Any

import attrs
import pyarrow as pa
import pyarrow.parquet as pq

from retake.datasets.scenes import Clip, Question
from tests.miniatures.clips import clip

PARQUET = "videomme/test-00000-of-00001.parquet"
JSON = "videomme.json"


@attrs.frozen
class Video:
    """A video of the miniature; its columns are called as published."""

    video_id: str
    duration: str
    domain: str
    sub_category: str
    seconds: float
    has_subtitles: bool = True

    @property
    def videoID(self) -> str:  # noqa: N802
        """Eleven characters, as YouTube's are; they may begin with a dash."""
        return f"-mini{self.video_id}_Ab"

    @property
    def url(self) -> str:
        """Where it would have come from."""
        return f"https://www.youtube.com/watch?v={self.videoID}"


VIDEOS = (
    Video("001", "short", "Knowledge", "Humanity & History", 8),
    Video("002", "short", "Sports Competition", "Football", 8, has_subtitles=False),
    Video("301", "medium", "Film & Television", "Animation", 12),
    Video("302", "medium", "Life Record", "Food", 14, has_subtitles=False),
    Video("601", "long", "Artistic Performance", "Magic Show", 20),
    Video("602", "long", "Multilingual", "Multilingual", 24),
)
TASKS = {
    "needle_colour": "Attribute Perception",
    "scene_colour": "Attribute Perception",
    "needle_shape": "Object Recognition",
    "scene_shape": "Object Recognition",
    "needle_first": "Temporal Perception",
    "needle_last": "Temporal Reasoning",
}


def make(
    folder: Path, *, annotations: str = "parquet", videos: str = "zip", subtitles: str = "zip"
) -> None:
    """Write the miniature.

    Args:
        folder: made where it is missing.
        annotations: "parquet" as on the hub, "json" as the authors' template.
        videos, subtitles: "zip" as on the hub, "folder" once unpacked, "none".
    """
    clips = {video.videoID: _film(folder, video) for video in VIDEOS}
    rows = [row for video in VIDEOS for row in _rows(video, clips[video.videoID])]
    (_write_parquet if annotations == "parquet" else _write_json)(folder, rows)
    half = len(VIDEOS) // 2
    for number, some in ((1, VIDEOS[:half]), (2, VIDEOS[half:])):
        files = {f"data/{video.videoID}.mp4": clips[video.videoID].path for video in some}
        contents = {name: path.read_bytes() for name, path in files.items()}
        _keep(folder, f"videos_chunked_{number:02d}.zip", contents, videos)
    for made in clips.values():
        made.path.unlink()
    (folder / "made").rmdir()
    spoken = {
        f"subtitle/{video.videoID}.srt": srt(video.seconds).encode()
        for video in VIDEOS
        if video.has_subtitles
    }
    _keep(folder, "subtitle.zip", spoken, subtitles)


def srt(seconds: float) -> str:
    """A line every two seconds, each for three: two are shown at a time, as YouTube's are."""
    blocks = []
    for number, start in enumerate(range(0, int(seconds), 2), start=1):
        span = f"00:00:{start:02d},250 --> 00:00:{start + 3:02d},250"
        text = f'<font color="white" size=".72c">line {number} is said</font>'
        blocks.append(f"{number}\n{span}\n{text}\n")
    return "\n".join(blocks)


def _film(folder: Path, video: Video) -> Clip:
    return clip(folder / "made" / f"{video.videoID}.mp4", video.seconds, int(video.video_id))


def _rows(video: Video, made: Clip) -> list[dict[str, Any]]:
    """Three questions with four options, a row each."""
    known = attrs.asdict(video, filter=attrs.filters.exclude("seconds", "has_subtitles"))
    asked = [question for question in made.questions if question.kind in TASKS][:3]
    return [
        {
            **known,
            "url": video.url,
            "videoID": video.videoID,
            "question_id": f"{video.video_id}-{number}",
            "task_type": TASKS[question.kind],
            "question": question.text,
            "options": _options(question),
            "answer": question.letter,
        }
        for number, question in enumerate(asked, start=1)
    ]


def _options(question: Question) -> list[str]:
    """As published: "A. Red."."""
    pairs = zip("ABCD", question.options, strict=True)
    return [f"{letter}. {option.capitalize()}." for letter, option in pairs]


def _write_parquet(folder: Path, rows: list[dict[str, Any]]) -> None:
    path = folder / PARQUET
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), path)


def _write_json(folder: Path, rows: list[dict[str, Any]]) -> None:
    """The template's layout: videos, each with its questions."""
    asked = ("question_id", "task_type", "question", "options", "answer")
    videos: dict[str, dict[str, Any]] = {}
    for row in rows:
        whole = {key: value for key, value in row.items() if key not in asked}
        video = videos.setdefault(row["video_id"], {**whole, "questions": []})
        video["questions"].append({key: row[key] for key in asked})
    (folder / JSON).write_text(json.dumps(list(videos.values()), indent=4), encoding="utf-8")


def _keep(folder: Path, archive: str, contents: dict[str, bytes], how: str) -> None:
    """In an archive, as files, or not at all."""
    if how == "zip":
        with zipfile.ZipFile(folder / archive, "w") as opened:
            for name, content in contents.items():
                opened.writestr(name, content)
    elif how == "folder":
        for name, content in contents.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
