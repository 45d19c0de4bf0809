"""How far a sweep is: on a terminal bars and an ETA, else a line a video."""

import time
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import Progress

from retake.evaluation.sweep_plan import Watcher

from . import units
from .evaluation_progress import Bars

if TYPE_CHECKING:
    from retake.evaluation.records import Failure, SampleRecord
    from retake.evaluation.sweep_folder import CellFailure


class SweepShown(Bars, Watcher):
    """What is shown of a sweep while it runs; failures and notes also off a terminal."""

    def __init__(self, console: Console, bars: Progress | None) -> None:
        super().__init__(console, bars)
        self._answered = self._found = self._total = 0
        self._started = time.monotonic()

    def making(self, done: float, total: int) -> None:
        """How many of a benchmark's videos are there."""
        self.update("making", done, total)

    def begin(self, answered: int, total: int) -> None:
        self._answered = self._found = answered
        self._total = total
        self._started = time.monotonic()
        self.hide("making", "load")
        self.update("answers", answered, total)

    def video(self, number: int, total: int, path: Path) -> None:
        self.hide("load", "cells", "prefill")
        self.update("videos", number - 1, total, f"  {path.name}")
        if not self.shown:
            self.say(f"Video {number} of {total}: {self._progress()}")

    def cell(self, number: int, total: int, name: str) -> None:
        self.hide("encode", "prefill")
        self.update("cells", number - 1, total, f"  {name}")

    def told(self, stage: str, done: int, total: int) -> None:
        if stage != "watch":  # of a video that is encoded it takes no time
            self.update(stage, done, total)

    def sample(self, record: "SampleRecord") -> None:
        self._answered += 1
        self.update("answers", self._answered, self._total)

    def failure(self, cell: str, failure: "Failure") -> None:
        count = len(failure.samples)
        self.say(
            f"Failed in {cell}: {failure.reason} ({count} question{'s' if count != 1 else ''} "
            f"about '{failure.video}' unanswered)"
        )

    def given_up(self, failure: "CellFailure") -> None:
        self.say(f"Given up: {failure.cell}: {failure.reason}")

    def note(self, cell: str, text: str) -> None:
        self.say(f"Note: {cell}: {text}")

    def interrupted(self, folder: Path) -> None:
        """Ctrl-C: say what is kept."""
        self.say(
            f"{units.count(self._answered)} of {units.count(self._total)} answers are kept in "
            f"'{folder}'; --resume goes on with them."
        )

    def _progress(self) -> str:
        text = f"{units.count(self._answered)} of {units.count(self._total)} answers"
        new = self._answered - self._found
        if not new:
            return text
        spent = time.monotonic() - self._started
        return f"{text}, about {units.seconds(spent / new * (self._total - self._answered))} left"
