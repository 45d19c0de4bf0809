"""The models that lmms-eval finds: one for chat messages, one for its older, plain requests."""

import os
import time
from collections import Counter
from datetime import timedelta
from typing import Any, NoReturn

import torch
from lmms_eval.api.instance import GenerationResult, Instance, TokenCounts
from lmms_eval.api.model import lmms
from lmms_eval.models.model_utils.gen_metrics import log_metrics
from loguru import logger
from tqdm import tqdm

from retake_lmms_eval.process import RetakeError, RetakeProcess, find_python

_NO_LIMIT = timedelta(weeks=52)  # of waiting for a rank that has longer videos


class Retake(lmms):
    """Watches videos through any selector and compressor, and answers what tasks ask of them.

    Model arguments are described in docs/lmms-eval.md.
    """

    is_simple = False

    def __init__(self, python: Any = None, **arguments: Any) -> None:
        """Start retake's process, and have it load the model.

        Raises:
            RetakeError: an argument is wrong, the model cannot be loaded, or retake is not there.
        """
        super().__init__()
        program = find_python(python)
        self._device = torch.device("cpu")
        local_rank = None
        if int(os.environ.get("WORLD_SIZE", "1")) > 1:
            from accelerate import Accelerator, InitProcessGroupKwargs

            # On the CPU, what processes tell each other need not touch the devices of retake's.
            on_cpu = str(arguments.get("device", arguments.get("backend"))) == "cpu"
            self.accelerator = Accelerator(
                cpu=on_cpu, kwargs_handlers=[InitProcessGroupKwargs(timeout=_NO_LIMIT)]
            )
            self._rank = self.accelerator.process_index
            self._world_size = self.accelerator.num_processes
            self._device = self.accelerator.device
            local_rank = self.accelerator.local_process_index
        self._batch = arguments.get("batch_size", 1)
        self._process: Any = RetakeProcess(program, arguments, local_rank)
        if self.rank == 0:
            logger.info(f"{self._process.ready['model']}: {self._process.ready['config']}")

    @property
    def device(self) -> torch.device:
        """Where lmms-eval puts what its processes tell each other."""
        return self._device

    @property
    def batch_size(self) -> int:
        return int(self._batch)

    def generate_until(self, requests: list[Instance]) -> list[GenerationResult]:
        """Answer requests, all about one video together.

        Raises:
            RetakeError: a request is not about a video's file, or a video cannot be read.
        """
        times: Counter[int] = Counter()
        asked = []
        for request in requests:
            # lmms-eval repeats a request by handing over the same object again.
            asked.append({**self._plain(request.args), "repeat": times[id(request)]})
            times[id(request)] += 1
        start = time.perf_counter()
        with tqdm(total=len(asked), disable=self.rank != 0, desc="Model Responding") as bar:
            answers, watched = self._process.answer(asked, warn=logger.warning, done=bar.update)
        seconds = time.perf_counter() - start
        tokens = sum(count for _, count in answers)
        log_metrics(
            total_elapsed_time=seconds,
            total_gen_tokens=tokens,
            avg_speed=tokens / seconds,
            additional_metrics={"rank": self.rank, "videos_watched": watched},
        )
        return [GenerationResult(text, TokenCounts(output_tokens=count)) for text, count in answers]

    def _plain(self, args: tuple[Any, ...]) -> dict[str, Any]:
        """What a request asks, as data."""
        _, to_messages, settings, number, task, split = args
        messages = to_messages(self.task_dict[task][split][number]) if to_messages else None
        return {"task": task, "settings": settings, "messages": messages}

    def loglikelihood(self, requests: list[Instance]) -> NoReturn:
        """Refuse: retake gives no probabilities of texts that it did not generate.

        Raises:
            RetakeError: always.
        """
        raise RetakeError(
            "retake generates answers and does not give log-likelihoods.\n"
            "Take tasks of the output type generate_until."
        )

    def generate_until_multi_round(self, requests: list[Instance]) -> NoReturn:
        """Refuse: a question is asked of a video, without what was said before.

        Raises:
            RetakeError: always.
        """
        raise RetakeError(
            "retake answers single questions, not conversations.\n"
            "Take tasks of the output type generate_until."
        )

    def clean(self) -> None:
        """End retake's process; lmms-eval calls this after the last request."""
        self._process.close()
        super().clean()


class RetakeSimple(Retake):
    """The same, for requests of a text and what `doc_to_visual` gives (`--force_simple`)."""

    is_simple = True

    def _plain(self, args: tuple[Any, ...]) -> dict[str, Any]:
        context, settings, to_visual, number, task, split = args
        visuals = to_visual(self.task_dict[task][split][number]) if to_visual else None
        return {"task": task, "settings": settings, "visuals": visuals, "context": context}
