"""`retake data`: make videos with known answers, list the bundled ones, verify downloaded ones."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .data_verify import command as verify

if TYPE_CHECKING:
    from rich.table import Table

    from retake.datasets.scenes import Clip


@click.group("data", invoke_without_command=True)
@click.pass_context
def command(ctx: click.Context) -> None:
    """Make and list videos with known answers; verify downloaded benchmarks."""
    _help_alone(ctx)


command.add_command(verify)


@command.group("make", invoke_without_command=True)
@click.pass_context
def make(ctx: click.Context) -> None:
    """Make videos."""
    _help_alone(ctx)


def _help_alone(ctx: click.Context) -> None:
    """The help of a group that is given no command, as `retake` alone shows its own."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


@make.command("scenes")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    required=True,
    metavar="FILE.mp4|FOLDER",
    help="One video, its questions and answers beside it as .json; or a folder of many.",
)
@click.option("--minutes", type=float, help="Length of one video. Default: 1.")
@click.option("--seed", type=int, help="Of one video: same seed, same video. Default: 0.")
@click.option("--fps", type=float, default=4.0, show_default=True, help="Frames per second.")
@click.option("--size", type=int, default=224, show_default=True, help="Pixels of a side.")
@click.option(
    "--needles",
    metavar="COUNT",
    help="Cards that flash briefly; in a folder also LEAST,MOST. Default: 1 to 4 by seed.",
)
@click.option("--force", is_flag=True, help="Replace one video that is there.")
@click.option("--lengths", metavar="SECONDS,...", help="In a folder. Default: 64,128,256,512.")
@click.option("--videos", type=int, metavar="COUNT", help="Of each length and seed. Default: 5.")
@click.option("--seeds", metavar="COUNT|LIST", help="In a folder. Default: 1.")
@click.option("--needle-seconds", metavar="LEAST,MOST", help="How long a card is shown.")
@click.option("--depths", metavar="FRACTION,...", help="Where the cards asked about stand.")
@click.option("--background", metavar="[calm|busy|wild]", help="What goes on behind the cards.")
@click.option("--json", "as_json", is_flag=True, help="What was made as a JSON document.")
def scenes(output: Path, as_json: bool, **given: Any) -> None:
    """Make synthetic video: slow scenes, cards that flash, questions with true answers.

    FILE.mp4 is one video. FOLDER holds the videos of the scenes benchmark, of every length, seed
    and depth; what is there already is not made again.
    """
    from .data_set import CLIP_ONLY, is_set, make_set

    if is_set(output, given):
        made = {name: value for name, value in given.items() if name not in CLIP_ONLY}
        make_set(output, made, as_json=as_json)
    else:
        _make_clip(output, given, as_json=as_json)


def _make_clip(output: Path, given: dict[str, Any], *, as_json: bool) -> None:
    _check_output(output, given["force"])
    from retake.datasets.scenes import make_clip

    from .console import print_json, progress, stdout

    with progress() as told:
        clip = make_clip(
            output,
            seconds=60 * (1.0 if given["minutes"] is None else given["minutes"]),
            seed=given["seed"] or 0,
            fps=given["fps"],
            size=given["size"],
            needles=_count(given["needles"]),
            progress=lambda done: told("encode", round(done * 100), 100),
        )
    if as_json:
        print_json(_as_data(clip))
    else:
        _show([clip])
        stdout().print(f"Ask it: retake run {output}", soft_wrap=True)


def _count(needles: str | None) -> int | None:
    try:
        return None if needles is None else int(needles)
    except ValueError:
        raise click.BadParameter(
            f"'{needles}' is not a whole number.", param_hint="--needles"
        ) from None


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
