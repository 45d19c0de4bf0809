"""What is asked of workers and what they say of themselves, as typed data."""

from typing import Any

import attrs

from retake.core import config as options
from retake.core.benchmark import Benchmark
from retake.core.config import PartOptions, RunConfig
from retake.core.plain import plain
from retake.loading import options_of


@attrs.frozen
class Task:
    """What all workers of a run do.

    Attributes:
        config: what the model is loaded by, as plain data.
        benchmark: its name or reference, and its options.
        batch, watch_each: as in `Keeping`.
        folder: in which the run was begun: references to code may start there.
    """

    config: dict[str, Any]
    benchmark: PartOptions
    batch: int
    watch_each: bool
    folder: str

    @classmethod
    def of(
        cls,
        config: RunConfig,
        benchmark: tuple[str, Benchmark],
        *,
        batch: int,
        watch_each: bool,
        folder: str,
    ) -> "Task":
        """The task of answering a benchmark with a model."""
        name, itself = benchmark
        return cls(
            config=plain(options.unstructure(config)),
            benchmark=PartOptions(name, plain(options_of(itself))),
            batch=batch,
            watch_each=watch_each,
            folder=folder,
        )


@attrs.frozen
class About:
    """What a worker says of itself once its model is loaded.

    Attributes:
        host, pid: where it runs.
        device: as the backend describes it.
        threads: that compute on the CPU.
        config: the whole resolved configuration, as plain data.
        fingerprint: of the model's weights.
        versions: of Python and the packages that decide its numbers.
        code: SHA-256 of the code of parts and benchmark, by file or module.
    """

    host: str
    pid: int
    device: str
    threads: int
    config: dict[str, Any]
    fingerprint: str
    versions: dict[str, str]
    code: dict[str, str]


@attrs.frozen
class Trouble:
    """An error on its way to the process that writes.

    Attributes:
        kind: the name of its class.
        message, hint: its own.
    """

    kind: str
    message: str
    hint: str | None = None
