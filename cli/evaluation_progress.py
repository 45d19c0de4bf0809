"""How far an evaluation is: on a terminal bars, an ETA and the accuracy so far."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

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


def told(failure: Failure) -> str:
    """A failure as a sentence or two."""
    about = "" if failure.video in failure.reason else f"{failure.video}: "
    count = len(failure.samples)
    left = "1 question is" if count == 1 else f"{count} questions are"
    return f"{about}{failure.reason.rstrip('.')}. {left} unanswered."


class Bars:
    """Bars by name, and lines above them; off a terminal only the lines."""

    def __init__(self, console: Console, bars: Progress | None) -> None:
        self._console = bars.console if bars else console
        self._bars = bars
        self._tasks: dict[str, TaskID] = {}

    @property
    def shown(self) -> bool:
        """Whether there are bars."""
        return self._bars is not None

    def say(self, text: str) -> None:
        """A line that stays."""
        self._console.print(Text(text), soft_wrap=True)

    def update(self, name: str, done: float, total: int, more: str = "") -> None:
        """Move a bar; one that is not there yet appears."""
        if self._bars is None:
            return
        if name not in self._tasks:
            self._tasks[name] = self._bars.add_task(name, total=None, completed=int(done), count="")
        count = f"{done:,.0f} / {total:,}{more}" if total else ""
        task = self._tasks[name]
        self._bars.update(task, completed=done, total=total or None, count=count, visible=True)

    def hide(self, *names: str) -> None:
        """Take bars away until they move again."""
        for name in names:
            if self._bars is not None and name in self._tasks:
                self._bars.update(self._tasks[name], visible=False)


class Shown(Bars):
    """What is shown of an evaluation while it runs; failures and notes also off a terminal."""

    def __init__(self, console: Console, bars: Progress | None) -> None:
        super().__init__(console, bars)
        self._scores: list[float] = []
        self._answered = 0
        self._total = 0

    def making(self, done: float, total: int) -> None:
        """How many of a benchmark's videos are there."""
        self.update("videos", done, total)

    def begin(self, folder: RunFolder, *, resume: bool) -> None:
        """The run is open: say what was found."""
        self._total = folder.header.samples_total
        self._scores = []
        for sample in folder.found.samples:
            self._add(sample)
        for note in folder.notes:
            self.say(f"Note: {note}")
        if resume and not folder.found.sessions:
            self.say(f"There was no run in '{folder.folder}' yet; one was begun.")
        self.hide("videos", "load")
        self._count()

    def told(self, stage: str, done: int, total: int) -> None:
        """How far the video of the moment is."""
        if stage == "watch" and done < total:
            self.hide("prefill")
        self.update(stage, done, total)

    def sample(self, record: SampleRecord) -> None:
        """A sample is on the disk."""
        self._add(record)
        self._count()

    def failure(self, failure: Failure) -> None:
        """A video failed, and the run goes on."""
        self.say(f"Failed: {told(failure)}")

    def interrupted(self, folder: RunFolder) -> None:
        """Ctrl-C: say what is kept."""
        self.say(
            f"{len(folder.answered)} of {self._total} samples are answered and kept in "
            f"'{folder.folder}'; --resume goes on with them."
        )

    def _add(self, record: SampleRecord) -> None:
        self._answered += 1
        if record.score is not None:
            self._scores.append(record.score)

    def _count(self) -> None:
        marked = len(self._scores)
        share = f"  {100 * sum(self._scores) / marked:.1f} % right" if marked else ""
        self.update("samples", self._answered, self._total, share)


Of = TypeVar("Of", bound=Bars)


@contextmanager
def evaluation_progress(kind: type[Of]) -> Iterator[Of]:
    """Shows on stderr how far something long is, as `kind` has it."""
    console = stderr()
    if not console.is_terminal:
        yield kind(console, None)
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
        yield kind(console, bars)
