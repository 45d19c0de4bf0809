"""The benchmark that a run is of, made again from what the run says of it."""

from retake.core.benchmark import Benchmark
from retake.core.config import PartOptions
from retake.core.errors import RetakeError, UsageError
from retake.datasets import datasets
from retake.evaluation.records import RunRecords
from retake.loading import make_part


def benchmark_of(run: RunRecords) -> Benchmark:
    """The benchmark with the options that the run was begun with.

    Raises:
        UsageError: it cannot be had any more: its file or plug-in is gone, or it takes other
            options by now.
    """
    record = run.header.benchmark
    try:
        made, _ = make_part(datasets, PartOptions(record.name, dict(record.options)))
    except RetakeError as error:
        raise UsageError(
            f"The benchmark '{record.name}' of the run '{run.folder}' cannot be made again: "
            f"{error.message}",
            hint=error.hint or "Call this from the folder that the run was begun in.",
        ) from error
    return made
