"""`retake bench`: what watching and asking costs, for variants side by side."""

from contextlib import ExitStack
from typing import Any

import click

from .options import FLAGS, SectionCommand, configuration_options, flag_options, section_option

_DEFAULT_VIDEO = "clip:medium"
_QUESTION = "What happens in the video?"


@click.command("bench", cls=SectionCommand)
@click.argument("video", required=False)
@section_option(
    "--frames",
    section="Frames",
    type=click.IntRange(min=8),
    metavar="COUNT",
    help="Instead of VIDEO: a synthetic one of so many frames (8 or more), all of them sampled.",
)
@section_option(
    "--selector",
    "selectors",
    section="Frame selection",
    metavar="NAME",
    multiple=True,
    help="As for `retake run`; repeatable, to compare several.",
)
@section_option(
    "--selector-option",
    "selector_options",
    section="Frame selection",
    metavar="KEY=VALUE",
    multiple=True,
    help="An option of the selector, where there is one; repeatable.",
)
@section_option(
    "--compressor",
    "compressors",
    section="Cache compression",
    metavar="NAME",
    multiple=True,
    help="As for `retake run`; repeatable, to compare several.",
)
@section_option(
    "--compressor-option",
    "compressor_options",
    section="Cache compression",
    metavar="KEY=VALUE",
    multiple=True,
    help="An option of the compressor, where there is one; repeatable.",
)
@section_option(
    "--question", section="Answer", default=_QUESTION, metavar="TEXT", help="What is asked."
)
@section_option(
    "--generate-option",
    section="Answer",
    metavar="KEY=VALUE",
    multiple=True,
    help="Any other setting of transformers' GenerationConfig; repeatable.",
)
@configuration_options
@section_option(
    "--repeat",
    section="Output",
    type=click.IntRange(min=1),
    default=3,
    show_default=True,
    metavar="COUNT",
    help="Timed runs of each variant, after one that warms up.",
)
@section_option("--json", "as_json", section="Output", is_flag=True, help="One JSON document.")
@flag_options(FLAGS)
def command(
    video: str | None,
    frames: int | None,
    question: str,
    repeat: int,
    as_json: bool,
    show_config: bool,
    **given: Any,
) -> None:
    """Measure watching and asking: times, memory and operations of every stage.

    VIDEO is a video file, a folder of numbered pictures, or clip:NAME (clip:medium if left out);
    --frames makes one. Every selector given is combined with every compressor given; they run
    in turn, and ratios are to the first. Answers are exactly --max-new-tokens long.
    """
    if video is not None and frames is not None:
        raise click.UsageError(
            "--frames makes a video, so VIDEO must be left out; --max-frames limits the frames "
            "of a VIDEO."
        )
    from retake import api
    from retake.core.questions import check_question

    from . import bench_record, bench_report, configuration
    from .bench_runs import load, measure, synthetic
    from .bench_variants import variants_of
    from .console import print_json, progress, quiet_models, stdout
    from .questions import find_video
    from .steps import check_video

    variants = variants_of(given, frames)
    if show_config:
        shown = [configuration.to_yaml(api.resolve(variant.config)) for variant in variants]
        click.echo("---\n".join(shown), nl=False)
        return
    check_question(question)

    quiet_models()
    with ExitStack() as stack:
        told = stack.enter_context(progress())
        if frames is not None:
            name = f"synthetic, {frames} frames"
            path = stack.enter_context(synthetic(frames, variants[0].config, told))
        else:
            name = video or _DEFAULT_VIDEO
            path = find_video(name)
            check_video(path, variants[0].config)
        told("load", 0, 0)
        models = load(variants)
        told("load", 1, 1)
        bench = measure(
            variants, models, path, name=name, question=question, repeat=repeat, told=told
        )
    if as_json:
        print_json(bench_record.document(bench))
    else:
        bench_report.show(bench, stdout())
