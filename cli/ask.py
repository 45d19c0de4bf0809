"""`retake ask`: answer from a memory that `retake watch` made."""

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import click

from .options import FLAGS, SectionCommand, flag_options, flags_given, question_options
from .options import section_option as option
from .run import check_stream

if TYPE_CHECKING:
    from retake.core.config import RunConfig
    from retake.core.memory import StageCost, VideoMemory
    from retake.video_model import VideoModel

    from .console import Told
    from .record import Outcome

# What else of the model decides the memory's numbers is the memory's own.
_MODEL = ("model.path", "model.adapter", "model.backend", "model.attention")


@click.command("ask", cls=SectionCommand)
@click.argument("memory", type=click.Path(path_type=Path))
@click.argument("questions", nargs=-1, metavar="[QUESTION]...")
@question_options
@option("--json", "as_json", section="Output", is_flag=True, help="One JSON document.")
@option("--stream", section="Output", is_flag=True, help="Show tokens as they come.")
@option(
    "--batch",
    section="Answer",
    type=click.IntRange(min=1),
    default=1,
    metavar="COUNT",
    help="Questions answered at a time. More is faster and computes the same up to rounding, so "
    "now and then a token may differ from `retake run`'s. Default: 1, where none does.",
)
@flag_options(flag for flag in FLAGS if flag.section == "Answer" or flag.path in _MODEL)
def command(
    memory: Path,
    questions: tuple[str, ...],
    as_json: bool,
    stream: bool,
    batch: int,
    **given: Any,
) -> None:
    """Answer questions about the video in MEMORY, a file that `retake watch` made.

    A QUESTION of - is read from stdin. Without a question, on a terminal, questions are asked
    one after the other until an empty line. The model and all settings are those that the video
    was watched with, unless an option says otherwise; asking does not change the file.
    """
    from . import steps
    from .chat import chat
    from .console import print_json, progress, stderr, stdout
    from .questions import typed
    from .record import document
    from .report import EMBEDDED, show

    check_stream(stream, as_json, given["set_generate_num_beams"] or 1)
    asked = typed(questions, given["questions_file"])
    if not asked:
        _check_chat(memory, as_json)
    if batch > 1 and (stream or not asked):
        raise click.UsageError("--stream and a chat show one answer at a time; leave --batch out.")
    path = memory.expanduser()
    with progress() as told:
        outcome = _open(path, given, told)
        stream = stream and stdout().is_terminal
        if asked and not stream:
            answers = tuple(steps.answer(outcome.model, outcome.memory, asked, told, batch=batch))
    if not asked:
        chat(outcome)
        return
    if stream:
        answers = tuple(steps.stream(outcome.model, outcome.memory, asked))
    outcome = attrs.evolve(outcome, answers=answers)
    if as_json:
        if outcome.embedded:
            stderr().print(f"The model is {EMBEDDED}.")
        print_json(document(outcome))
        return
    show(outcome, stdout(), answers=not stream)


def _check_chat(memory: Path, as_json: bool) -> None:
    """Refuse to chat with what is no person."""
    if as_json or not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise click.UsageError(
            f"There is no question to ask of '{memory}'. Give one after it: retake ask "
            f'{memory} "What happens?", or --questions FILE; - reads one from stdin.'
        )


def _open(path: Path, given: dict[str, Any], told: "Told") -> "Outcome":
    """The memory, and the model that made it."""
    from retake.asking import check_maker
    from retake.core.memory import StageCost
    from retake.core.memory_file import load_memory, on_device

    from .record import Outcome

    told("open", 0, 0)
    start = time.perf_counter()
    memory = load_memory(path)
    opening = StageCost("open", time.perf_counter() - start)
    told("open", 1, 1)
    made = _as_made(memory)
    config = _with_options(made, given)
    model, loading = _load(config, path, told, own=config.model.path == made.model.path)
    check_maker(model.adapter, model.config.model, memory)
    return Outcome(
        command="ask",
        model=model,
        asked=config,
        config=attrs.evolve(
            made, model=model.config.model, generate=config.generate, seed=config.seed
        ),
        memory=on_device(memory, model.adapter.layer_devices),
        video=str(path) if memory.video is None else memory.video.path,
        spent=(opening, loading),
        file=path,
    )


def _as_made(memory: "VideoMemory") -> "RunConfig":
    """The configuration that the video was watched with."""
    from retake.core.config import RunConfig, structure

    known = {field.name for field in attrs.fields(RunConfig)}
    values = {key: value for key, value in memory.config.items() if key in known}
    return structure(RunConfig, values, "configuration key")


def _with_options(made: "RunConfig", given: dict[str, Any]) -> "RunConfig":
    """The same with what the options change, and without the parts: asking needs none."""
    from retake.core.config import PartOptions

    from . import configuration
    from .steps import generate_settings

    config = configuration.over(made, flags_given(given), generate_settings(given))
    return attrs.evolve(
        config,
        selector=PartOptions("none"),
        compressor=PartOptions("none"),
        prefill=attrs.evolve(config.prefill, budget=None, keep_ratio=None),
    )


def _load(
    config: "RunConfig", path: Path, told: "Told", *, own: bool
) -> "tuple[VideoModel, StageCost]":
    """The model; `own` where it is the one that the memory names."""
    from retake.core.errors import ModelError

    from .steps import load

    try:
        return load(config, told)
    except ModelError as error:
        if not own:
            raise
        raise ModelError(
            error.message,
            hint=f"'{path}' names it as the model that it was made with; if that is elsewhere "
            "now, say where with --model PATH.",
        ) from error
