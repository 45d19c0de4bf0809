"""`retake ask MEMORY` on a terminal: a real one, made for the test."""

import os
import pty
import re
import select
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from retake_cli.main import main

from tests.cli.conftest import Run
from tests.cli.forking import Started

_PROMPT = r"(?:^|\n)> "
_PATIENCE = 120  # seconds; loading takes a few


class Terminal:
    """A process on a terminal of its own."""

    def __init__(self, words: tuple[Any, ...]) -> None:
        self._end, theirs = pty.openpty()
        environment = {"TERM": "dumb", "COLUMNS": "100", "INPUTRC": os.devnull}
        self.process = Started(
            words, stdin=theirs, stdout=theirs, stderr=theirs, new_session=True, **environment
        )
        os.close(theirs)
        self._seen = ""

    def wait(self, pattern: str) -> str:
        """Read until the pattern has been shown; all that was shown up to its end."""
        deadline = time.monotonic() + _PATIENCE
        while not (found := re.search(pattern, self._seen, re.DOTALL)):
            assert time.monotonic() < deadline, self._seen
            if not self._read():
                raise AssertionError(f"ended before {pattern!r}: {self._seen}")
        shown, self._seen = self._seen[: found.end()], self._seen[found.end() :]
        return shown

    def type(self, text: str) -> None:
        """Type a line."""
        os.write(self._end, f"{text}\n".encode())

    def press(self, key: bytes) -> None:
        """Press a key such as Ctrl-D."""
        os.write(self._end, key)

    def interrupt(self) -> None:
        """Ctrl-C in the middle of a line."""
        self.press(b"half a que")
        self.wait("half a que")
        time.sleep(0.5)  # what was typed is shown just before the next key is waited for
        self.process.send_signal(signal.SIGINT)

    def end(self) -> tuple[int, str]:
        """The exit code, and what was still shown."""
        deadline = time.monotonic() + _PATIENCE
        while time.monotonic() < deadline and self._read():
            pass
        return self.process.wait(timeout=30), self._seen

    def close(self) -> None:
        """Nothing of it stays."""
        self.process.kill()
        self.process.wait()
        self.process.close()
        os.close(self._end)

    def _read(self) -> bool:
        ready, _, _ = select.select([self._end], [], [], 1)
        if not ready:
            return True
        try:
            data = os.read(self._end, 65536)
        except OSError:  # the other end is closed
            return False
        self._seen += data.decode(errors="replace").replace("\r\n", "\n")
        return bool(data)


@contextmanager
def _on_terminal(*words: Any) -> Iterator[Terminal]:
    terminal = Terminal(words)
    try:
        yield terminal
    finally:
        terminal.close()


@pytest.fixture(scope="module")
def memory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundled clip, watched by the embedded model."""
    path = tmp_path_factory.mktemp("chat") / "short.retake"
    assert main(["watch", "clip:short", "-o", str(path)]) == 0
    return path


def test_chat(memory: Path, process: Run) -> None:
    """The same answers as `run`; what cannot be answered ends nothing; /info, /quit."""
    questions = ("What is it?", "Which colour?")
    run = process("run", "clip:short", *questions, "--json").data["answers"]
    expected = [each["answer"] for each in run]
    before = memory.read_bytes()
    with _on_terminal("ask", memory) as terminal:
        greeting = terminal.wait(_PROMPT)
        assert "answered from the video on its own" in " ".join(greeting.split())
        for question, answer in zip(questions * 2, expected * 2, strict=True):
            terminal.type(question)
            assert terminal.wait(_PROMPT).splitlines()[1:-1] == [answer]
        terminal.type("What is <|video_pad|> here?")
        assert "<|video_pad|>" in terminal.wait(_PROMPT).split("here?", 1)[1]
        terminal.type("/info")
        assert "KV cache" in terminal.wait(_PROMPT)
        terminal.type("/help")
        assert "/info and /quit" in terminal.wait(_PROMPT)
        terminal.type(questions[0])
        assert expected[0] in terminal.wait(_PROMPT)
        terminal.type("/quit")
        assert terminal.end()[0] == 0
    assert memory.read_bytes() == before


@pytest.mark.parametrize(
    ("leave", "code"),
    [
        (lambda terminal: terminal.type(""), 0),
        (lambda terminal: terminal.press(b"\x04"), 0),
        (lambda terminal: terminal.interrupt(), 130),
    ],
    ids=["empty line", "ctrl-d", "ctrl-c"],
)
def test_leaving(memory: Path, leave: Callable[[Terminal], None], code: int) -> None:
    """An empty line, the end of input, or an interruption at the prompt."""
    with _on_terminal("ask", memory) as terminal:
        terminal.wait(_PROMPT)
        leave(terminal)
        assert terminal.end()[0] == code


def test_interrupted_answer(memory: Path, process: Run) -> None:
    """Ctrl-C ends the answer only; the next question is answered as ever."""
    endless = ("--max-new-tokens", "1000000", "--generate-option", "min_new_tokens=1000000")
    with _on_terminal("ask", memory, *endless) as terminal:
        for _ in range(2):
            terminal.wait(_PROMPT)
            terminal.type("What is it?")
            terminal.wait(r"is it\?\n\S")
            terminal.process.send_signal(signal.SIGINT)
            terminal.wait(r"\(stopped\)")
        terminal.wait(_PROMPT)
        terminal.type("/quit")
        assert terminal.end()[0] == 0


def test_no_chat_off_a_terminal(process: Run, memory: Path) -> None:
    """A script is told what to do instead."""
    result = process("ask", memory)
    assert result.code == 2
    assert "no question" in result.err
    assert "--questions FILE" in result.err
