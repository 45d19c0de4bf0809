"""`results.json`: what a run came to, and everything that it takes to obtain it again."""

import json
import secrets
from typing import Any

import attrs

from retake.core import writing
from retake.core.benchmark import Benchmark
from retake.core.errors import RunFolderError
from retake.core.plain import plain
from retake.evaluation.figures import figures, marked_samples
from retake.evaluation.folder import now
from retake.evaluation.judging.records import read_judgements
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
        benchmark's own figures as `figures` has them. "summary": as `summarise` has it. "parsed":
        from how many answers something was read, and from how many nothing. "judged": by whom how
        many were, None without a judge. "sessions": the processes that answered.

    Raises:
        UsageError: the benchmark's metrics are no numbers.
        RunFolderError: the judgements are damaged.
    """
    judgements = read_judgements(run.folder)
    aspects = {name: each.aspects for name, each in judgements.items()}
    read = sum(sample.parsed is not None for sample in run.samples)
    return {
        "format": FORMAT,
        "written": now(),
        "complete": run.complete,
        "answered": len(run.samples),
        "failed": run.failed,
        "failures": [attrs.asdict(failure) for failure in run.failures],
        "metrics": figures(benchmark, marked_samples(run, aspects)),
        "summary": summarise(run.samples, run.videos),
        "parsed": {"read": read, "nothing": len(run.samples) - read},
        "judged": _judges(judgements) or None,
        "run": attrs.asdict(run.header),
        "sessions": [attrs.asdict(session) for session in run.sessions],
        "notes": list(run.notes),
    }


def write_results(run: RunRecords, benchmark: Benchmark) -> dict[str, Any]:
    """Write what a run came to into its folder, whole or not at all; it is returned.

    Raises:
        UsageError, RunFolderError: as `results_of`; or the system refuses.
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
    """What `write_results` wrote of a run; None where nothing was, or the run has more by now.

    Raises:
        RunFolderError: the file is damaged.
    """
    path = run.folder / RESULTS
    try:
        data = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise RunFolderError(f"Cannot read '{path}': {error.strerror}.") from error
    except ValueError as error:
        raise RunFolderError(
            f"'{path}' is damaged: it is not JSON ({error}).",
            hint="`retake eval ... --resume` writes it anew from the answers.",
        ) from error
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        return None
    same = (data.get("answered"), data.get("failed")) == (len(run.samples), run.failed)
    return data if same else None


def _judges(judgements: Any) -> dict[str, int]:
    """How many answers each model judged."""
    counted: dict[str, int] = {}
    for each in judgements.values():
        counted[each.model] = counted.get(each.model, 0) + 1
    return counted
