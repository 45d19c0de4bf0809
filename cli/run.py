"""`retake run`: watch a video and answer questions about it."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .options import FLAGS, SectionCommand, flag_options, flags_given, section_option

if TYPE_CHECKING:
    from retake.core.config import RunConfig
    from retake.core.memory import Answer, VideoMemory
    from retake.video_model import VideoModel

    from .console import Told
    from .questions import Asked
    from .record import Outcome

_FILE = click.Path(path_type=Path)


@click.command("run", cls=SectionCommand)
@click.argument("video", required=False)
@click.argument("questions", nargs=-1, metavar="[QUESTION]...")
@section_option(
    "--selector",
    section="Frame selection",
    metavar="NAME",
    help="A registered selector, name:key=value,key=value, or file.py:Class.",
)
@section_option(
    "--selector-option",
    section="Frame selection",
    metavar="KEY=VALUE",
    multiple=True,
    help="An option of the selector; repeatable.",
)
@section_option(
    "--compressor",
    section="Cache compression",
    metavar="NAME",
    help="A registered compressor, name:key=value,key=value, or file.py:Class.",
)
@section_option(
    "--compressor-option",
    section="Cache compression",
    metavar="KEY=VALUE",
    multiple=True,
    help="An option of the compressor; repeatable.",
)
@section_option(
    "--questions",
    "questions_file",
    section="Answer",
    type=_FILE,
    metavar="FILE",
    help="Further questions, one a line; - reads stdin.",
)
@section_option(
    "--generate-option",
    section="Answer",
    metavar="KEY=VALUE",
    multiple=True,
    help="Any other setting of transformers' GenerationConfig; repeatable.",
)
@section_option("--preset", section="Configuration", metavar="NAME", help="Published settings.")
@section_option(
    "--config",
    "config_files",
    section="Configuration",
    type=_FILE,
    metavar="FILE",
    multiple=True,
    help="A YAML file over the preset; repeatable, later ones win.",
)
@section_option(
    "--set",
    "settings",
    section="Configuration",
    metavar="PATH=VALUE",
    multiple=True,
    help="Any key of the configuration, such as video.fps=4; repeatable.",
)
@section_option(
    "--show-config",
    section="Configuration",
    is_flag=True,
    help="Print the configuration as YAML and stop; no model is loaded.",
)
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
    Flags win over --config files, those over the --preset, that over the defaults.
    """
    from retake import api

    from . import configuration
    from .console import print_json, stderr, stdout
    from .questions import find_video, gather
    from .report import EMBEDDED, show

    config = _configure(given)
    if show_config:
        click.echo(configuration.to_yaml(api.resolve(config)), nl=False)
        return
    if video is None:
        raise click.UsageError("Missing argument 'VIDEO'.")
    if stream and as_json:
        raise click.UsageError("--stream and --json exclude each other; give one of them.")
    if stream and config.generate.num_beams > 1:
        raise click.UsageError("--stream cannot show beams; leave --beams or --stream out.")
    path = find_video(video)
    _check_video(path, config)
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


def _configure(given: dict[str, Any]) -> "RunConfig":
    from . import configuration

    parts = {kind: (given[kind], given[f"{kind}_option"]) for kind in ("selector", "compressor")}
    extra = [f"generate.extra.{pair}" for pair in given["generate_option"]]
    return configuration.resolve(
        preset=given["preset"],
        files=given["config_files"],
        flags=flags_given(given),
        parts=parts,
        settings=[*extra, *given["settings"]],
    )


def _check_video(path: Path, config: "RunConfig") -> None:
    """Refuse what cannot be watched before a model of many gigabytes is loaded."""
    from retake.video import open_video

    rules = config.video
    open_video(
        path,
        reader=rules.reader,
        folder_fps=rules.folder_fps,
        on_bad_frame=rules.on_bad_frame,
    ).close()


def _run(
    config: "RunConfig", video: Path, asked: "list[Asked]", *, name: str, stream: bool
) -> "Outcome":
    """Load, watch, ask."""
    from retake import api
    from retake.core.memory import StageCost

    from .console import progress, quiet_models
    from .record import Outcome

    quiet_models()
    with progress() as told:
        told("load", 0, 0)
        start = time.perf_counter()
        model = api.from_config(config)
        load = StageCost("load", time.perf_counter() - start, model.backend.peak_memory())
        told("load", 1, 1)
        memory = model.watch(video, questions=[each.text for each in asked], progress=told)
        if not stream:
            answers = list(_ask(model, memory, asked, told))
    if stream:
        answers = list(_stream(model, memory, asked))
    return Outcome(model, config, memory, tuple(answers), load, name)


def _ask(
    model: "VideoModel", memory: "VideoMemory", asked: "list[Asked]", told: "Told"
) -> "Iterator[tuple[Asked, Answer]]":
    for number, each in enumerate(asked):
        told("answer", number, len(asked))
        yield each, model.ask(each.text, memory)


def _stream(
    model: "VideoModel", memory: "VideoMemory", asked: "list[Asked]"
) -> "Iterator[tuple[Asked, Answer]]":
    """Answers whose tokens are printed as they come."""
    from transformers import TextStreamer

    from .console import stdout
    from .report import question_line

    for each in asked:
        stdout().print(question_line(each))
        streamer = TextStreamer(model.adapter.tokenizer, skip_prompt=True, skip_special_tokens=True)
        yield each, model.ask(each.text, memory, streamer=streamer)
        stdout().print()
