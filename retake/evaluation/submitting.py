"""Submission files: a run's answers as the server or the script of a benchmark takes them."""

from pathlib import PurePath
from typing import Any

from retake.core.benchmark import Benchmark
from retake.core.errors import UsageError, blame
from retake.evaluation.figures import marked_samples
from retake.evaluation.records import OWN_FILES, RunRecords

#: What a run's folder holds already.
_TAKEN = {*OWN_FILES, "report.html"}


def submission_of(
    run: RunRecords, benchmark: Benchmark, *, partial: bool = False
) -> dict[str, str]:
    """The files of a run's submission, name to content.

    Args:
        run: complete, or with `partial` as far as it is.
        benchmark: the one that it is of.
        partial: whether questions may be missing.

    Raises:
        UsageError: questions are missing, the benchmark takes no submissions, or its
            `submission` names no plain files.
    """
    if not run.samples or not (run.complete or partial):
        done, total = len(run.samples), run.header.samples_total
        raise UsageError(
            f"The run '{run.folder}' has {done} of {total} answers; a submission takes all.",
            hint="`retake eval ... --resume` goes on with it"
            + ("; --partial writes what there is." if done else "."),
        )
    with blame(benchmark, "submission"):
        files = dict(benchmark.submission(marked_samples(run)))
    if not files:
        raise UsageError(
            f"The benchmark '{run.header.benchmark.name}' takes no submissions.",
            hint="Its answers are known, and `results.json` in the run's folder has the scores.",
        )
    for name, content in files.items():
        if not (isinstance(content, str) and _is_plain(name)):
            raise UsageError(
                f"{type(benchmark).__name__}.submission() must return texts by the names of plain "
                f"files that are none of a run's own, but returned {name!r:.80}."
            )
    return files


def _is_plain(name: Any) -> bool:
    if not isinstance(name, str) or not name or name.startswith(".") or "\0" in name:
        return False
    return PurePath(name).name == name and "\\" not in name and name not in _TAKEN
