"""A run's folder as its one writer has it: begun or gone on with, and added to line by line."""

import json
import os
import secrets
from collections.abc import Sequence, Set
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import attrs

from retake.core import writing
from retake.core.errors import RunFolderError, UsageError
from retake.core.memory import VideoMemory
from retake.core.plain import plain
from retake.core.provenance import command_line, versions
from retake.evaluation import records
from retake.evaluation.journal import Journal
from retake.evaluation.keeping import watched
from retake.evaluation.locking import LOCK, FolderLock
from retake.evaluation.matching import check_same
from retake.evaluation.records import (
    Failure,
    RunHeader,
    RunRecords,
    SampleRecord,
    Session,
    VideoRecord,
)
from retake.evaluation.sources import Sources

_PART = ".run-"
_JOURNALS = (records.SAMPLES, records.VIDEOS, records.FAILURES, records.SESSIONS)


def now() -> str:
    """This moment, ISO 8601, in UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")


class RunFolder:
    """A run that this process alone writes; a context manager, which gives the folder back.

    Args:
        folder: where; it is made, or empty, or holds a run that is gone on with.
        header: what is run.
        resume: go on with the run that is there; where there is none, one is begun all the same.
        sources: what videos hold, where other runs must have watched the same.

    Raises:
        UsageError: the folder holds something else, or a run and `resume` is off, or one that was
            begun with other settings; or it cannot be made.
        RunFolderError: the run is damaged, another process writes it, or the system refuses; or
            it is about other videos than `sources` has.

    Attributes:
        found: the run as it was found, half-written lines already cut off.
        notes: what was repaired, and what is other than in earlier sessions.
    """

    def __init__(
        self,
        folder: Path,
        header: RunHeader,
        *,
        resume: bool = False,
        sources: Sources | None = None,
    ) -> None:
        check_place(folder, resume=resume)
        self.folder = folder
        self.header = header
        try:
            folder.mkdir(exist_ok=True)
        except OSError as error:
            raise UsageError(f"Cannot make the folder '{folder}': {error.strerror}.") from error
        self._lock = FolderLock(folder)
        try:
            # Once more: another process may have begun a run here since.
            check_place(folder, resume=resume)
            check_header(folder, header)
            if not records.is_run(folder):
                self._begin()
            self.found = self._pick_up()
            self.notes = (*self.found.notes, *self._changes())
            self._watches = len(self.found.videos)
            self._answered = {sample.id for sample in self.found.samples}
            self._sources = sources or Sources()
            self._sources.add_run(self.found)
            self._sign_in()
        except BaseException:
            self._lock.release()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give the folder back; what was added is on the disk already."""
        self._lock.release()

    @property
    def answered(self) -> Set[str]:
        """The ids of all samples that are answered."""
        return self._answered

    @property
    def batch(self) -> int:
        """Questions about one video that are answered at a time."""
        return self.header.batch

    @property
    def watch_each(self) -> bool:
        """Whether a video is watched anew for each question."""
        return self.header.watch_each

    def add_video(self, video: Path, question: str | None, memory: VideoMemory) -> int:
        """Note a pass over a video; the number by which its samples refer to it.

        Raises:
            RunFolderError: the video is not what it was at an earlier pass, or the system refuses.
        """
        return self.add_watch(watched(video, question, memory))

    def add_watch(self, record: VideoRecord, *, sync: bool = True) -> int:
        """Note a pass over a video whose number is still to be given; that number.

        Args:
            record: the pass.
            sync: bring it to the disk at once; else `sync` does, together with others.

        Raises:
            RunFolderError: as `add_video`.
        """
        if record.source is not None:
            self._sources.add(record.video, record.source.sha256, self.folder)
        numbered = attrs.evolve(record, watch=self._watches + 1)
        self._journal(records.VIDEOS).append(records.to_plain(numbered), sync=sync)
        self._watches += 1
        return self._watches

    def add_sample(self, sample: SampleRecord, *, sync: bool = True) -> None:
        """Note an answered question.

        Args:
            sample: with its answer.
            sync: as for `add_watch`.

        Raises:
            RunFolderError: it is there already, or the system refuses.
        """
        if sample.id in self._answered:
            raise RunFolderError(
                f"The sample '{sample.id}' is in '{self.folder}' already.",
                hint="A benchmark must give every sample an id of its own.",
            )
        self._journal(records.SAMPLES).append(records.to_plain(sample), sync=sync)
        self._answered.add(sample.id)

    def add_samples(self, samples: Sequence[SampleRecord]) -> None:
        """Note answered questions and bring them to the disk together.

        Whatever ends the process between them leaves a run with the first of them.

        Raises:
            RunFolderError: as `add_sample`.
        """
        for sample in samples:
            self.add_sample(sample, sync=False)
        self._journal(records.SAMPLES).sync()

    def add_failure(self, video: Path, samples: Sequence[str], reason: str) -> Failure:
        """Note that samples could not be answered.

        Raises:
            RunFolderError: the system refuses.
        """
        failure = Failure(str(video), tuple(samples), reason, now())
        self._journal(records.FAILURES).append(records.to_plain(failure))
        return failure

    def sync(self) -> None:
        """Bring all that was added to the disk.

        Raises:
            RunFolderError: the system refuses.
        """
        # A sample must not be there without the pass that it rests on, so that comes first.
        self._journal(records.VIDEOS).sync()
        self._journal(records.SAMPLES).sync()

    def sign_in_worker(self, worker: int, **its: Any) -> None:
        """Note a worker that joins.

        Args:
            worker: its number, from 0.
            its: its `host`, `pid`, `device`, `threads` and `versions`, as in `Session`.

        Raises:
            RunFolderError: the system refuses.
        """
        session = Session(
            started=now(),
            first_watch=self._watches + 1,
            command=tuple(command_line()),
            worker=worker,
            **its,
        )
        self._journal(records.SESSIONS).append(records.to_plain(session))

    def _journal(self, name: str) -> Journal:
        return Journal(self.folder / name)

    def _begin(self) -> None:
        """Write `run.json`, whole or not at all."""
        path = self.folder / records.HEADER
        data = {"format": self.header.format, **attrs.asdict(self.header)}
        text = json.dumps(plain(data), indent=2, ensure_ascii=False)
        beside = path.with_name(f"{_PART}{secrets.token_hex(6)}.part")
        try:
            with writing.replacing(path, beside) as file:
                file.write(f"{text}\n".encode("utf-8", "backslashreplace"))
        except OSError as error:
            raise RunFolderError(f"Cannot write '{path}': {error.strerror}.") from error

    def _pick_up(self) -> RunRecords:
        """The run as it is there, repaired where its end was cut off."""
        found = records.read_run(self.folder)
        if found.notes:
            for name in _JOURNALS:
                self._journal(name).repair()
        return found

    def _changes(self) -> list[str]:
        """What is other than when the run was begun, and may change its numbers."""
        was, new = self.found.header.versions, versions()
        changed = [
            f"{name}: was {was.get(name)}, is {new.get(name)}"
            for name in {**was, **new}
            if was.get(name) != new.get(name)
        ]
        if self.found.header.device != self.header.device:
            changed.append(f"device: was {self.found.header.device}, is {self.header.device}")
        for name in ("revision", "hardware"):
            before, is_now = getattr(self.found.header, name), getattr(self.header, name)
            if before and is_now and before != is_now:
                changed.append(f"{name}: was {_in_line(before)}, is {_in_line(is_now)}")
        if self.header.code and not self.found.header.code:
            changed.append(f"code of {', '.join(self.header.code)}: what it was is not known")
        return changed

    def _sign_in(self) -> None:
        session = Session(
            started=now(),
            first_watch=self._watches + 1,
            command=tuple(command_line()),
            versions=versions(),
            device=self.header.device,
            repaired=self.found.notes,
            revision=self.header.revision,
            hardware=self.header.hardware,
        )
        self._journal(records.SESSIONS).append(records.to_plain(session))


def check_place(folder: Path, *, resume: bool) -> None:
    """Refuse a folder that a run cannot be written into, before anything is made for it.

    Raises:
        UsageError, RunFolderError: as for `RunFolder`.
    """
    try:
        if not folder.exists():
            if not folder.parent.is_dir():
                raise UsageError(
                    f"Cannot make the folder '{folder}': there is no folder '{folder.parent}'."
                )
            _check_writable(folder.parent)
            return
        if not folder.is_dir():
            raise UsageError(f"'{folder}' is a file; a run is written into a folder.")
        _check_writable(folder)
        names = {path.name for path in folder.iterdir()}
    except OSError as error:
        raise UsageError(f"Cannot look into '{folder}': {error.strerror}.") from error
    if not any(name != LOCK and not name.startswith(_PART) for name in names):
        return
    if not names & {records.HEADER, *_JOURNALS}:
        raise UsageError(
            f"'{folder}' holds other things ({_some(names)}), so no run is written into it.",
            hint="Name a new folder, or an empty one.",
        )
    was = records.read_header(folder)
    if not resume:
        raise UsageError(
            f"'{folder}' holds a run already, begun {was.created}.",
            hint="--resume goes on with it; another folder takes a new one.",
        )


def _check_writable(folder: Path) -> None:
    if not os.access(folder, os.W_OK | os.X_OK):
        raise UsageError(f"Nothing can be written in the folder '{folder}'.")


def check_header(folder: Path, header: RunHeader) -> None:
    """Refuse to go on with a run that was begun with other settings, where there is one.

    What only a loaded model decides may be UNDECIDED in the header: it is then not compared.

    Raises:
        UsageError, RunFolderError: as for `RunFolder`.
    """
    if records.is_run(folder):
        check_same(folder, records.read_header(folder), header)


def _in_line(value: Any) -> str:
    return ", ".join(map(str, value.values())) if isinstance(value, dict) else str(value)


def _some(names: set[str]) -> str:
    shown = sorted(names)[:3]
    return ", ".join(shown) + (", ..." if len(names) > len(shown) else "")
