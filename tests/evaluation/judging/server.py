"""A local endpoint that speaks /v1/chat/completions, and misbehaves as a test says."""

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import attrs

#: What a judge of the benchmark in `essays.py` should say.
GOOD = 'A fair attempt. {"accuracy": 4, "style": 3}'


@attrs.frozen
class Answered:
    """What is sent back: a body, or a broken one, or nothing.

    Attributes:
        body: as bytes.
        status: of HTTP.
        headers: besides the content's type and length.
        kind: the content's type.
        after: seconds to wait before it.
        cut: promise more than is sent, and hang up.
        silent: hang up without a word.
        drip: seconds between two bytes of it.
    """

    body: bytes = b""
    status: int = 200
    headers: Mapping[str, str] = attrs.field(factory=dict)
    kind: str = "application/json"
    after: float = 0.0
    cut: bool = False
    silent: bool = False
    drip: float = 0.0


@attrs.frozen
class Request:
    """What came in.

    Attributes:
        number: from 1, in the order of coming.
        body: as JSON has it.
        key: behind "Bearer".
        headers: by name in small letters.
        at: on a clock that only counts.
    """

    number: int
    body: dict[str, Any]
    key: str
    headers: Mapping[str, str]
    at: float

    @property
    def text(self) -> str:
        """What the user's message says."""
        return str(self.body["messages"][-1]["content"])


Script = Callable[[Request], Answered]


def says(text: str | None = GOOD, *, tokens: tuple[int, int] | None = (100, 10)) -> Answered:
    """A completion as it should be."""
    completion: dict[str, Any] = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "judge-2024-04-09",
        "choices": [
            {
                "index": 0,
                "finish_reason": "stop" if text is not None else "content_filter",
                "message": {"role": "assistant", "content": text},
            }
        ],
    }
    if tokens is not None:
        prompt, reply = tokens
        completion["usage"] = {
            "prompt_tokens": prompt,
            "completion_tokens": reply,
            "total_tokens": prompt + reply,
        }
    return sends(completion)


def sends(data: Any, **changes: Any) -> Answered:
    """Any JSON."""
    return Answered(json.dumps(data).encode(), **changes)


def refuses(
    status: int, message: str = "no", *, code: str | None = None, **headers: str
) -> Answered:
    """An error as endpoints send it; `retry_after="2"` becomes the header Retry-After."""
    error = {"message": message, "type": "some_error", "param": None, "code": code}
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return sends({"error": error}, status=status, headers=named)


def in_turn(*answers: Answered, then: Answered | None = None) -> Script:
    """The first answer to the first request, and so on; `then`, or a good one, to all others."""

    def script(request: Request) -> Answered:
        done = request.number - 1
        return answers[done] if done < len(answers) else then or says()

    return script


class Server:
    """The endpoint, and what it saw.

    Attributes:
        requests: in the order of coming.
        most: how many were under way at a time, at most.
    """

    def __init__(self, script: Script) -> None:
        self.requests: list[Request] = []
        self.most = 0
        self._under_way = 0
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._script = script
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._http.daemon_threads = True
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,))
        self._thread.start()

    @property
    def host(self) -> str:
        """With its port."""
        return f"127.0.0.1:{self._http.server_port}"

    @property
    def url(self) -> str:
        """As --base-url takes it."""
        return f"http://{self.host}/v1"

    def answers(self, script: Script) -> None:
        """From now on, counting anew."""
        with self._lock:
            self.requests.clear()
            self._script = script

    def close(self) -> None:
        """Stop, also what waits."""
        self._ended.set()
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                raw = self.rfile.read(int(self.headers["Content-Length"]))
                if self.path != "/v1/chat/completions":
                    self.send_error(404)
                    return
                try:
                    body = json.loads(raw)
                except ValueError:  # whoever asked was killed while asking
                    self.close_connection = True
                    return
                headers = {name.lower(): value for name, value in self.headers.items()}
                with server._counted(body, headers) as answer:
                    server._ended.wait(answer.after)
                    self._send(answer)

            def _send(self, answer: Answered) -> None:
                if answer.silent:
                    self.close_connection = True
                    return
                try:
                    self.send_response(answer.status)
                    self.send_header("Content-Type", answer.kind)
                    more = 1000 if answer.cut else 0
                    self.send_header("Content-Length", str(len(answer.body) + more))
                    for name, value in answer.headers.items():
                        self.send_header(name, value)
                    self.end_headers()
                    for part in _parts(answer):
                        self.wfile.write(part)
                        server._ended.wait(answer.drip)
                    self.close_connection = answer.cut
                except OSError:  # whoever asked has gone: timed out, interrupted or killed
                    self.close_connection = True

            def handle(self) -> None:
                try:
                    super().handle()
                except OSError:  # likewise, between two requests
                    self.close_connection = True

            def log_message(self, format: str, *args: Any) -> None:
                """Not on the terminal."""

        return Handler

    @contextmanager
    def _counted(self, body: dict[str, Any], headers: Mapping[str, str]) -> Iterator[Answered]:
        key = headers["authorization"].removeprefix("Bearer ")
        with self._lock:
            request = Request(len(self.requests) + 1, body, key, headers, time.monotonic())
            self.requests.append(request)
            self._under_way += 1
            self.most = max(self.most, self._under_way)
            script = self._script
        try:
            yield script(request)
        finally:
            with self._lock:
                self._under_way -= 1


def _parts(answer: Answered) -> Iterator[bytes]:
    """A body, byte by byte where it drips."""
    if not answer.drip:
        yield answer.body
        return
    for byte in answer.body:
        yield bytes([byte])
