"""`retake inspect`: what methods keep of one video, as one HTML page."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .options import FLAGS, SectionCommand, configuration_options, flag_options, section_option

if TYPE_CHECKING:
    from retake.core.config import RunConfig
    from retake.evaluation.cells import Cell
    from retake.evaluation.report.document import Page
    from retake.evaluation.report.filmstrip import Picture
    from retake.evaluation.report.inspection import Inspection
    from retake.video_model import VideoModel

# What is given once for every method, or says how to answer, is no flag here.
_LEFT_OUT = ("prefill.keep_ratio", "prefill.budget", "prefill.positions")


@click.command("inspect", cls=SectionCommand)
@click.argument("video", required=False)
@section_option(
    "--selector",
    "selectors",
    section="Frame selection",
    metavar="NAME",
    multiple=True,
    help="As for `retake run`; repeatable, to see several.",
)
@section_option(
    "--compressor",
    "compressors",
    section="Cache compression",
    metavar="NAME",
    multiple=True,
    help="Likewise; every selector given is combined with every compressor given.",
)
@section_option(
    "--method",
    "methods",
    section="Cache compression",
    metavar="[NAME=]SELECTOR+COMPRESSOR",
    multiple=True,
    help="One pair, under a name of its own; repeatable.",
)
@section_option(
    "--keep-ratio",
    "keep_ratios",
    section="Cache compression",
    type=float,
    metavar="FRACTION",
    multiple=True,
    help="Of the video's tokens; repeatable.",
)
@section_option(
    "--budget",
    "budgets",
    section="Cache compression",
    type=int,
    metavar="TOKENS",
    multiple=True,
    help="Instead: tokens each layer may hold; repeatable.",
)
@section_option(
    "--positions",
    "positions",
    section="Cache compression",
    metavar="[reforge|original]",
    multiple=True,
    help="Position policy; repeatable.",
)
@section_option(
    "--question",
    section="Answer",
    metavar="TEXT",
    help="What the video is watched for, by methods that look at the question.",
)
@configuration_options
@section_option(
    "-o",
    "--output",
    section="Output",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Where the page goes. Default: NAME.inspect.html in this folder.",
)
@flag_options(flag for flag in FLAGS if flag.section != "Answer" and flag.path not in _LEFT_OUT)
def command(
    video: str | None,
    question: str | None,
    output: Path | None,
    show_config: bool,
    **given: Any,
) -> None:
    """Show what methods keep of VIDEO: one HTML page that loads nothing.

    VIDEO is a video file, a folder of numbered pictures, or clip:NAME. The page has the curve by
    which keyframes are found, the keyframes, and for each method what it selects and what each
    layer holds over time.
    """
    from retake.evaluation.report import to_html

    from .pages import place, write
    from .questions import find_video
    from .steps import check_video
    from .sweep_grid import cells_of_flags, overview

    _, base, cells = cells_of_flags({"grid_file": None, "generate_option": (), **given}, {})
    if show_config:
        click.echo(overview(base, cells), nl=False)
        return
    if video is None:
        raise click.UsageError("Missing argument 'VIDEO'.")
    if question is not None:
        from retake.core.questions import check_question

        check_question(question)
    path = find_video(video)
    target = place(output or Path(f"{path.stem or path.name}.inspect.html"), "page")
    check_video(path, base)
    write(target, to_html(_page(video, path, _named(cells), question)))
    click.echo(str(target))


def _named(cells: "list[Cell]") -> "list[tuple[str, RunConfig]]":
    """Configurations and what to call them: the method, and the limit where there are several."""
    # Two cells that cannot differ would show the same twice.
    shown = [cell for cell in cells if cell.same_as is None]
    alone = [cell.method for cell in shown]
    return [
        (
            cell.method if alone.count(cell.method) == 1 else f"{cell.method}, {_point(cell)}",
            cell.config,
        )
        for cell in shown
    ]


def _point(cell: "Cell") -> str:
    """Where in the grid a cell is."""
    from retake.evaluation.report.scales import share_text

    point = cell.point
    words = [
        *([] if point.keep_ratio is None else [f"keeping {share_text(point.keep_ratio)}"]),
        *([] if point.budget is None else [f"{point.budget} tokens"]),
        *([] if point.positions is None else [point.positions]),
    ]
    return ", ".join(words)


def _page(
    name: str, path: Path, configs: "list[tuple[str, RunConfig]]", question: str | None
) -> "Page":
    """Watch the video by every configuration, and draw what came of it."""
    from retake.evaluation.report.filmstrip import keyframes
    from retake.evaluation.report.inspect_page import build_inspection
    from retake.evaluation.report.inspection import inspect

    from .console import progress
    from .steps import load

    with progress() as told:
        loaded, _ = load(configs[0][1], told)
        models = [(label, _model(loaded, config)) for label, config in configs]
        found = inspect(name, path, models, question=question, progress=told)
        steps = keyframes(found.change, found.peaks)
        return build_inspection(found, steps, _pictures(path, configs[0][1], found, steps))


def _model(loaded: "VideoModel", config: "RunConfig") -> "VideoModel":
    return loaded.with_parts(
        selector=config.selector, compressor=config.compressor, prefill=config.prefill
    )


def _pictures(
    path: Path, config: "RunConfig", found: "Inspection", steps: list[int]
) -> "list[Picture]":
    """Of each keyframe the frame that shows what has changed."""
    from retake.evaluation.report.filmstrip import pictures
    from retake.video import open_video

    rules = config.video
    with open_video(
        path,
        reader=rules.reader,
        folder_fps=rules.folder_fps,
        on_bad_frame=rules.on_bad_frame,
        threads=rules.reader_threads,
    ) as reader:
        return list(pictures(reader, [found.moment(step) for step in steps]))
