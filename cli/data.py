"""`retake data`: make videos with known answers, and list the bundled ones."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.table import Table

    from retake.datasets.scenes import Clip


@click.group("data", no_args_is_help=True)
def command() -> None:
    """Make and list videos with known answers."""


@command.group("make", no_args_is_help=True)
def make() -> None:
    """Make a video."""


@make.command("scenes")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    required=True,
    metavar="FILE.mp4",
    help="The video; questions and answers go beside it, as .json.",
)
@click.option("--minutes", type=float, default=1.0, show_default=True, help="Length.")
@click.option("--seed", type=int, default=0, show_default=True, help="Same seed, same video.")
@click.option("--fps", type=float, default=4.0, show_default=True, help="Frames per second.")
@click.option("--size", type=int, default=224, show_default=True, help="Pixels of a side.")
@click.option("--needles", type=int, help="Cards that flash briefly. Default: 1 to 4 by seed.")
@click.option("--force", is_flag=True, help="Replace what is there.")
@click.option("--json", "as_json", is_flag=True, help="The questions as a JSON document.")
def scenes(
    output: Path,
    minutes: float,
    seed: int,
    fps: float,
    size: int,
    needles: int | None,
    force: bool,
    as_json: bool,
) -> None:
    """Make a synthetic video: slow scenes, cards that flash, questions with true answers."""
    _check_output(output, force)
    from retake.datasets.scenes import make_clip

    from .console import print_json, progress, stdout

    with progress() as told:
        clip = make_clip(
            output,
            seconds=minutes * 60,
            seed=seed,
            fps=fps,
            size=size,
            needles=needles,
            progress=lambda done: told("encode", round(done * 100), 100),
        )
    if as_json:
        print_json(_as_data(clip))
    else:
        _show([clip])
        stdout().print(f"Ask it: retake run {output}", soft_wrap=True)


@command.command("clips")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
def list_clips(as_json: bool) -> None:
    """List the bundled clips: what each is asked, and the true answers."""
    from retake.datasets.scenes import Clip
    from retake.models.embedded import clips

    from .console import print_json

    found = [Clip.load(path.with_suffix(".json")) for path in clips()]
    if as_json:
        print_json([_as_data(clip) for clip in found])
    elif found:
        _show(found, prefix="clip:")
    else:
        click.echo("No clips are bundled.")


def _check_output(path: Path, force: bool) -> None:
    """Refuse what cannot be written, before anything is drawn."""
    if path.suffix.lower() != ".mp4":
        raise click.UsageError(f"'{path}' must end in .mp4: that is what is written.")
    if not path.parent.is_dir():
        raise click.UsageError(f"Cannot write '{path}': there is no folder '{path.parent}'.")
    if not os.access(path.parent, os.W_OK):
        raise click.UsageError(f"Cannot write '{path}': the folder is not writable.")
    if path.is_dir():
        raise click.UsageError(f"'{path}' is a folder.")
    for taken in (path, path.with_suffix(".json")):
        if taken.exists() and not force:
            raise click.UsageError(f"'{taken}' exists; --force replaces it.")


def _show(clips: "list[Clip]", prefix: str = "") -> None:
    from . import units
    from .console import stdout

    console = stdout()
    for number, clip in enumerate(clips):
        if number:
            console.print()
        name = f"{prefix}{clip.path.stem}" if prefix else str(clip.path)
        size = units.memory(clip.path.stat().st_size)
        about = (
            f"{units.length(clip.seconds)} · {clip.size} × {clip.size} · {clip.fps:g} fps · {size}"
        )
        console.print(name, style="bold")
        if prefix:
            console.print(str(clip.path), style="dim", soft_wrap=True)
        console.print(about, style="dim")
        console.print(_questions(clip))


def _questions(clip: "Clip") -> "Table":
    from rich.table import Table

    grid = Table.grid(padding=(0, 2, 0, 0))
    for question in clip.questions:
        grid.add_row(question.text, question.answer)
    return grid


def _as_data(clip: "Clip") -> dict[str, Any]:
    return {
        "name": clip.path.stem,
        "path": str(clip.path),
        "seconds": clip.seconds,
        "fps": clip.fps,
        "size": clip.size,
        "seed": clip.seed,
        "questions": [
            {
                "question": question.text,
                "options": list(question.options),
                "kind": question.kind,
                "expected": question.answer,
            }
            for question in clip.questions
        ],
    }
