"""How a run's folder is read, and what is refused as damaged.

A folder holds `run.json`, which says what was run and never changes, and journals that only
grow: `videos.jsonl`, `samples.jsonl`, `failures.jsonl` and `sessions.jsonl`. Reading changes
nothing, and may be done while a run is still being written. `docs/evaluation.md` is the format.
"""

import gc
import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import attrs

from retake.core.config import strict_converter
from retake.core.errors import RunFolderError
from retake.evaluation.journal import Journal
from retake.evaluation.lines import (
    FAILURES,
    FORMAT,
    HEADER,
    OWN_FILES,
    READ,
    RESULTS,
    SAMPLES,
    SESSIONS,
    VIDEOS,
    BenchmarkRecord,
    Failure,
    Groups,
    RunHeader,
    RunRecords,
    SampleRecord,
    Session,
    VideoRecord,
)

#: With the records themselves, so that who reads runs finds all of it here.
__all__ = [
    "FAILURES",
    "FORMAT",
    "HEADER",
    "OWN_FILES",
    "READ",
    "RESULTS",
    "SAMPLES",
    "SESSIONS",
    "VIDEOS",
    "BenchmarkRecord",
    "Failure",
    "Groups",
    "RunHeader",
    "RunRecords",
    "SampleRecord",
    "Session",
    "VideoRecord",
    "from_plain",
    "is_run",
    "read_header",
    "read_run",
]

_Record = TypeVar("_Record")


def _all_of(kind: type, *others: type) -> Any:
    """A hook for a tuple of numbers that looks at their types once: videos have many frames."""

    def structure(values: Any, _: Any) -> Any:
        kinds = set(map(type, values)) if isinstance(values, list) else {None}
        if not kinds <= {kind, *others}:
            raise TypeError(f"must be a list of {kind.__name__}, got {values!r:.40}")
        return tuple(values) if kinds <= {kind} else tuple(map(kind, values))

    return structure


_CONVERTER = strict_converter()
_CONVERTER.register_structure_hook_func(lambda kind: kind == tuple[int, ...], _all_of(int))
_CONVERTER.register_structure_hook_func(lambda kind: kind == tuple[float, ...], _all_of(float, int))


def _groups(values: Any, _: Any) -> Any:
    """A hook for groups: JSON has lists where a sample is in several."""
    if not isinstance(values, dict):
        raise TypeError(f"groups must be an object, got {values!r:.40}")
    return {name: _group(name, value) for name, value in values.items()}


def _group(name: str, value: Any) -> Any:
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return tuple(value)
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        return value
    raise TypeError(
        f"the group '{name}' must be text, a number or several texts, got {value!r:.40}"
    )


_CONVERTER.register_structure_hook_func(lambda kind: kind == Groups, _groups)


def from_plain(kind: type[_Record], data: Any) -> _Record:
    """A record from plain data, every field typed and checked.

    Raises:
        Exception: it is no such record.
    """
    return _CONVERTER.structure(data, kind)


def to_plain(record: Any) -> dict[str, Any]:
    """A record as plain data, fields of records inside it included.

    Like `attrs.asdict`, but quick where there are thousands of numbers: they are not copied.
    """
    return {
        field.name: _plain_field(getattr(record, field.name))
        for field in attrs.fields(type(record))
    }


def _plain_field(value: Any) -> Any:
    if isinstance(value, tuple):
        return (
            [to_plain(each) if attrs.has(type(each)) else each for each in value]
            if any(attrs.has(kind) for kind in set(map(type, value)))
            else value
        )
    return to_plain(value) if attrs.has(type(value)) else value


def is_run(folder: Path) -> bool:
    """Whether a folder holds a run, whole or damaged."""
    return (folder / HEADER).is_file()


def read_run(folder: Path) -> RunRecords:
    """A run as it stands on the disk; nothing is changed.

    Raises:
        RunFolderError: there is no run, or it is damaged.
    """
    header = read_header(folder)
    # A sample's video is written before it: read in the other order, none can be missing.
    samples, notes = _records(folder / SAMPLES, SampleRecord)
    videos, more = _records(folder / VIDEOS, VideoRecord)
    failures, others = _records(folder / FAILURES, Failure)
    sessions, last = _records(folder / SESSIONS, Session)
    _check(folder, header, videos, samples)
    answered = {sample.id for sample in samples}
    return RunRecords(
        folder=folder,
        header=header,
        videos=tuple(videos),
        samples=tuple(samples),
        failures=_standing(failures, answered),
        sessions=tuple(sessions),
        notes=(*notes, *more, *others, *last),
    )


def read_answered(folder: Path) -> set[str]:
    """The ids of the samples that are answered: a small part of what `read_run` reads.

    Raises:
        RunFolderError: the samples are damaged.
    """
    lines, _ = Journal(folder / SAMPLES).read()
    return {str(line.get("id")) for line in lines}


def read_header(folder: Path) -> RunHeader:
    """What a folder's `run.json` says was run.

    Raises:
        RunFolderError: it is missing, damaged, or of another format.
    """
    path = folder / HEADER
    try:
        raw = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise _no_run(folder) from None
    except OSError as error:
        raise RunFolderError(f"Cannot read '{path}': {error.strerror}.") from error
    try:
        data = json.loads(raw)
    except ValueError as error:
        raise _damaged(path, f"it is not JSON ({error})") from error
    if not isinstance(data, dict):
        raise _damaged(path, "it is no JSON object")
    _check_format(data.get("format"), path)
    try:
        return _CONVERTER.structure(data, RunHeader)
    except Exception as error:
        raise _damaged(path, _short(error)) from error


def _records(path: Path, kind: type[_Record]) -> tuple[list[_Record], list[str]]:
    """A journal's lines as records."""
    journal = Journal(path)
    found = []
    with _uncollected():
        lines, notes = journal.read()
        for number, line in enumerate(lines, start=1):
            try:
                found.append(_CONVERTER.structure(line, kind))
            except Exception as error:
                raise journal.damaged(number, _short(error)) from error
    return found, notes


@contextmanager
def _uncollected() -> Iterator[None]:
    """Without looking for cycles: there are none in millions of numbers, and looking takes time."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def _check(
    folder: Path,
    header: RunHeader,
    videos: Sequence[VideoRecord],
    samples: Sequence[SampleRecord],
) -> None:
    """Refuse what contradicts itself: counted twice, resting on nothing, more than there are."""
    watched = Journal(folder / VIDEOS)
    for number, video in enumerate(videos, start=1):
        if video.watch != number:
            raise watched.damaged(number, f"it is watch {video.watch}, where {number} should be")
    answered, first = Journal(folder / SAMPLES), dict[str, int]()
    for number, sample in enumerate(samples, start=1):
        if sample.id in first:
            raise answered.damaged(
                number, f"the sample '{sample.id}' is there already, in line {first[sample.id]}"
            )
        if not 1 <= sample.watch <= len(videos):
            raise answered.damaged(number, f"it rests on watch {sample.watch}, not in {VIDEOS}")
        first[sample.id] = number
    if len(samples) > header.samples_total:
        raise answered.damaged(
            header.samples_total + 1, f"the run has {header.samples_total} samples, no more"
        )


def _standing(failures: Sequence[Failure], answered: set[str]) -> tuple[Failure, ...]:
    """The newest failure of each video, with its samples that were not answered since."""
    newest = {failure.video: failure for failure in failures}
    left = (
        attrs.evolve(failure, samples=tuple(i for i in failure.samples if i not in answered))
        for failure in newest.values()
    )
    return tuple(failure for failure in left if failure.samples)


def _check_format(given: Any, path: Path) -> None:
    if given in READ:
        return
    text = given if isinstance(given, str) else ""
    later = re.fullmatch(r"retake\.run-folder/([0-9]{1,9})", text)
    if later and int(later[1]) > int(FORMAT.rpartition("/")[2]):
        raise RunFolderError(
            f"'{path}' was written by a newer retake: its format is {given}, and this retake "
            f"reads {FORMAT}.",
            hint="Upgrade retake to read it.",
        )
    raise _damaged(path, f"its format is {given!r:.60}, not {FORMAT}")


def _no_run(folder: Path) -> RunFolderError:
    if not folder.exists():
        return RunFolderError(f"There is no run '{folder}'.")
    if (folder / SAMPLES).exists():
        return RunFolderError(
            f"'{folder}' holds samples, but its {HEADER} is missing: what was run cannot be told.",
            hint="Put a copy of the file back, or start a new run in another folder.",
        )
    return RunFolderError(
        f"'{folder}' is no run: it has no {HEADER}.",
        hint="A run is a folder that `retake eval BENCHMARK -o FOLDER` wrote.",
    )


def _damaged(path: Path, reason: str) -> RunFolderError:
    return RunFolderError(
        f"'{path}' is damaged: {reason}.",
        hint="Put a copy of the file back, or start a new run in another folder.",
    )


def _short(error: Exception) -> str:
    """An error in one line of bearable length."""
    cause: BaseException = error
    while cause.__cause__ is not None:
        cause = cause.__cause__
    text = " ".join(str(cause).split()) or type(cause).__name__
    text = f"{cause!r}" if isinstance(cause, KeyError) else text
    return text.rstrip(".") if len(text) <= 120 else f"{text[:119]}…"
