"""retake's process, as lmms-eval's side sees it: started, asked, ended.

The lines that go to and fro are described in `retake/integrations/lmms_eval/serving.py`.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

VARIABLE = "RETAKE_PYTHON"
_MODULE = "retake.integrations.lmms_eval"
# They would tell retake's process that it is one of several, which only this side is.
_OF_THE_LAUNCHER = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "GROUP_RANK")


class RetakeError(RuntimeError):
    """What retake has to say of arguments, a task or a video; or that its process is gone."""


def find_python(given: Any = None) -> str:
    """The Python of the environment in which retake is installed.

    Args:
        given: the model argument "python"; without it the environment variable says.

    Raises:
        RetakeError: neither is given, or there is no such program.
    """
    wanted = given or os.environ.get(VARIABLE)
    if not wanted:
        raise RetakeError(
            "Where is retake? It runs in an environment of its own.\n"
            f"Give that environment's Python: --model_args python=/path/to/bin/python, or "
            f"{VARIABLE}."
        )
    found = shutil.which(os.path.expanduser(str(wanted)))
    if found is None:
        raise RetakeError(f"There is no program '{wanted}' (the Python that has retake).")
    return found


def plain(value: Any) -> Any:
    """A task's data as JSON has it; of anything else, its type."""
    if value is None or isinstance(value, str | int | float | bool):
        return value
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return {"python type": f"{type(value).__module__}.{type(value).__qualname__}"}


class RetakeProcess:
    """A process of retake with a loaded model."""

    def __init__(
        self, python: str, arguments: Mapping[str, Any], local_rank: int | None = None
    ) -> None:
        """Start it, and wait until the model is loaded.

        Args:
            python: of retake's environment.
            arguments: of the model.
            local_rank: which of several processes on this machine; each has its own device.

        Raises:
            RetakeError: an argument is wrong, the model cannot be loaded, or retake is not there.
        """
        environment = {
            name: value for name, value in os.environ.items() if name not in _OF_THE_LAUNCHER
        }
        self._process = subprocess.Popen(
            [python, "-m", _MODULE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            encoding="utf-8",
        )
        self._program = python
        try:
            self._send({"arguments": plain(arguments), "local_rank": local_rank})
            #: The model and its whole configuration.
            self.ready = self._receive()["ready"]
        except BaseException:
            self.close()
            raise

    def answer(
        self,
        requests: Sequence[Mapping[str, Any]],
        *,
        warn: Callable[[str], None],
        done: Callable[[int], None],
    ) -> tuple[list[tuple[str, int]], int]:
        """Answer requests.

        Args:
            requests: with "task", "settings", "repeat", and "messages" or "visuals", "context".
            warn: told what a person should know.
            done: told how many were answered just now.

        Returns:
            Text and number of tokens of each answer, and how often a video was watched.

        Raises:
            RetakeError: a request is not about a video's file, or a video cannot be read.
        """
        self._send({"requests": plain(list(requests))})
        while True:
            message = self._receive()
            if "warning" in message:
                warn(message["warning"])
            elif "done" in message:
                done(message["done"])
            else:
                answers = [(text, tokens) for text, tokens in message["answers"]]
                return answers, message["watched"]

    def close(self) -> None:
        """End it, if it has not ended."""
        if self._process.stdin is not None and not self._process.stdin.closed:
            with suppress(BrokenPipeError):
                self._process.stdin.close()
        try:
            self._process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()

    def _send(self, message: Mapping[str, Any]) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(message) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise self._gone() from None

    def _receive(self) -> dict[str, Any]:
        """The next message.

        Raises:
            RetakeError: it is an error, or there is none: the process ended.
        """
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise self._gone()
        message: dict[str, Any] = json.loads(line)
        if "error" in message:
            raise RetakeError(message["error"])
        return message

    def _gone(self) -> RetakeError:
        code = self._process.wait()
        return RetakeError(
            f"retake's process ended with exit code {code} ({self._program} -m {_MODULE}).\n"
            "What it printed stands above. Is retake installed in that environment?"
        )
