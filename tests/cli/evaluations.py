"""Short evaluations that tests begin, and how their folders are looked at."""

import json
from pathlib import Path
from typing import Any

#: Options of the scenes benchmark, besides the folder that the fixture `scenes` fills.
SHORT = ("lengths=[8,16]", "videos=2", "size=64")
#: Options of the runs that the fixtures `done` and `run` make.
SAME = ("--limit", "6", "--keep-ratio", "0.5")
_TIMES = ("watch", "seconds", "first_token_seconds", "token_seconds")


def line(scenes: Path, folder: Path, *more: str | Path) -> list[str | Path]:
    """The command on those videos."""
    options = (f"root={scenes}", *SHORT)
    given = [word for option in options for word in ("--benchmark-option", option)]
    return ["eval", "scenes", *given, "-o", folder, *more]


def lines(path: Path) -> list[dict[str, Any]]:
    """A journal's lines."""
    return [json.loads(each) for each in path.read_text().splitlines()]


def timeless(folder: Path) -> list[dict[str, Any]]:
    """A run's samples without what differs from run to run."""
    return [
        {key: value for key, value in sample.items() if key not in _TIMES}
        for sample in lines(folder / "samples.jsonl")
    ]


def compressions(folder: Path) -> dict[tuple[str, str | None], Any]:
    """What was kept of each video, the last time that it was watched."""
    return {
        (video["video"], video["question"]): (video["frames"], video["compression"])
        for video in lines(folder / "videos.jsonl")
    }
