"""What a request of lmms-eval asks about which video; all else is refused by name."""

from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any, NoReturn

import attrs

from retake.core.errors import UsageError

#: The key under which lmms-eval's side sends the type of what is no plain data.
NO_DATA = "python type"
_SUPPORTED = "retake answers questions about one video, given by its path."
_PICTURES = {".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff"}
_SOUNDS = {".wav", ".mp3", ".flac", ".m4a", ".ogg", ".opus", ".aac"}
_SPANS = ("start_time", "end_time", "video_start", "video_end")


@attrs.frozen
class Asked:
    """A question about a video's file, or a folder of numbered frames."""

    video: str
    question: str


def from_messages(messages: Any, task: str) -> Asked:
    """What chat messages ask ("role", "content"), as a task's `doc_to_messages` gives them.

    Raises:
        UsageError: they are not one video and then text, of one user.
    """
    if not isinstance(messages, Sequence) or not messages:
        _refuse(task, "gives no messages", "Tasks of text alone have none.")
    roles = [message["role"] for message in messages]
    if roles != ["user"]:
        _refuse(
            task,
            f"gives messages of {', '.join(roles)}",
            "The checkpoint's own template goes around a single message of the user. "
            "--force_simple takes the task's plain text instead, where it has one.",
        )
    content = messages[0]["content"]
    items = [{"type": "text", "text": content}] if isinstance(content, str) else list(content)
    kinds = [item["type"] for item in items]
    video = _only(task, [_medium(task, item) for item in items if item["type"] != "text"])
    if "text" in kinds[: kinds.index("video")]:
        _refuse(task, "has text in front of the video", "A question follows its video.")
    return Asked(video, "".join(item["text"] for item in items if item["type"] == "text"))


def from_visuals(visuals: Any, context: str, task: str) -> Asked:
    """What a task's `doc_to_visual` and its text ask.

    Raises:
        UsageError: they are not one video's path and text.
    """
    listed = list(visuals) if isinstance(visuals, list | tuple) else [visuals]
    present = [visual for visual in listed if visual is not None]
    return Asked(_only(task, [_path(task, visual) for visual in present]), context)


def _only(task: str, videos: Sequence[str]) -> str:
    if not videos:
        _refuse(task, "asks about no video")
    if len(videos) > 1:
        _refuse(task, f"asks about {len(videos)} videos at once")
    return videos[0]


def _medium(task: str, item: Mapping[str, Any]) -> str:
    """The path in a message's item that is not text."""
    if item["type"] != "video":
        _refuse(task, f"asks about a medium of the type '{item['type']}'")
    span = [name for name in _SPANS if item.get(name) is not None]
    if span:
        _refuse(task, f"asks about a part of a video ({', '.join(span)})", _CUT)
    url = item["url"]
    return _path(task, url[0] if isinstance(url, list) and len(url) == 1 else url)


_CUT = "Cut the videos beforehand."


def _path(task: str, visual: Any) -> str:
    """A visual that is a video's path."""
    if isinstance(visual, Mapping) and NO_DATA in visual:
        _refuse(
            task,
            f"gives a {visual[NO_DATA]} where a video's path is expected",
            "Of pictures, and of frames that were decoded already, times and rate are not known. "
            "Take the task's variant that gives paths (longvideobench_val_v, not _i).",
        )
    if isinstance(visual, Mapping):
        if any(name in visual for name in _SPANS):
            _refuse(task, "asks about a part of a video", _CUT)
        _refuse(task, f"gives a medium with the keys {', '.join(visual)}")
    if not isinstance(visual, str):
        _refuse(task, f"gives {visual!r} where a video's path is expected")
    path = visual.removeprefix("file://")
    if "://" in path:
        _refuse(task, f"gives the address {path}", "Download the videos beforehand.")
    suffix = PurePath(path).suffix.lower()
    if suffix in _PICTURES | _SOUNDS:
        _refuse(task, f"asks about a {'picture' if suffix in _PICTURES else 'sound'} ({path})")
    return path


def _refuse(task: str, what: str, why: str = "") -> NoReturn:
    raise UsageError(f"The task '{task}' {what}.", hint=f"{_SUPPORTED} {why}".rstrip())
