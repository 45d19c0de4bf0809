"""A conversation with a decord process: frames asked for and got, or a reason in words."""

import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from retake.video.base import Image

WORKER = Path(__file__).with_name("decord_worker.py")
OPEN_SECONDS = 120.0

# What FFmpeg says of files in which nothing is wrong.
HARMLESS = (
    "deprecated pixel format used",
    "co located POCs unavailable",
    "Failed to parse extradata",
    "No accelerated colorspace conversion",
)


class DecordTroubleError(Exception):
    """decord failed, died, or took too long; the message says which, in words."""


class DecordProcess:
    """One decord reader in a process of its own, which cannot hang or crash this one.

    Attributes:
        frames: how many frames decord counts.
    """

    def __init__(self, path: Path, site: str, threads: int) -> None:
        handle, said = tempfile.mkstemp(prefix="retake-decord-", suffix=".log")
        self._said = Path(said)
        self._process = subprocess.Popen(
            [sys.executable, "-P", str(WORKER), site, str(path.absolute()), str(threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=handle,
        )
        os.close(handle)
        self._end = weakref.finalize(self, _end, self._process, self._said)
        try:
            with self._limit(OPEN_SECONDS):
                self.frames = int(self._answer()["frames"])
        except BaseException:
            self.close()
            raise

    def frame(self, index: int, *, seconds: float) -> Image:
        """Frame `index` as decord decodes it, within so many seconds; `[H, W, 3]`."""
        with self._limit(seconds):
            self._ask(index)
            image: Image = np.empty(self._answer()["shape"], dtype=np.uint8)
            rest = memoryview(image.data).cast("B")
            while rest:
                count = self._output.readinto(rest)
                if not count:
                    raise DecordTroubleError(self._last_words())
                rest = rest[count:]
        return image

    def complaint(self) -> str:
        """The first thing FFmpeg said that means damage; "" where it said no such thing."""
        for line in self._heard():
            if not any(words in line for words in HARMLESS):
                return line
        return ""

    def close(self) -> None:
        """End the process; nothing is left of it. A reader left unclosed does so when it goes."""
        self._end()

    def kill(self) -> None:
        """End the process from any thread, which wakes whoever waits for it; then `close`."""
        self._process.kill()

    @property
    def _output(self) -> Any:
        return self._process.stdout

    def _ask(self, index: int) -> None:
        pipe = self._process.stdin
        try:
            if pipe is not None:
                pipe.write(json.dumps([index]).encode() + b"\n")
                pipe.flush()
        except OSError:
            raise DecordTroubleError(self._last_words()) from None

    def _answer(self) -> dict[str, Any]:
        line = self._output.readline()
        if not line.endswith(b"\n"):
            raise DecordTroubleError(self._last_words())
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise DecordTroubleError(f"decord says: {_plain(answer['error'])}")
        return answer

    @contextmanager
    def _limit(self, seconds: float) -> Iterator[None]:
        """End the process where an answer takes longer, which wakes whoever waits for it."""
        late, process = threading.Event(), self._process

        def give_up() -> None:
            late.set()
            process.kill()

        timer = threading.Timer(seconds, give_up)
        timer.daemon = True
        timer.start()
        try:
            yield
        except DecordTroubleError:
            if late.is_set():
                why = f"decord gave no answer within {seconds:.0f} s"
                raise DecordTroubleError(why) from None
            raise
        finally:
            timer.cancel()

    def _last_words(self) -> str:
        code = self._process.wait()
        heard = self._heard()
        return f"decord's process ended with {code}" + (f" ({heard[-1]})" if heard else "")

    def _heard(self) -> list[str]:
        lines = self._said.read_text(errors="replace").splitlines()
        return [line.strip() for line in lines if line.strip()]


def _end(process: "subprocess.Popen[bytes]", said: Path) -> None:
    process.kill()
    process.communicate()
    said.unlink(missing_ok=True)


def _plain(message: str) -> str:
    """An error of decord's without the date and the place in its source code."""
    if "cannot find video stream" in message:
        return "there is no decoder for this video"
    return re.sub(r"^(\[[\d:]+\]\s+\S+:\d+:\s*)+", "", message.strip()).rstrip(".")
