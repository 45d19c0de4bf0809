"""How far an evaluation is: on a terminal bars, an ETA and the accuracy so far."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from retake.evaluation.folder import RunFolder
from retake.evaluation.records import Failure, SampleRecord

from .console import stderr

# An answer may take minutes; the time left is judged by all of the last thousand.
_REMEMBERED = 7 * 24 * 3600.0


class Shown:
    """What is shown of an evaluation while it runs; failures and notes also off a terminal."""

    def __init__(self, console: Console, bars: Progress | None) -> None:
        self._console = bars.console if bars else console
        self._bars = bars
        self._tasks: dict[str, TaskID] = {}
        self._scores: list[float] = []
        self._total = 0

    def making(self, done: float, total: int) -> None:
        """How many of a benchmark's videos are there."""
        self._update("videos", done, total)

    def begin(self, folder: RunFolder, *, resume: bool) -> None:
        """The run is open: say what was found."""
        self._total = folder.header.samples_total
        self._scores = [sample.score for sample in folder.found.samples]
        for note in folder.notes:
            self._say(f"Note: {note}")
        if resume and not folder.found.sessions:
            self._say(f"There was no run in '{folder.folder}' yet; one was begun.")
        self._hide("videos", "load")
        self._count()

    def told(self, stage: str, done: int, total: int) -> None:
        """How far the video of the moment is."""
        if stage == "watch" and done < total:
            self._hide("prefill")
        self._update(stage, done, total)

    def sample(self, record: SampleRecord) -> None:
        """A sample is on the disk."""
        self._scores.append(record.score)
        self._count()

    def failure(self, failure: Failure) -> None:
        """A video failed, and the run goes on."""
        count = len(failure.samples)
        self._say(
            f"Failed: {failure.reason} ({count} question{'s' if count != 1 else ''} about "
            f"'{failure.video}' unanswered)"
        )

    def interrupted(self, folder: RunFolder) -> None:
        """Ctrl-C: say what is kept."""
        self._say(
            f"{len(folder.answered)} of {self._total} samples are answered and kept in "
            f"'{folder.folder}'; --resume goes on with them."
        )

    def _say(self, text: str) -> None:
        self._console.print(Text(text), soft_wrap=True)

    def _count(self) -> None:
        done = len(self._scores)
        share = f"  {100 * sum(self._scores) / done:.1f} % right" if done else ""
        self._update("samples", done, self._total, share)

    def _update(self, name: str, done: float, total: int, more: str = "") -> None:
        if self._bars is None:
            return
        if name not in self._tasks:
            self._tasks[name] = self._bars.add_task(name, total=None, completed=int(done), count="")
        count = f"{done:,.0f} / {total:,}{more}" if total else ""
        task = self._tasks[name]
        self._bars.update(task, completed=done, total=total or None, count=count, visible=True)

    def _hide(self, *names: str) -> None:
        for name in names:
            if self._bars is not None and name in self._tasks:
                self._bars.update(self._tasks[name], visible=False)


@contextmanager
def evaluation_progress() -> Iterator[Shown]:
    """Shows on stderr how far an evaluation is."""
    console = stderr()
    if not console.is_terminal:
        yield Shown(console, None)
        return
    columns = (
        TextColumn("{task.description:<8}", style="dim"),
        BarColumn(bar_width=24),
        TextColumn("{task.fields[count]}", style="dim"),
        TimeElapsedColumn(),
        TextColumn("left", style="dim"),
        TimeRemainingColumn(),
    )
    with Progress(
        *columns, console=console, transient=True, speed_estimate_period=_REMEMBERED
    ) as bars:
        yield Shown(console, bars)
