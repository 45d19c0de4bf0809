"""The process that answers: JSON lines in, JSON lines out, until its input ends.

First comes {"arguments": {…}, "local_rank": 0}, answered by {"ready": {"model": …, "config": …}};
then any number of {"requests": […]}, each answered by {"answers": [[text, tokens], …],
"watched": 2}. In between come {"done": 3} (requests answered since) and {"warning": "…"}.
{"error": "…"} ends an exchange, and the process where it was the first.
"""

import json
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any, TextIO

import torch

from retake import api, loading
from retake.core.config import unstructure
from retake.core.errors import RetakeError, UsageError
from retake.integrations.lmms_eval.answering import Answering, Request
from retake.integrations.lmms_eval.arguments import Arguments, read_arguments
from retake.integrations.lmms_eval.decoding import read_decoding
from retake.integrations.lmms_eval.requests import from_messages, from_visuals
from retake.video_model import VideoModel


def main() -> None:
    """Serve on standard input and output; whatever else is printed goes to standard error."""
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as output:
        os.dup2(2, 1)
        Serving(sys.stdin, output).run()


class Serving:
    """One conversation with lmms-eval's side."""

    def __init__(self, lines: TextIO, output: TextIO) -> None:
        self._lines = lines
        self._output = output
        self._told: set[str] = set()

    def run(self) -> None:
        """Load the model, then answer until the input ends or the other side is gone."""
        try:
            first = json.loads(next(iter(self._lines)))
            try:
                arguments = read_arguments(first["arguments"])
                model = _load(arguments, first.get("local_rank"))
            except RetakeError as error:
                self._say(error=str(error))
                return
            self._say(ready={"model": repr(model), "config": unstructure(model.config)})
            for line in self._lines:
                try:
                    self._answer(model, arguments, json.loads(line)["requests"])
                except RetakeError as error:
                    self._say(error=str(error))
        except BrokenPipeError:
            # Lines still buffered would be tried again when the output is closed.
            os._exit(1)

    def _answer(
        self, model: VideoModel, arguments: Arguments, asked: Sequence[Mapping[str, Any]]
    ) -> None:
        requests = [self._request(each, arguments) for each in asked]
        answering = Answering(
            model,
            batch=arguments.batch,
            on_bad_video=arguments.on_bad_video,
            warn=self._warn,
            done=lambda count: self._say(done=count),
        )
        answers = answering.answers(requests)
        self._say(
            answers=[[answer.text, answer.tokens] for answer in answers],
            watched=answering.watched,
        )

    def _request(self, given: Mapping[str, Any], arguments: Arguments) -> Request:
        """A request as lmms-eval's side sends it: messages, or visuals and a context."""
        task = given["task"]
        if "messages" in given:
            asked = from_messages(given["messages"], task)
        else:
            asked = from_visuals(given["visuals"], given["context"], task)
        decoding = read_decoding(
            given["settings"] or {}, stop_at_blank_line=arguments.stop_at_blank_line
        )
        if decoding.unread:
            self._warn(f"The task '{task}': settings left unread: {', '.join(decoding.unread)}.")
        return Request(asked.video, asked.question, decoding, given["repeat"])

    def _warn(self, message: str) -> None:
        """Say something once."""
        if message not in self._told:
            self._told.add(message)
            self._say(warning=message)

    def _say(self, **message: Any) -> None:
        self._output.write(json.dumps(message) + "\n")
        self._output.flush()


def _load(arguments: Arguments, local_rank: int | None) -> VideoModel:
    """The model, on the device that was given, or on that of this one of several processes."""
    kind = loading.make_backend(arguments.config.model.backend, "sdpa").device.type
    number = arguments.device.index if arguments.device is not None else None
    if local_rank is not None and number is not None:
        raise UsageError(
            f"The device is {arguments.device}, and several processes were launched.",
            hint=f"Each takes its own: write {kind}, or leave it out.",
        )
    number = local_rank if number is None else number
    if number is not None and kind != "cpu":
        torch.get_device_module(kind).set_device(number)
    return api.from_config(arguments.config)
