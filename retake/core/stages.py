"""Time and peak memory of the stages of a run."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

from retake.core.backend import Backend
from retake.core.host import peak_resident, reset_peak_resident
from retake.core.memory import StageCost

Item = TypeVar("Item")


class StageClock:
    """Adds up what each stage costs, also where stages alternate."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._seconds: dict[str, float] = {}
        self._peaks: dict[str, int | None] = {}
        self._host_peaks: dict[str, int | None] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Count the block towards a stage."""
        self._backend.reset_peak_memory()
        reset_peak_resident()
        start = time.perf_counter()
        try:
            yield
        finally:
            self._backend.synchronize()
            self._seconds[name] = self._seconds.get(name, 0.0) + time.perf_counter() - start
            host = peak_resident()
            # Read once where both are the same: a thread beside may raise it between two readings.
            device = host if self._backend.on_host else self._backend.peak_memory()
            self._peaks[name] = _higher(self._peaks.get(name), device)
            self._host_peaks[name] = _higher(self._host_peaks.get(name), host)

    def timed(self, items: Iterator[Item], name: str) -> Iterator[Item]:
        """Pass items on, counting the wait for each towards a stage."""
        while True:
            with self.stage(name):
                item = next(items, None)
            if item is None:
                return
            yield item

    def costs(self) -> tuple[StageCost, ...]:
        """The stages in the order in which they first ran."""
        return tuple(
            StageCost(name, seconds, self._peaks[name], self._host_peaks[name])
            for name, seconds in self._seconds.items()
        )


def _higher(before: int | None, now: int | None) -> int | None:
    """The larger of two peaks, of which either may be unknown."""
    known = [peak for peak in (before, now) if peak is not None]
    return max(known, default=None)
