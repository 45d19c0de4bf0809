"""The interface of launchers."""

from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self

from retake.evaluation.scale.wire import Place


class Launcher(ABC):
    """Starts a worker in each of its slots, and starts it anew when that is asked.

    A context manager: nothing that it started outlives it. No method waits for anything.

    Attributes:
        slots: how many workers there are at most at a time, numbered from 0.
        host: by which name or address workers reach this process.
    """

    slots: int
    host: str = "127.0.0.1"

    @abstractmethod
    def start(self, slot: int, place: Place) -> None:
        """Start a worker that works for who listens at a place."""

    @abstractmethod
    def ended(self, slot: int) -> str | None:
        """Why the worker that was started last in a slot is no longer there; None while it is."""

    @abstractmethod
    def kill(self, slot: int) -> None:
        """End a worker, whatever it is doing."""

    @abstractmethod
    def close(self) -> None:
        """End what is left; those that were told to end get a moment for it."""

    def coming(self, slot: int) -> bool:
        """Whether a worker that was started still waits for its place, and is not late."""
        return False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self.close()
