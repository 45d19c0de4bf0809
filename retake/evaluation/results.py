"""`results.json`: what a run came to, and everything that it takes to obtain it again."""

import json
import secrets
from hashlib import sha256
from typing import Any

import attrs

from retake.core import writing
from retake.core.benchmark import Benchmark
from retake.core.errors import RunFolderError
from retake.core.plain import plain
from retake.evaluation.figures import figures, marked_samples
from retake.evaluation.folder import now
from retake.evaluation.judging.judges import judges_of
from retake.evaluation.judging.planning import standing_judgements
from retake.evaluation.judging.records import JUDGEMENTS
from retake.evaluation.records import RESULTS, RunRecords
from retake.evaluation.summary import summarise

FORMAT = "retake.results/1"


def results_of(run: RunRecords, benchmark: Benchmark) -> dict[str, Any]:
    """What a run came to, as plain data.

    Args:
        run: complete or not.
        benchmark: the one that it is of.

    Returns:
        "run": its header. "complete", "answered", "failed" and "failures". "metrics": the
        benchmark's own figures as `figures` has them, and "metrics_trouble", what was wrong with
        them or None. "summary": as `summarise` has it. "parsed": from how many answers something
        was "read", from how many "nothing", and of how many that is "unknown", which older runs
        did not keep. "judged": who judged how many, as `judges_of` has it. "sessions": the
        processes that answered.

    Raises:
        RunFolderError: the judgements are damaged.
    """
    judgements = standing_judgements(run, benchmark)
    aspects = {name: each.aspects for name, each in judgements.items()}
    found = figures(benchmark, marked_samples(run, aspects))
    return {
        "format": FORMAT,
        "written": now(),
        **_state(run),
        "failures": [attrs.asdict(failure) for failure in run.failures],
        "metrics": list(found.metrics),
        "metrics_trouble": found.trouble,
        "summary": summarise(run.samples, run.videos),
        "parsed": _parsed(run),
        "judged": judges_of(judgements),
        "run": attrs.asdict(run.header),
        "sessions": [attrs.asdict(session) for session in run.sessions],
        "notes": list(run.notes),
    }


def write_results(run: RunRecords, benchmark: Benchmark) -> dict[str, Any]:
    """Write what a run came to into its folder, whole or not at all; it is returned.

    Raises:
        RunFolderError: as `results_of`; or the system refuses.
    """
    found = results_of(run, benchmark)
    path = run.folder / RESULTS
    text = json.dumps(plain(found), indent=2, ensure_ascii=False, allow_nan=False)
    beside = path.with_name(f".run-{secrets.token_hex(6)}.part")
    try:
        with writing.replacing(path, beside) as file:
            file.write(f"{text}\n".encode("utf-8", "backslashreplace"))
    except OSError as error:
        raise RunFolderError(f"Cannot write '{path}': {error.strerror}.") from error
    return found


def read_results(run: RunRecords) -> dict[str, Any] | None:
    """What `write_results` wrote of a run as it is now.

    None where nothing was written, the run or its judgements have more by now, or the file is not
    as it was written: it holds nothing that the run does not.
    """
    try:
        data = json.loads((run.folder / RESULTS).read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        return None
    state = _state(run)
    as_it_is = {name: data.get(name) for name in state} == state
    return data if as_it_is and _is_sound(data.get("metrics")) else None


def _state(run: RunRecords) -> dict[str, Any]:
    """How far a run is: by this it is seen whether results are of it as it is now."""
    try:
        judged = sha256((run.folder / JUDGEMENTS).read_bytes()).hexdigest()
    except OSError:
        judged = None
    return {
        "complete": run.complete,
        "answered": len(run.samples),
        "failed": run.failed,
        "sessions_total": len(run.sessions),
        "judgements_sha256": judged,
    }


def _is_sound(metrics: Any) -> bool:
    names = {"name", "value", "scale", "low", "high"}
    return isinstance(metrics, list) and all(
        isinstance(each, dict) and names <= each.keys() for each in metrics
    )


def _parsed(run: RunRecords) -> dict[str, int]:
    kept = [sample for sample in run.samples if sample.prompt is not None]
    read = sum(sample.parsed is not None for sample in kept)
    return {
        "read": read,
        "nothing": len(kept) - read,
        "unknown": len(run.samples) - len(kept),
    }
