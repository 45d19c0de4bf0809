"""How an endpoint's client speaks HTTP: to that address alone, without what is meant for another.

The idea: what leaves is decided on the last step, where a request is whole. The official client
takes an organisation, a project and any header from the environment and sends them wherever it
asks; it follows redirects, with the answers and the rubric in them; and it reads as much as comes.
"""

import importlib
from collections.abc import AsyncIterator, Callable
from typing import Any
from urllib.parse import urlsplit

from retake.evaluation.judging.secret import Secret

#: Bytes of a reply that are read. One that counts has 100,000 characters, six bytes each at most;
#: what some judges think aloud comes beside it.
LONGEST_BODY = 8 * 2**20
# Of one that comes compressed, though none is asked for: it may be a thousand times as long.
_COMPRESSED = LONGEST_BODY // 32

# All that a request needs; not: cookies, headers of the environment, who the user is at OpenAI.
_NEEDED = frozenset(
    ("accept", "accept-encoding", "connection", "content-length", "content-type", "host")
)


class TooLongError(Exception):
    """More came than a reply may be long."""


def is_openai(base_url: str) -> bool:
    """Whether an address is OpenAI's own, in any of its regions."""
    parts = urlsplit(base_url)
    host = f".{parts.hostname or ''}"
    return parts.scheme == "https" and host.endswith(".api.openai.com")


def client(openai: Any, base_url: str, key: Secret, arrived: Callable[[], None]) -> Any:
    """A client for the official one, of the HTTP library that it is made for.

    Args:
        openai: the module.
        base_url: whom is asked.
        key: for it.
        arrived: called when the head of any reply is there.
    """

    async def leaves(request: Any) -> None:
        if is_openai(base_url):
            return
        for name in {*request.headers} - _NEEDED:
            del request.headers[name]
        request.headers["Authorization"] = f"Bearer {key.reveal()}"

    async def arrives(response: Any) -> None:
        arrived()
        response.stream = _capped(response)

    return openai.DefaultAsyncHttpxClient(
        follow_redirects=False, event_hooks={"request": [leaves], "response": [arrives]}
    )


def _capped(response: Any) -> Any:
    """The body of a response, as long as it may be."""
    # Newer clients are made with a successor of httpx; a stream must be of the same library.
    library = importlib.import_module(type(response).__module__.partition(".")[0])
    encoding = response.headers.get("content-encoding", "identity")
    most, stream = LONGEST_BODY if encoding == "identity" else _COMPRESSED, response.stream

    class Capped(library.AsyncByteStream):  # type: ignore[misc, name-defined]
        async def __aiter__(self) -> AsyncIterator[bytes]:
            length = 0
            async for part in stream:
                length += len(part)
                if length > most:
                    raise TooLongError
                yield part

        async def aclose(self) -> None:
            await stream.aclose()

    return Capped()
