"""What a worker does with its model: the run of one video at a time, kept at the other end."""

import gc
import os
import platform
from collections.abc import Mapping, Sequence, Set
from pathlib import Path
from typing import Any, Protocol

import attrs
import torch

from retake import api
from retake.core import config as options
from retake.core.benchmark import Sample
from retake.core.config import PartOptions, RunConfig
from retake.core.errors import PartError
from retake.core.memory import VideoMemory
from retake.core.plain import plain
from retake.core.provenance import versions
from retake.datasets import datasets
from retake.evaluation.coding import code_behind
from retake.evaluation.folder import now
from retake.evaluation.keeping import watched
from retake.evaluation.records import Failure, SampleRecord, to_plain
from retake.evaluation.running import Run
from retake.evaluation.scale.messages import About, Task
from retake.loading import make_part

# What the errors of accelerators begin with, whatever their class.
_OF_DEVICE = ("CUDA error", "CUDA driver error", "HIP error", "NPU ", "ACL ")


class Sender(Protocol):
    """What leads to the process that writes."""

    def progress(self, stage: str, done: int, total: int) -> None:
        """Say how far it is."""

    def hand_over(self, kind: str, **content: Any) -> dict[str, Any]:
        """Send something and wait until it is kept; the reply."""


class FarFolder:
    """A run's folder as a worker has it: at the other end of a line."""

    def __init__(self, sender: Sender, task: Task, answered: set[str]) -> None:
        self._sender = sender
        self._answered = answered
        self.batch = task.batch
        self.watch_each = task.watch_each

    @property
    def answered(self) -> Set[str]:
        """The ids of this video's samples that are answered."""
        return self._answered

    def add_video(self, video: Path, question: str | None, memory: VideoMemory) -> int:
        """Have a pass over a video noted; its number."""
        record = to_plain(watched(video, question, memory))
        number: int = self._sender.hand_over("watch", record=plain(record))["watch"]
        return number

    def add_samples(self, samples: Sequence[SampleRecord]) -> None:
        """Have answered questions noted."""
        for sample in samples:
            self._sender.hand_over("sample", record=plain(to_plain(sample)))
            self._answered.add(sample.id)

    def add_failure(self, video: Path, samples: Sequence[str], reason: str) -> Failure:
        """Say why samples cannot be answered here; whether another tries is not decided here."""
        self._sender.hand_over("failed", reason=reason)
        return Failure(str(video), tuple(samples), reason, now())


class Working:
    """A loaded model at work on a task.

    Args:
        message: the task, as it was sent.
        sender: takes what is found.

    Raises:
        RetakeError: benchmark, parts or model are not as they must be.
    """

    def __init__(self, message: Mapping[str, Any], sender: Sender) -> None:
        _go_to(message["task"]["folder"])
        self._sender = sender
        self._task = _task(message["task"])
        benchmark = self._task.benchmark
        self._benchmark = make_part(datasets, benchmark)[0]
        config = options.structure(RunConfig, self._task.config, "key of the configuration")
        self._model = api.from_config(config)

    def about(self) -> dict[str, Any]:
        """What there is to say of this worker."""
        config = self._model.config
        parts = [
            (self._model.selector, config.selector),
            (self._model.compressor, config.compressor),
        ]
        return attrs.asdict(
            About(
                host=platform.node(),
                pid=os.getpid(),
                device=self._model.backend.describe(),
                threads=torch.get_num_threads(),
                config=plain(options.unstructure(config)),
                fingerprint=self._model.adapter.fingerprint,
                versions=versions(),
                code=code_behind((self._task.benchmark.name, self._benchmark), parts),
            )
        )

    def answer(self, samples: Sequence[Sample], answered: set[str]) -> None:
        """Answer what is left of one video's samples.

        Raises:
            RetakeError: what is wrong with more than this video.
            RuntimeError: the device fails.
        """
        failed: list[Failure] = []
        keeping = FarFolder(self._sender, self._task, answered)
        run = Run(keeping, self._benchmark, on_failure=failed.append)
        try:
            run.answer(self._model, samples[0].video, samples, self._sender.progress)
        except PartError as error:
            # A device that fails says so late, wherever the code is by then: no fault of the part.
            if error.__cause__ is not None and _is_of_device(error.__cause__):
                raise error.__cause__ from error
            raise
        if failed:
            self._tidy()

    def _tidy(self) -> None:
        """Give back what a video left behind for which memory did not suffice."""
        gc.collect()
        device = self._model.backend.device.type
        if device != "cpu":
            torch.get_device_module(device).empty_cache()


def _is_of_device(error: BaseException) -> bool:
    """Whether an accelerator, and no code, is at fault."""
    kind = getattr(torch, "AcceleratorError", None)
    if kind is not None and isinstance(error, kind):
        return True
    return isinstance(error, RuntimeError) and str(error).startswith(_OF_DEVICE)


def _task(data: Mapping[str, Any]) -> Task:
    benchmark = PartOptions(data["benchmark"]["name"], data["benchmark"]["options"])
    return Task(**{**data, "benchmark": benchmark})


def _go_to(folder: str) -> None:
    """To the folder of the run's command, where it is there on this machine."""
    if Path(folder).is_dir():
        os.chdir(folder)
