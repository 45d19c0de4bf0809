"""A miniature of LVBench as it is distributed: four videos, four or five questions each.

The layouts are those of zai-org/LVBench on the hub (video_info.meta.jsonl, a folder of videos and
the same videos in a zip that was cut into parts), of the official download script (videos by
number, each with its address beside it), and of lmms-eval/LVBench (before: lmms-lab/LVBench),
which lmms-eval reads (parquet, zips of videos). A question has its options in it, and several
capabilities at once.
"""

import json
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

from retake.datasets.scenes import Clip
from tests.miniatures.clips import clip

ANNOTATIONS = "video_info.meta.jsonl"
PARQUET = "data/test-00000-of-00001.parquet"
#: Capabilities as annotations name them, and as the official results do; written here again, for
#: what tests expect must not come from the benchmark itself.
SHORT = {
    "key information retrieval": "KIR",
    "event understanding": "EU",
    "summarization": "Sum",
    "entity recognition": "ER",
    "reasoning": "Rea",
    "temporal grounding": "TG",
}


@attrs.frozen
class Video:
    """A video of the miniature.

    Attributes:
        key: as YouTube's; one begins with a dash.
        kind: the published `type`.
    """

    key: str
    kind: str
    seconds: float
    seed: int


VIDEOS = (
    Video("Cm73ma6Ibcs", "cartoon", 12, 1),
    Video("-miniLV0_Ab", "live", 14, 3),
    Video("TiQBTesZUJQ", "sport", 16, 5),
    Video("28CIeC8cZks", "tv", 20, 0),
)
#: What a scene's question is of.
ASKED = {
    "needle_colour": ["entity recognition", "key information retrieval"],
    "needle_shape": ["key information retrieval"],
    "needle_first": ["event understanding", "temporal grounding", "reasoning"],
    "scene_colour": ["entity recognition"],
    "scene_shape": ["summarization"],
}


def make(folder: Path, *, annotations: str = "jsonl", videos: str = "folder") -> None:
    """Write the miniature.

    Args:
        folder: made where it is missing.
        annotations: "jsonl" as the authors publish it, or "parquet" as lmms-eval reads it.
        videos: "folder"; "parts", a zip that was cut up; "chunks", zips; "numbered", as the
            download script leaves them; "none".
    """
    with TemporaryDirectory() as made:
        clips = {
            video.key: clip(Path(made) / f"{video.key}.mp4", video.seconds, video.seed)
            for video in VIDEOS
        }
        uids = iter(range(1000))
        rows = [_video(video, clips[video.key], uids) for video in VIDEOS]
        (_write_jsonl if annotations == "jsonl" else _write_parquet)(folder, rows)
        keep = {
            "folder": _in_folder,
            "parts": _in_parts,
            "chunks": _in_chunks,
            "numbered": _numbered,
            "none": lambda *_: None,
        }[videos]
        keep(folder, [made.path for made in clips.values()])


def _video(video: Video, made: Clip, uids: Iterator[int]) -> dict[str, Any]:
    asked = [question for question in made.questions if question.kind in ASKED]
    return {
        "key": video.key,
        "type": video.kind,
        "video_info": {
            "duration_minutes": made.seconds / 60,
            "fps": made.fps,
            "resolution": {"width": made.size, "height": made.size},
        },
        "qa": [
            {
                "uid": str(next(uids)),
                "question": "\n".join([question.text, *_lettered(question.options)]),
                "answer": question.letter,
                "question_type": ASKED[question.kind],
                "time_reference": "00:02-00:05",
            }
            for question in asked
        ],
    }


def _lettered(options: Sequence[str]) -> list[str]:
    return [f"({letter}) {option}" for letter, option in zip("ABCD", options, strict=True)]


def _write_jsonl(folder: Path, rows: list[dict[str, Any]]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps(row, ensure_ascii=False) for row in rows]
    (folder / ANNOTATIONS).write_text("\n".join(lines) + "\n", encoding="utf-8")


def _write_parquet(folder: Path, rows: list[dict[str, Any]]) -> None:
    """A row a question, without the length of its video."""
    flat = [
        {"key": row["key"], "video_path": f"{row['key']}.mp4", "type": row["type"], **question}
        for row in rows
        for question in row["qa"]
    ]
    path = folder / PARQUET
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(flat), path)


def _in_folder(folder: Path, videos: list[Path]) -> None:
    (folder / "videos").mkdir(parents=True, exist_ok=True)
    for video in videos:
        copyfile(video, folder / "videos" / video.name)


def _in_parts(folder: Path, videos: list[Path]) -> None:
    whole = BytesIO()
    _zip(whole, videos, "all_videos")
    content = whole.getvalue()
    third = len(content) // 3 + 1
    for number in range(3):
        part = content[number * third : (number + 1) * third]
        (folder / f"all_videos_split.zip.{number + 1:03d}").write_bytes(part)


def _in_chunks(folder: Path, videos: list[Path]) -> None:
    (folder / "video_chunks").mkdir(parents=True, exist_ok=True)
    for number, some in enumerate((videos[::2], videos[1::2]), start=1):
        _zip(folder / "video_chunks" / f"videos_chunk_{number:03d}.zip", some, "")


def _numbered(folder: Path, videos: list[Path]) -> None:
    """As video2dataset writes them; the last could not be fetched."""
    shard = folder / "videos" / "00000"
    shard.mkdir(parents=True)
    for number, video in enumerate(videos):
        name = f"00000{number:04d}"
        is_there = number < len(videos) - 1
        if is_there:
            copyfile(video, shard / f"{name}.mp4")
        note = {
            "url": f"https://www.youtube.com/watch?v={video.stem}",
            "key": name,
            "status": "success" if is_there else "failed_to_download",
        }
        (shard / f"{name}.json").write_text(json.dumps(note), encoding="utf-8")


def _zip(to: Path | BytesIO, videos: list[Path], folder: str) -> None:
    with zipfile.ZipFile(to, "w") as archive:
        for video in videos:
            archive.write(video, f"{folder}/{video.name}" if folder else video.name)
