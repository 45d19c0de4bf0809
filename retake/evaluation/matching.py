"""Whether a run may be gone on with: what it was begun with, against what is asked for now."""

import hashlib
import json
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from retake.core.benchmark import Sample
from retake.evaluation.coding import Alike, code_differences
from retake.evaluation.differing import Difference, differing, refuse
from retake.evaluation.records import RunHeader, RunRecords

if TYPE_CHECKING:
    from retake.evaluation.sweep_folder import SweepHeader

#: What stands where something is decided only once the model is loaded.
UNDECIDED = "auto"
#: What cannot change a result: the weights are known by their fingerprint.
WHEREABOUTS = ("model.path", "video.reader_threads")


def digest(samples: Iterable[Sample]) -> str:
    """A hash of what is asked and what is right; where the videos are is left out."""
    return _hash(
        [each.id, each.kind, each.question, list(each.options), each.answer] for each in samples
    )


def groups_digest(samples: Iterable[Sample]) -> str:
    """A hash of what samples are broken down by, and of what guessing would get right."""
    return _hash([each.id, sorted(each.groups.items()), each.chance] for each in samples)


def _hash(lines: Iterable[list[object]]) -> str:
    found = hashlib.sha256()
    for line in lines:
        found.update(json.dumps(line).encode() + b"\n")
    return found.hexdigest()


def check_same(folder: Path, was: RunHeader, now: RunHeader) -> None:
    """Refuse to go on with a run under other conditions.

    What is UNDECIDED in `now` is taken to be as it was.

    Raises:
        UsageError: they differ; the differences are named.
    """
    refuse("run", folder, list(differences(was, now)))


def differences(was: RunHeader, now: RunHeader) -> Iterator[Difference]:
    """What differs between two runs."""
    yield from common_differences(was, now)
    if was.watch_each != now.watch_each:
        yield Difference("--watch-each", was.watch_each, now.watch_each)
    if now.fingerprint not in (was.fingerprint, UNDECIDED):
        yield Difference("the model's fingerprint", was.fingerprint, now.fingerprint)


def common_differences(
    was: "RunHeader | SweepHeader", now: "RunHeader | SweepHeader"
) -> Iterator[Difference]:
    """What differs between two runs, or two sweeps, of what both kinds say of themselves."""
    same = Alike(was.code, now.code)
    if not same(was.benchmark.name, now.benchmark.name):
        yield Difference("benchmark", was.benchmark.name, now.benchmark.name)
    else:
        options = (was.benchmark.options, now.benchmark.options)
        yield from differing(*options, inside="benchmark option ")
    for name in ("limit", "batch"):
        if getattr(was, name) != getattr(now, name):
            yield Difference(f"--{name}", getattr(was, name), getattr(now, name))
    yield from decisive(differing(was.config, now.config, same))
    yield from code_differences(was.code, now.code)
    if was.limit == now.limit:
        yield from _samples(was, now)


def decisive(found: Iterable[Difference]) -> Iterator[Difference]:
    """Those differences of a configuration that may change a result."""
    for each in found:
        if each.what not in WHEREABOUTS and each.now != UNDECIDED:
            yield each


def is_settled(run: RunRecords, path: str | None) -> bool:
    """Whether a run is complete, and of the model that is meant, as far as its files tell.

    Only loading a model gives its fingerprint, and a complete run should be shown without.

    Args:
        run: as it is there.
        path: of the model that is asked for.
    """
    if not run.complete or run.header.config["model"]["path"] != path:
        return False
    return path is None or not _changed_since(Path(path), run.header.created)


def _changed_since(folder: Path, moment: str) -> bool:
    """Whether any file of a folder is younger; one that is not here cannot be."""
    try:
        newest = max((each.stat().st_mtime for each in folder.iterdir()), default=0.0)
        return newest > datetime.fromisoformat(moment).timestamp()
    except (OSError, ValueError):
        return False


def _samples(
    was: "RunHeader | SweepHeader", now: "RunHeader | SweepHeader"
) -> Iterator[Difference]:
    if was.samples_total != now.samples_total:
        yield Difference("the samples", was.samples_total, now.samples_total)
    elif was.samples_sha256 != now.samples_sha256:
        yield Difference(
            "the samples",
            f"{was.samples_total} ({was.samples_sha256[:8]})",
            f"as many others ({now.samples_sha256[:8]})",
        )
    # Older folders have no such hash.
    elif None not in (was.groups_sha256, now.groups_sha256) and (
        was.groups_sha256 != now.groups_sha256
    ):
        yield Difference(
            "the samples' groups and chance",
            str(was.groups_sha256)[:8],
            str(now.groups_sha256)[:8],
        )
