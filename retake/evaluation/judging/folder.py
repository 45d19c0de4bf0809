"""A run's judgements as their one writer has them: found or begun, and added to line by line."""

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import attrs

from retake.core.errors import RunFolderError, UsageError
from retake.evaluation.journal import Journal
from retake.evaluation.judging.records import (
    FAILURES,
    JUDGEMENTS,
    Judge,
    JudgeFailure,
    Judgement,
    read_judgements,
)
from retake.evaluation.locking import FolderLock

LOCK = ".judge.lock"


class JudgeFolder:
    """The judgements of a run that this process alone writes; a context manager.

    The run itself may be written by another process meanwhile.

    Args:
        folder: of the run.
        judge: who judges now.
        anew: set aside what another judge, or the same one, said before.

    Raises:
        UsageError: another judge judged it, and `anew` is off.
        RunFolderError: the judgements are damaged, another process adds to them, or the system
            refuses.

    Attributes:
        found: the judgements that were there, by sample.
        notes: what was repaired or set aside.
    """

    def __init__(self, folder: Path, judge: Judge, *, anew: bool = False) -> None:
        self.folder = folder
        self._lock = FolderLock(folder, LOCK, "judged")
        try:
            self.notes = tuple(self._aside() if anew else [])
            self.notes += tuple(self._repaired())
            self.found = dict(read_judgements(folder))
            check_judge(folder, self.found, judge)
        except BaseException:
            self._lock.release()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self._lock.release()

    def add(self, judgement: Judgement) -> None:
        """Note a judgement; it is on the disk then.

        Raises:
            RunFolderError: the system refuses.
        """
        Journal(self.folder / JUDGEMENTS).append(attrs.asdict(judgement))

    def fail(self, failure: JudgeFailure) -> None:
        """Note that an answer could not be judged.

        Raises:
            RunFolderError: the system refuses.
        """
        Journal(self.folder / FAILURES).append(attrs.asdict(failure))

    def _repaired(self) -> list[str]:
        notes = []
        for name in (JUDGEMENTS, FAILURES):
            journal = Journal(self.folder / name)
            notes += journal.read()[1]
            journal.repair()
        return notes

    def _aside(self) -> list[str]:
        """Give what is there other names, the same number for both files."""
        names = [name for name in (JUDGEMENTS, FAILURES) if (self.folder / name).exists()]
        number = 1
        while any(_before(self.folder / name, number).exists() for name in (JUDGEMENTS, FAILURES)):
            number += 1
        for name in names:
            path = self.folder / name
            try:
                path.rename(_before(path, number))
            except OSError as error:
                raise RunFolderError(f"Cannot rename '{path}': {error.strerror}.") from error
        return [f"{name} is {_before(Path(name), number)} now" for name in names]


def check_judge(folder: Path, found: Mapping[str, Judgement], judge: Judge) -> None:
    """Refuse another judge than the one that judged before: their marks are not of one scale.

    Args:
        folder: of the run.
        found: its judgements.
        judge: who is to go on.

    Raises:
        UsageError: it is another; the differences are named.
    """
    was = next(iter(found.values())).judge if found else judge
    if was == judge:
        return
    changed = [
        f"{field.name}: was {_shown(getattr(was, field.name))}, "
        f"is {_shown(getattr(judge, field.name))}"
        for field in attrs.fields(Judge)
        if getattr(was, field.name) != getattr(judge, field.name)
    ]
    raise UsageError(
        f"'{folder}' was judged by another judge: {'; '.join(changed)}.",
        hint="Go on with that one, or judge all of it anew with --anew: what the other said is "
        "set aside, and no longer counts.",
    )


def _before(path: Path, number: int) -> Path:
    return path.with_name(f"{path.stem}.before-{number}{path.suffix}")


def _shown(value: object) -> str:
    return "none" if value is None else str(value)
