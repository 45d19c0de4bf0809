"""How far an evaluation is in numbers: answered, right, an hour's worth, and what is left."""

import time
from collections.abc import Callable, Iterable

import attrs

from .units import duration


@attrs.define
class Pace:
    """Counts samples as they are answered.

    Attributes:
        clock: seconds that only go forward.
        total: how many samples the run has.
        answered: how many of them are answered, also those of earlier sessions.
        marked: how many of these have a score.
        right: the sum of their scores.
        before: how many were answered before this session.
        began: when this session did.
    """

    clock: Callable[[], float] = time.monotonic
    total: int = 0
    answered: int = 0
    marked: int = 0
    right: float = 0.0
    before: int = 0
    began: float = 0.0

    def begin(self, total: int, scores: Iterable[float | None]) -> None:
        """A session begins, with what is there already."""
        self.total = total
        for score in scores:
            self.add(score)
        self.before, self.began = self.answered, self.clock()

    def add(self, score: float | None) -> None:
        """A sample is answered; None where its score is not known yet."""
        self.answered += 1
        if score is not None:
            self.marked += 1
            self.right += score

    @property
    def accuracy(self) -> str:
        """The share that is right so far, or nothing."""
        return f"{100 * self.right / self.marked:.1f} % right" if self.marked else ""

    @property
    def an_hour(self) -> float:
        """Samples answered in an hour, at the rate of this session; 0 before the first."""
        spent = self.clock() - self.began
        return 3600 * (self.answered - self.before) / spent if spent > 0 else 0.0

    @property
    def rate(self) -> str:
        """In words, or nothing."""
        return f"{self.an_hour:,.0f} an hour" if self.an_hour else ""

    @property
    def left(self) -> str:
        """How long the rest will take, in words, or nothing."""
        if not self.an_hour or self.answered >= self.total:
            return ""
        return f"{duration(3600 * (self.total - self.answered) / self.an_hour)} left"

    @property
    def line(self) -> str:
        """All of it in one line."""
        count = f"{self.answered:,} of {self.total:,} samples"
        return " · ".join(part for part in (count, self.accuracy, self.rate, self.left) if part)
