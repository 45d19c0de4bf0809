"""Every cell of a grid over one benchmark, a video at a time.

The idea: what does not depend on the cell is done once. Each video is decoded and encoded once,
then watched and asked by every cell in turn, so that a sweep costs little more than what its cells
differ in. A cell that cannot be done is given up and noted; the others go on. Each cell is a run
like any other (`running.Run`): killed anywhere, it is gone on with and comes to the same numbers.
"""

from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import attrs

from retake import api
from retake.core.benchmark import Sample
from retake.core.config import RunConfig
from retake.core.errors import RetakeError, RunFolderError, UsageError
from retake.core.scorer import FrameTextScorer
from retake.encoding import EncodedVideo
from retake.evaluation import sweep_folder
from retake.evaluation.cells import Cell
from retake.evaluation.folder import RunFolder, check_header, now
from retake.evaluation.journal import Journal
from retake.evaluation.locking import FolderLock
from retake.evaluation.matching import is_settled
from retake.evaluation.records import RunHeader, RunRecords, is_run, read_run
from retake.evaluation.results import read_results, write_results
from retake.evaluation.running import OF_ONE_VIDEO, Run, at_hand, by_video, header_of, reason_of
from retake.evaluation.sources import Sources
from retake.evaluation.sweep_folder import CellFailure, SweepRecords
from retake.evaluation.sweep_plan import Plan, Watcher
from retake.video_model import VideoModel

#: Loads the model that a configuration describes.
Load = Callable[[RunConfig], VideoModel]


def check(folder: Path, plan: Plan, *, resume: bool) -> None:
    """Refuse a folder that this sweep cannot be written into, before a model is loaded for it.

    Raises:
        UsageError: it holds something else, another sweep, or this one and `resume` is off.
        RunFolderError: the sweep there is damaged.
    """
    sweep_folder.check_place(folder, resume=resume)
    if sweep_folder.is_sweep(folder):
        was = sweep_folder.read_header(folder)
        sweep_folder.check_same(folder, was, plan.header(folder))


def sweep(
    folder: Path,
    plan: Plan,
    load: Load,
    *,
    resume: bool = False,
    watcher: Watcher | None = None,
) -> SweepRecords:
    """Run every cell, or go on with what is there of it.

    Args:
        folder: where; new, empty, or with `resume` that of this sweep.
        plan: what is swept over.
        load: called once for every distinct set of model options.
        resume: go on with the sweep that is there; where there is none, one is begun.
        watcher: told how far it is.

    Raises:
        UsageError: as `check`, or a model's options are wrong.
        RunFolderError: a folder is damaged, written by another process, or cannot be written.
        ModelError: a model cannot be loaded.
    """
    check(folder, plan, resume=resume)
    _make(folder)
    with FolderLock(folder):
        if not sweep_folder.is_sweep(folder):
            sweep_folder.write_header(folder, plan.header(folder))
        _make(folder / "cells")
        Journal(folder / sweep_folder.FAILURES).repair()
        _Sweeping(folder, plan, load, watcher or Watcher()).run()
        found = sweep_folder.read_sweep(folder)
        for run in found.runs.values():
            if run.samples and read_results(run) is None:
                write_results(run, plan.benchmark[1])
        return found


def _make(folder: Path) -> None:
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise UsageError(f"Cannot make the folder '{folder}': {error.strerror}.") from error


@attrs.define(eq=False)
class _Open:
    """A cell at work: its model and its run, until it is given up."""

    cell: Cell
    model: VideoModel
    run: Run
    given_up: bool = False

    @property
    def scorer(self) -> FrameTextScorer | None:
        """Who must look at the frames for it."""
        selector = self.model.selector
        return getattr(selector, "scorer", None) if selector.needs_question else None


class _Sweeping:
    """One session of a sweep."""

    def __init__(self, folder: Path, plan: Plan, load: Load, watcher: Watcher) -> None:
        self._folder = folder
        self._plan = plan
        self._load = load
        self._watcher = watcher
        self._videos = by_video(plan.samples)
        # All cells are about the same videos, also those that are complete.
        self._sources = Sources()

    def run(self) -> None:
        found = [(cell, self._found(cell)) for cell in self._plan.runs]
        answered = sum(len(run.samples) for _, run in found if run)
        self._watcher.begin(answered, len(self._plan.samples) * len(found))
        pending = [
            cell for cell, run in found if not (run and is_settled(run, cell.config.model.path))
        ]
        # One model at a time is in memory.
        for cells in _alike(pending, lambda cell: cell.config.model):
            self._of_one_model(cells)

    def _found(self, cell: Cell) -> RunRecords | None:
        """A cell's run as it is there, of what is swept now."""
        folder = self._folder / cell.folder
        if not is_run(folder):
            return None
        check_header(folder, self._header(cell, api.resolve(cell.config)))
        run = read_run(folder)
        self._sources.add_run(run)
        return run

    def _header(self, cell: Cell, config: RunConfig, model: VideoModel | None = None) -> RunHeader:
        return header_of(
            self._folder / cell.folder,
            self._plan.benchmark,
            self._plan.samples,
            config,
            model,
            limit=self._plan.limit,
            batch=self._plan.batch,
        )

    def _of_one_model(self, cells: Sequence[Cell]) -> None:
        # With parts that any model takes; those of a cell are its own affair.
        loaded = self._load(RunConfig(model=cells[0].config.model))
        with ExitStack() as stack:
            opened = [each for cell in cells if (each := self._open(cell, loaded, stack))]
            for number, (path, samples) in enumerate(self._videos, start=1):
                working = [each for each in opened if not each.given_up]
                pending = [each for each in working if each.run.pending(samples)]
                if pending:
                    self._watcher.video(number, len(self._videos), path)
                    self._video(loaded, pending, samples)

    def _open(self, cell: Cell, loaded: VideoModel, stack: ExitStack) -> _Open | None:
        """A cell's model and run; None where it is given up."""
        try:
            model = _with_config(loaded, cell.config)
        except RetakeError as error:
            self._note(cell, error)
            return None
        folder, header = self._folder / cell.folder, self._header(cell, model.config, model)
        kept = stack.enter_context(RunFolder(folder, header, resume=True, sources=self._sources))
        for note in kept.notes:
            self._watcher.note(cell.name, note)
        return _Open(
            cell,
            model,
            Run(
                kept,
                self._plan.benchmark[1],
                on_sample=self._watcher.sample,
                on_failure=lambda failure: self._watcher.failure(cell.name, failure),
            ),
        )

    def _video(
        self, loaded: VideoModel, pending: Sequence[_Open], samples: Sequence[Sample]
    ) -> None:
        """One video in every cell that has questions about it left."""
        done = 0
        for some in _alike(pending, lambda each: each.cell.config.video):
            encoder = _framed(loaded, some[0].cell.config)
            encoded = self._encoded(encoder, some, samples)
            for each in some:
                done += 1
                if encoded is not None and not each.given_up:
                    self._watcher.cell(done, len(pending), each.cell.name)
                    self._answer(each, encoded, samples)

    def _encoded(
        self, encoder: VideoModel, some: Sequence[_Open], samples: Sequence[Sample]
    ) -> EncodedVideo | None:
        """A video, encoded once for all of these cells; None where it cannot be."""
        video = samples[0].video
        try:
            with at_hand(video) as there:
                return encoder.encode(there, scorers=_scorers(some), progress=self._watcher.told)
        except OF_ONE_VIDEO as error:
            for each in some:
                each.run.fail(samples, error)
            return None
        except RetakeError:
            left = self._with_working_scorers(encoder, some, video)
            if len(left) == len(some):
                raise
            return self._encoded(encoder, left, samples) if left else None

    def _with_working_scorers(
        self, encoder: VideoModel, some: Sequence[_Open], video: Path
    ) -> list[_Open]:
        """The cells left once those are given up whose scorer fails when asked alone."""
        for scorer in _scorers(some):
            try:
                with at_hand(video) as there:
                    encoder.encode(there, scorers=[scorer])
            except RetakeError as error:
                for each in some:
                    if each.scorer == scorer:
                        self._give_up(each, error)
        return [each for each in some if not each.given_up]

    def _answer(self, each: _Open, encoded: EncodedVideo, samples: Sequence[Sample]) -> None:
        try:
            each.run.answer(each.model, encoded, samples, self._watcher.told)
        except RunFolderError:
            raise  # a full disk is not this cell's
        except RetakeError as error:
            self._give_up(each, error)

    def _give_up(self, each: _Open, error: RetakeError) -> None:
        each.given_up = True
        self._note(each.cell, error)

    def _note(self, cell: Cell, error: RetakeError) -> None:
        failure = CellFailure(cell.name, reason_of(error), now())
        Journal(self._folder / sweep_folder.FAILURES).append(attrs.asdict(failure))
        self._watcher.given_up(failure)


def _framed(loaded: VideoModel, config: RunConfig) -> VideoModel:
    """The loaded model, looking at the frames that a configuration says."""
    frames = attrs.evolve(loaded.config, video=config.video)
    return VideoModel(loaded.adapter, loaded.backend, loaded.selector, loaded.compressor, frames)


def _with_config(loaded: VideoModel, config: RunConfig) -> VideoModel:
    """The loaded model with everything else of a configuration."""
    return _framed(loaded, config).with_parts(
        selector=config.selector,
        compressor=config.compressor,
        prefill=config.prefill,
        generate=config.generate,
        seed=config.seed,
    )


def _scorers(some: Iterable[_Open]) -> list[FrameTextScorer]:
    """Who must look at the frames for any of the cells."""
    return list(dict.fromkeys(each.scorer for each in some if each.scorer is not None))


def _alike(items: Iterable[Any], key: Callable[[Any], Any]) -> list[list[Any]]:
    """Items in groups of equal keys, in the order met; keys need not be hashable."""
    groups: list[tuple[Any, list[Any]]] = []
    for item in items:
        wanted = key(item)
        group = next((some for known, some in groups if known == wanted), None)
        if group is None:
            groups.append((wanted, [item]))
        else:
            group.append(item)
    return [some for _, some in groups]
