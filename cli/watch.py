"""`retake watch`: watch a video once, and keep what is left of it in a file."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .options import (
    FLAGS,
    SectionCommand,
    configuration_options,
    flag_options,
    part_options,
    section_option,
)

if TYPE_CHECKING:
    from retake.core.config import RunConfig

    from .record import Outcome

SUFFIX = ".retake"


@click.command("watch", cls=SectionCommand)
@click.argument("video", required=False)
@section_option(
    "-o",
    "--output",
    section="Output",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="What is written. Default: the video's name with .retake, in the current folder.",
)
@part_options
@configuration_options
@section_option("--json", "as_json", section="Output", is_flag=True, help="One JSON document.")
@flag_options(flag for flag in FLAGS if flag.section != "Answer")
def command(
    video: str | None, output: Path | None, as_json: bool, show_config: bool, **given: Any
) -> None:
    """Watch VIDEO once and keep its memory in a file, for `retake ask`.

    VIDEO is a video file, a folder of numbered pictures, or clip:NAME. Questions are not known
    yet: --reserve sets aside tokens of the budget for the longest of them. A memory that is at
    the same place already is replaced once the new one is complete; no other file ever is.
    """
    from retake import api
    from retake.core.memory_file import check_target

    from . import configuration
    from .console import print_json, stderr, stdout
    from .questions import find_video
    from .record import document
    from .report import EMBEDDED, show
    from .steps import check_kept, check_video, configure, from_anywhere

    config = from_anywhere(configure(given))
    if show_config:
        click.echo(configuration.to_yaml(api.resolve(config)), nl=False)
        return
    if video is None:
        raise click.UsageError("Missing argument 'VIDEO'.")
    check_kept(config)
    path = find_video(video)
    target = _default_name(path) if output is None else output.expanduser()
    check_target(target)
    check_video(path, config)
    outcome = _watch(config, path, target, name=video)
    if as_json:
        if outcome.embedded:
            stderr().print(f"The model is {EMBEDDED}.")
        print_json(document(outcome))
        return
    show(outcome, stdout())
    stdout().print(f'\nAsk it: retake ask {target} "What happens?"', soft_wrap=True)


def _watch(config: "RunConfig", video: Path, target: Path, *, name: str) -> "Outcome":
    """Load, watch, save."""
    from retake.core.memory import StageCost

    from . import steps
    from .console import progress
    from .record import Outcome

    with progress() as told:
        model, loading = steps.load(config, told)
        memory = model.watch(video, progress=told)
        told("save", 0, 0)
        start = time.perf_counter()
        memory.save(target)
        saving = StageCost("save", time.perf_counter() - start, model.backend.peak_memory())
        told("save", 1, 1)
    return Outcome(
        command="watch",
        model=model,
        asked=config,
        config=model.config,
        memory=memory,
        video=name,
        spent=(loading, *memory.costs, saving),
        file=target,
    )


def _default_name(video: Path) -> Path:
    """The video's name with another suffix, in the current folder."""
    whole = video.resolve()
    return Path(f"{whole.name if whole.is_dir() else whole.stem}{SUFFIX}")
