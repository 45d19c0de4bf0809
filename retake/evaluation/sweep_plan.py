"""What is swept over, and who is told how far a sweep is."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import attrs

from retake import loading
from retake.core.benchmark import Benchmark, Sample
from retake.core.config import PartOptions, RunConfig, unstructure
from retake.core.plain import plain
from retake.core.provenance import command_line, versions
from retake.evaluation.cells import Cell
from retake.evaluation.coding import code_behind
from retake.evaluation.folder import now
from retake.evaluation.grid import Grid
from retake.evaluation.matching import digest, groups_digest
from retake.evaluation.records import BenchmarkRecord, Failure, SampleRecord
from retake.evaluation.sweep_folder import CellFailure, SweepHeader


class Watcher:
    """Told how far a sweep is; a subclass says what it wants to hear of."""

    def begin(self, answered: int, total: int) -> None:
        """So many answers of all runs are there already."""

    def video(self, number: int, total: int, path: Path) -> None:
        """The turn of a video, counted from 1."""

    def cell(self, number: int, total: int, name: str) -> None:
        """The turn of a cell with the video of the moment, counted from 1."""

    def told(self, stage: str, done: int, total: int) -> None:
        """How far the watching of the moment is."""

    def sample(self, record: SampleRecord) -> None:
        """An answer is on the disk."""

    def failure(self, cell: str, failure: Failure) -> None:
        """A video failed in a cell."""

    def given_up(self, failure: CellFailure) -> None:
        """A cell was given up."""

    def note(self, cell: str, text: str) -> None:
        """What was repaired in a cell's run, or is other than in earlier sessions."""


@attrs.frozen
class Plan:
    """What is swept over.

    Attributes:
        grid: as it was given.
        cells: those of `cells_of`.
        config: what the methods leave open.
        benchmark: its name, and itself.
        samples: the benchmark's, or the first of them.
        limit, batch: as in `RunHeader`.
    """

    grid: Grid
    cells: Sequence[Cell]
    config: RunConfig
    benchmark: tuple[str, Benchmark]
    samples: Sequence[Sample]
    limit: int | None = None
    batch: int = 1

    @property
    def runs(self) -> list[Cell]:
        """The cells that have a run of their own."""
        return [cell for cell in self.cells if cell.same_as is None]

    def header(self, folder: Path) -> SweepHeader:
        """What the sweep's folder says of it."""
        name, itself = self.benchmark
        return SweepHeader(
            name=folder.resolve().name,
            benchmark=BenchmarkRecord(name, plain(attrs.asdict(itself))),
            grid=plain(attrs.asdict(self.grid)),
            config=plain(unstructure(self.config)),
            cells=tuple(plain(cell.data()) for cell in self.cells),
            samples_total=len(self.samples),
            samples_sha256=digest(self.samples),
            versions=versions(),
            command=tuple(command_line()),
            created=now(),
            limit=self.limit,
            batch=self.batch,
            code=code_behind(self.benchmark, self._parts()),
            groups_sha256=groups_digest(self.samples),
        )

    def _parts(self) -> Iterator[tuple[Any, PartOptions]]:
        for cell in self.cells:
            yield loading.make_selector(cell.config.selector)
            yield loading.make_compressor(cell.config.compressor)
