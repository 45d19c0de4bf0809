"""Asking one question after the other on a terminal."""

import contextlib

import click

from retake.core.errors import RetakeError

from . import units
from .console import stdout
from .record import Outcome
from .report import EMBEDDED, facts
from .steps import stream_one

_PROMPT = "> "
_ENDS = ("", "/quit")


def chat(outcome: Outcome) -> None:
    """Answer what is typed until an empty line, /quit or the end of input.

    A question that cannot be answered ends nothing; Ctrl-C ends an answer, or, where a question
    is awaited, the chat.
    """
    with contextlib.suppress(ImportError):
        import readline  # noqa: F401 - gives input() a history and keys that move the cursor
    _greet(outcome)
    while True:
        try:
            line = input(_PROMPT).strip()
        except EOFError:
            click.echo()
            return
        if line in _ENDS:
            return
        if line == "/info":
            stdout().print(facts(outcome))
        elif line.startswith("/"):
            click.echo(f"There is no {line.split()[0]}; there are /info and /quit.")
        else:
            _answer(outcome, line)


def _greet(outcome: Outcome) -> None:
    video = outcome.memory.video
    length = "" if video is None else f", {units.length(video.duration)}"
    stdout().print(f"{outcome.video}{length}", style="bold")
    if outcome.embedded:
        stdout().print(f"The model is {EMBEDDED}.", style="dim")
    stdout().print(
        "Each question is answered from the video on its own; earlier ones are not remembered. "
        "Ctrl-C stops an answer, /info tells what the answers rest on, and an empty line, /quit "
        "or Ctrl-D ends.",
        style="dim",
    )


def _answer(outcome: Outcome, question: str) -> None:
    model, memory = outcome.model, outcome.memory
    rules = model.config.generate
    single = rules.num_beams == 1 and rules.extra.get("num_return_sequences", 1) == 1
    try:
        if single:
            answer = stream_one(model, memory, question)
        else:
            answer = model.ask(question, memory)
            for text in (answer.text, *answer.alternatives):
                click.echo(text)
        if answer.over_budget:
            stdout().print(
                f"(The cache exceeds the budget of {memory.compression.budget} by "
                f"{answer.over_budget} tokens with this question.)",
                style="dim",
            )
    except RetakeError as error:
        click.echo(f"{error}", err=True)
    except KeyboardInterrupt:
        click.echo("\n(stopped)")
