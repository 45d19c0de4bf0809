"""Whether a run may be gone on with: what it was begun with, against what is asked for now."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from retake.core.benchmark import Sample
from retake.core.errors import UsageError
from retake.evaluation.records import RunHeader

#: What stands where something is decided only once the model is loaded.
UNDECIDED = "auto"
# What cannot change a result: the weights are known by their fingerprint.
_WHEREABOUTS = ("model.path", "video.reader_threads")


def digest(samples: Iterable[Sample]) -> str:
    """A hash of what is asked and what is right; where the videos are is left out."""
    found = hashlib.sha256()
    for each in samples:
        line = [each.id, each.kind, each.question, list(each.options), each.answer]
        found.update(json.dumps(line).encode() + b"\n")
    return found.hexdigest()


def check_same(folder: Path, was: RunHeader, now: RunHeader) -> None:
    """Refuse to go on with a run under other conditions.

    What is UNDECIDED in `now` is taken to be as it was.

    Raises:
        UsageError: they differ; every difference is named.
    """
    found = list(differences(was, now))
    if not found:
        return
    listing = "\n".join(f"  {what}: was {old}, is {new}" for what, old, new in found)
    raise UsageError(
        f"The run '{folder}' cannot be resumed with other settings than it was begun with:\n"
        f"{listing}",
        hint="Resume it with what it was begun with, or start a new run in another folder.",
    )


def differences(was: RunHeader, now: RunHeader) -> Iterator[tuple[str, str, str]]:
    """What differs between two runs, and how it stands in each."""
    yield from _differ("benchmark", was.benchmark.name, now.benchmark.name)
    if was.benchmark.name == now.benchmark.name:
        yield from _differ("benchmark option", was.benchmark.options, now.benchmark.options)
    yield from _differ("--limit", was.limit, now.limit)
    yield from _differ("--batch", was.batch, now.batch)
    yield from _differ("", was.config, now.config)
    yield from _differ("the model's fingerprint", was.fingerprint, now.fingerprint)
    for file in sorted(was.code.keys() & now.code.keys()):
        if was.code[file] != now.code[file]:
            yield f"the code in {file}", was.code[file][:8], now.code[file][:8]
    if was.limit == now.limit:
        yield from _samples(was, now)


def _samples(was: RunHeader, now: RunHeader) -> Iterator[tuple[str, str, str]]:
    if was.samples_total != now.samples_total:
        yield "the samples", str(was.samples_total), str(now.samples_total)
    elif was.samples_sha256 != now.samples_sha256:
        yield (
            "the samples",
            f"{was.samples_total} ({was.samples_sha256[:8]})",
            f"as many others ({now.samples_sha256[:8]})",
        )


def _differ(path: str, was: Any, now: Any) -> Iterator[tuple[str, str, str]]:
    """Differing values of nested mappings, by their dotted paths."""
    if isinstance(was, Mapping) and isinstance(now, Mapping):
        for key in {**was, **now}:
            dot = "." if path and " " not in path else " " if path else ""
            yield from _differ(f"{path}{dot}{key}", was.get(key, _NONE), now.get(key, _NONE))
    elif was != now and now != UNDECIDED and path not in _WHEREABOUTS:
        yield path, _shown(was), _shown(now)


class _Nothing:
    """Stands for a key that is not there."""

    def __repr__(self) -> str:
        return "(not there)"


_NONE = _Nothing()


def _shown(value: Any) -> str:
    text = "none" if value is None else str(value)
    return text if len(text) <= 80 else f"{text[:79]}…"
