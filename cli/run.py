"""`retake run`: watch a video and answer questions about it."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .options import (
    FLAGS,
    SectionCommand,
    configuration_options,
    flag_options,
    part_options,
    question_options,
    section_option,
)

if TYPE_CHECKING:
    from retake.core.config import RunConfig

    from .questions import Asked
    from .record import Outcome


@click.command("run", cls=SectionCommand)
@click.argument("video", required=False)
@click.argument("questions", nargs=-1, metavar="[QUESTION]...")
@part_options
@question_options
@configuration_options
@section_option("--json", "as_json", section="Output", is_flag=True, help="One JSON document.")
@section_option("--stream", section="Output", is_flag=True, help="Show tokens as they come.")
@flag_options(FLAGS)
def command(
    video: str | None,
    questions: tuple[str, ...],
    as_json: bool,
    stream: bool,
    show_config: bool,
    **given: Any,
) -> None:
    """Ask questions about VIDEO, a video file, a folder of numbered pictures, or clip:NAME.

    A QUESTION of - is read from stdin. Without a question, a bundled clip and a video of
    `retake data make scenes` are asked their own, and the true answers are shown beside.
    Flags win over --config files, those over the --preset, that over the defaults. With a selector
    or a compressor that looks at the question, the video is watched anew for each of them.
    """
    from retake import api

    from . import configuration
    from .console import print_json, stderr, stdout
    from .questions import find_video, gather
    from .report import EMBEDDED, show
    from .steps import check_video, configure

    config = configure(given)
    if show_config:
        click.echo(configuration.to_yaml(api.resolve(config)), nl=False)
        return
    if video is None:
        raise click.UsageError("Missing argument 'VIDEO'.")
    check_stream(stream, as_json, config.generate.num_beams)
    path = find_video(video)
    check_video(path, config)
    asked = gather(path, questions, given["questions_file"])
    stream = stream and stdout().is_terminal
    outcome = _run(config, path, asked, name=video, stream=stream)
    if as_json:
        from .record import document

        if outcome.embedded:
            stderr().print(f"The model is {EMBEDDED}.")
        print_json(document(outcome))
        return
    show(outcome, stdout(), answers=not stream)


def check_stream(stream: bool, as_json: bool, beams: int) -> None:
    """Refuse to stream what cannot be."""
    if stream and as_json:
        raise click.UsageError("--stream and --json exclude each other; give one of them.")
    if stream and beams > 1:
        raise click.UsageError("--stream cannot show beams; leave --beams or --stream out.")


def _run(
    config: "RunConfig", video: Path, asked: "list[Asked]", *, name: str, stream: bool
) -> "Outcome":
    """Load, watch, ask."""
    from . import steps
    from .console import progress
    from .record import Outcome

    with progress() as told:
        model, loading = steps.load(config, told)
        anew = model.needs_question and len(asked) > 1
        if anew:
            memories = steps.watch_each(model, video, asked, told)
        else:
            texts = [each.text for each in asked]
            memories = [model.watch(video, questions=texts, progress=told)]
        groups = [[each] for each in asked] if anew else [asked]
        pairs = list(zip(memories, groups, strict=True))
        if not stream:
            answers = tuple(
                pair for memory, some in pairs for pair in steps.answer(model, memory, some, told)
            )
    if stream:
        answers = tuple(
            pair for memory, some in pairs for pair in steps.stream(model, memory, some)
        )
    return Outcome(
        command="run",
        model=model,
        asked=config,
        config=model.config,
        memory=memories[0],
        video=name,
        spent=(loading, *memories[0].costs),
        answers=answers,
    )
