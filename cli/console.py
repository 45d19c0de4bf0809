"""Where output goes: results to stdout, progress and notes to stderr, each as it can show."""

import json
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

#: Called with a stage's name, how much of it is done, and how much there is.
Told = Callable[[str, int, int], None]


_NUMBERS = re.compile(r"\[\s+-?\d[^\[\]{}\"]*\]")
_PIPED = 200  # columns of a listing that is piped, so that a line stays a line


def stdout(*, wide: bool = False) -> Console:
    """The console of results; colour only on a terminal, and never where NO_COLOR is set.

    Args:
        wide: keep lines long where stdout is no terminal and COLUMNS is not set.
    """
    piped = wide and not sys.stdout.isatty() and "COLUMNS" not in os.environ
    return Console(
        file=sys.stdout,
        highlight=False,
        markup=False,
        emoji=False,
        width=_PIPED if piped else None,
    )


def stderr() -> Console:
    """The console of progress, notes and errors."""
    return Console(file=sys.stderr, highlight=False, markup=False, emoji=False)


def print_json(data: Any) -> None:
    """One JSON document on stdout, indented, its lists of numbers on one line each."""
    text = json.dumps(data, indent=2, ensure_ascii=False)
    click.echo(_NUMBERS.sub(lambda found: f"[{' '.join(found[0][1:-1].split())}]", text))


@contextmanager
def progress(enabled: bool = True) -> Iterator[Told]:
    """Show on stderr how far each stage is; nothing where stderr is no terminal."""
    console = stderr()
    if not enabled or not console.is_terminal:
        yield lambda stage, done, total: None
        return
    tasks: dict[str, TaskID] = {}
    columns = (
        TextColumn("{task.description:<8}", style="dim"),
        BarColumn(bar_width=30),
        TextColumn("{task.fields[count]:>13}", style="dim"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bars:

        def told(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(stage, total=total or None, count="")
            count = f"{done:,} / {total:,}" if total else ""
            bars.update(tasks[stage], completed=done, total=total or None, count=count)

        yield told


def quiet_models() -> None:
    """Keep `transformers` from reporting its loading; `retake --debug` lets it."""
    from transformers.utils import logging

    if not click.get_current_context().find_root().obj["debug"]:
        logging.set_verbosity_error()  # type: ignore[no-untyped-call]
        logging.disable_progress_bar()  # type: ignore[no-untyped-call]
