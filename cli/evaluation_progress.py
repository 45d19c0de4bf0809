"""How far an evaluation is: on a terminal bars, an ETA and the accuracy so far."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from rich.console import Console, RenderableType
from rich.progress import (
    BarColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from retake.evaluation.folder import RunFolder
from retake.evaluation.records import Failure, SampleRecord

from .console import stderr
from .pace import Pace

if TYPE_CHECKING:
    from retake.evaluation.scale.crew import Worker

# An answer may take minutes; the time left is judged by all of the last thousand.
_REMEMBERED = 7 * 24 * 3600.0
#: Seconds between two lines about how far it is, off a terminal.
LINE_SECONDS = 60.0
# Workers that have a line of their own on a terminal; the others are counted.
_MOST_WORKERS = 16


def told(failure: Failure) -> str:
    """A failure as a sentence or two."""
    about = "" if failure.video in failure.reason else f"{failure.video}: "
    count = len(failure.samples)
    left = "1 question is" if count == 1 else f"{count} questions are"
    return f"{about}{failure.reason.rstrip('.')}. {left} unanswered."


class Display(Progress):
    """Bars, and a table of lines below them."""

    lines: Sequence[tuple[str, ...]] = ()

    def get_renderables(self) -> Iterator[RenderableType]:
        """What is drawn."""
        yield self.make_tasks_table(self.tasks)
        if self.lines:
            table = Table.grid(padding=(0, 2))
            for line in self.lines:
                table.add_row(*(Text(part, style="dim") for part in line))
            yield table


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
    """What is shown of an evaluation while it runs; off a terminal in lines now and then."""

    def __init__(self, console: Console, bars: Progress | None) -> None:
        super().__init__(console, bars)
        self._pace = Pace()
        self._folder: RunFolder | None = None
        self._line_at = time.monotonic() + LINE_SECONDS
        self._crew = ""

    def making(self, done: float, total: int) -> None:
        """How many of a benchmark's videos are there."""
        self.update("videos", done, total)

    def begin(self, folder: RunFolder, *, resume: bool) -> None:
        """The run is open: say what was found."""
        self._folder = folder
        found = [sample.score for sample in folder.found.samples]
        self._pace.begin(folder.header.samples_total, found)
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
        self._now_and_then()

    def sample(self, record: SampleRecord) -> None:
        """A sample is on the disk."""
        self._pace.add(record.score)
        self._count()
        self._now_and_then()

    def failure(self, failure: Failure) -> None:
        """A video failed, and the run goes on."""
        self.say(f"Failed: {told(failure)}")

    def interrupted(self) -> None:
        """Ctrl-C: say what is kept."""
        if self._folder is not None:
            self.say(
                f"{self._pace.answered} of {self._pace.total} samples are answered and kept in "
                f"'{self._folder.folder}'; --resume goes on with them."
            )

    def crew(self, workers: "Sequence[Worker]") -> None:
        """What workers are doing."""
        counts: dict[str, int] = {}
        for worker in workers:
            counts[worker.state.value] = counts.get(worker.state.value, 0) + 1
        states = ", ".join(f"{count} {state}" for state, count in counts.items())
        self._crew = f"workers: {states}"
        if isinstance(self._bars, Display):
            lines = [_line(worker) for worker in workers[:_MOST_WORKERS]]
            hidden = len(workers) - len(lines)
            self._bars.lines = [*lines, *([("", f"and {hidden} more ({states})")] * bool(hidden))]
        self._now_and_then()

    def _count(self) -> None:
        parts = (self._pace.accuracy, self._pace.rate)
        more = "".join(f"  {part}" for part in parts if part)
        self.update("samples", self._pace.answered, self._pace.total, more)

    def _now_and_then(self) -> None:
        """Off a terminal, a line where the last one is some time ago."""
        if self.shown or time.monotonic() < self._line_at:
            return
        # Before a first worker is ready there is no folder, and only the crew to speak of.
        parts = (self._pace.line if self._folder is not None else "", self._crew)
        if any(parts):
            self._line_at = time.monotonic() + LINE_SECONDS
            self.say(" · ".join(part for part in parts if part))


def _line(worker: "Worker") -> tuple[str, ...]:
    """A worker: its number and place, what it is doing, and with which video."""
    where = f" {worker.about.host}" if worker.about else ""
    doing = worker.state.value
    if worker.job is not None:
        far = f" {worker.done:,} / {worker.total:,}" if worker.total else ""
        doing = f"{worker.stage or doing}{far}"
    return f"worker {worker.slot + 1}{where}", doing, worker.job.video.name if worker.job else ""


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
    with Display(
        *columns, console=console, transient=True, speed_estimate_period=_REMEMBERED
    ) as bars:
        yield kind(console, bars)
