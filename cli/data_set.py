"""`retake data make scenes -o FOLDER`: the videos of the scenes benchmark, made ahead."""

import shlex
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import click

if TYPE_CHECKING:
    from rich.table import Table

    from retake.datasets.scenes.benchmark import Scenes
    from retake.datasets.scenes.catalogue import Video

#: What only one of the two takes: a single clip, a folder of videos.
CLIP_ONLY = ("minutes", "seed", "force")
SET_ONLY = ("lengths", "videos", "seeds", "needle_seconds", "depths", "background")


def is_set(output: Path, given: dict[str, Any]) -> bool:
    """Whether a folder of videos is asked for, rather than one clip.

    Raises:
        click.UsageError: an option is for the other of the two.
    """
    clip = output.suffix.lower() == ".mp4"
    asked = [name for name in SET_ONLY if given[name] is not None]
    unfit = (
        asked
        if clip
        else [name for name in CLIP_ONLY if given[name] is not None and given[name] is not False]
    )
    if clip and unfit:
        raise click.UsageError(f"{_flag(unfit[0])} is for a folder of videos; '{output}' is one.")
    several = not clip and (bool(asked) or not output.suffix or output.is_dir())
    if several and unfit:
        hint = {"minutes": "--lengths SECONDS,SECONDS", "seed": "--seeds COUNT"}.get(unfit[0])
        instead = f"; there, {hint}" if hint else ""
        raise click.UsageError(
            f"{_flag(unfit[0])} is for one clip, FILE.mp4, and '{output}' is a folder{instead}."
        )
    return several


def make_set(output: Path, given: dict[str, Any], *, as_json: bool) -> None:
    """Make what is missing of the videos, and say what is there."""
    from retake.core.config import structure
    from retake.datasets.scenes.benchmark import Scenes

    from .console import print_json, progress, stdout

    values = {name: _parsed(name, text) for name, text in given.items() if text is not None}
    benchmark = structure(Scenes, {**values, "root": str(output)}, "option of scenes")
    with progress() as told:
        videos = benchmark.make(lambda done, total: told("encode", round(done * 100), total * 100))
    if as_json:
        print_json(_as_data(benchmark, videos))
        return
    console = stdout()
    console.print(str(output), style="bold", soft_wrap=True)
    console.print(_lengths(videos))
    console.print(f"Evaluate: {_evaluation(benchmark)}", soft_wrap=True)


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _parsed(name: str, text: Any) -> Any:
    """An option's value: numbers set apart by commas are a list, a lone count of needles both."""
    from retake.core.config import parse_value

    if not isinstance(text, str):
        return text
    value = parse_value(f"[{text}]") if "," in text else parse_value(text)
    return [value, value] if name in ("needles", "needle_seconds") and "," not in text else value


def _lengths(videos: "tuple[Video, ...]") -> "Table":
    """How many videos there are of each length, and how large they are."""
    from rich.table import Table

    from . import units

    counts = Counter(video.clip.seconds for video in videos)
    grid = Table.grid(padding=(0, 2, 0, 0))
    for seconds, count in counts.items():
        sizes = [v.clip.path.stat().st_size for v in videos if v.clip.seconds == seconds]
        grid.add_row(
            units.length(seconds), f"{count} video{'s'[: count > 1]}", units.memory(sum(sizes))
        )
    return grid


def _evaluation(benchmark: "Scenes") -> str:
    """The command that asks about these videos."""
    from retake.datasets.scenes.benchmark import Scenes

    words = ["retake", "eval", "scenes"]
    for field in attrs.fields(Scenes):
        value = getattr(benchmark, field.name)
        if value != getattr(Scenes(), field.name):
            shown = f"[{','.join(map(str, value))}]" if isinstance(value, tuple) else value
            words += ["--benchmark-option", f"{field.name}={shown}"]
    return f"{shlex.join(words)} -o RUN"


def _as_data(benchmark: "Scenes", videos: "tuple[Video, ...]") -> dict[str, Any]:
    return {
        "folder": str(benchmark.folder),
        "options": attrs.asdict(benchmark),
        "videos": [
            {
                "path": str(video.clip.path),
                "seconds": video.clip.seconds,
                "seed": video.seed,
                "depth": video.depth,
                "needles": len(video.clip.needles),
                "questions": len(video.clip.questions),
            }
            for video in videos
        ],
    }
