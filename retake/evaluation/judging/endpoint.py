"""An OpenAI-compatible endpoint, asked once at a time; what went wrong is told apart.

The idea: the official client speaks the protocol, and its own retries are off. It would wait two
minutes at most however long an endpoint asks for, would try again where the account has no
credit, and does not see the replies that are no use: those are asked for anew here, with all
other trouble, by one count (`asking.py`). What this module does not know: what is asked.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import attrs

from retake.core.errors import MissingExtraError, UsageError
from retake.evaluation.judging.connection import TooLongError, client
from retake.evaluation.judging.errors import JudgeError, NotNow, NotThis
from retake.evaluation.judging.records import Judge
from retake.evaluation.judging.secret import Secret
from retake.evaluation.judging.texts import on_a_line, whole
from retake.evaluation.judging.waiting import LONGEST_ASKED, asked_to_wait

#: Where it is asked if nothing else is said.
BASE_URL = "https://api.openai.com/v1"

_AGAIN = (408, 409, 425, 429)  # and all from 500
_OF_ONE = (400, 413, 422)  # about this request: too long, or refused for what it says
_NO_CREDIT = ("insufficient_quota", "billing_not_active", "billing_hard_limit_reached")
_NO_REPLY = "what came back is no reply: it is not the JSON that it should be"
_MOST_TOKENS = 10**9  # of one reply; an endpoint that says more says nothing


@attrs.frozen
class Reply:
    """What a judge replied.

    Attributes:
        text: its words.
        served: the model's name by the endpoint's word.
        prompt_tokens, completion_tokens: likewise.
        cut: whether a limit of tokens ended it.
    """

    text: str
    served: str | None
    prompt_tokens: int | None
    completion_tokens: int | None
    cut: bool = False


def host_of(base_url: str) -> str:
    """The host of an address, with its port if it names one.

    Raises:
        UsageError: it is no address of an endpoint, or holds a name, a password or a query, in
            which keys would be written down.
    """
    try:
        parts = urlsplit(base_url)
        host, port = parts.hostname, parts.port
    except ValueError:
        parts, host, port = urlsplit(""), None, None
    if parts.scheme not in ("http", "https") or not host or not base_url.isprintable():
        raise UsageError(
            "The base URL must be the address of an endpoint, http:// or https://, such as "
            f"{BASE_URL} or http://localhost:8000/v1."
        )
    if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
        raise UsageError(
            f"The base URL at '{host}' holds more than an address: a name, a password or a query.",
            hint="Only the environment may hold a key.",
        )
    shown = f"[{host}]" if ":" in host else host
    return shown if port is None else f"{shown}:{port}"


class Endpoint:
    """Where a judge is asked; an async context manager.

    Args:
        judge: who is asked for.
        key: for it.
        base_url: the address, without "/chat/completions".
        timeout: seconds for a request, from sending it to the whole reply.

    Raises:
        MissingExtraError: openai is not installed.
        UsageError: the address is wrong.

    Attributes:
        host: of the address.
        reached: whether anything has come back from it.
    """

    def __init__(
        self, judge: Judge, key: Secret, *, base_url: str = BASE_URL, timeout: float = 120.0
    ) -> None:
        try:
            import openai
        except ImportError as error:
            raise MissingExtraError(
                "Judges are asked by the openai client, which is not installed.",
                hint="pip install 'retake[judge]'",
            ) from error
        self.host = host_of(base_url)
        self.reached = False
        self._judge = judge
        self._key = key
        self._timeout = timeout
        self._openai = openai
        self._client = openai.AsyncOpenAI(
            api_key=key.reveal(),
            base_url=base_url,
            max_retries=0,
            timeout=timeout,
            default_headers={"Accept-Encoding": "identity"},
            http_client=client(openai, base_url, key, self._arrived),
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        await self._client.close()

    async def ask(self, messages: Sequence[Mapping[str, str]], attempt: int = 1) -> Reply:
        """One request, and its reply.

        Args:
            messages: what is asked.
            attempt: counted from 1; a seed moves on by one with each.

        Raises:
            NotNow: to be sent again.
            NotThis: not to be sent again.
            JudgeError: no other request would be taken either.
        """
        trouble: Exception
        try:
            async with asyncio.timeout(self._timeout):
                found = await self._client.chat.completions.create(
                    **self._request(messages, attempt)
                )
            return self._reply(found)
        except (TimeoutError, self._openai.APITimeoutError):
            trouble = NotNow(f"there was no reply within {self._timeout:g} s")
        except TooLongError:
            trouble = NotNow("the reply is longer than any that can be read")
        except self._openai.APIStatusError as error:
            trouble = self._status(error)
        except self._openai.APIConnectionError as error:
            cause = error.__cause__ or error
            said = self._short(str(cause)) or type(cause).__name__
            trouble = NotNow(f"the connection failed ({said})")
        except (ValueError, RecursionError, self._openai.OpenAIError):
            trouble = NotNow(_NO_REPLY)
        # Not from the client's errors: they quote what was sent and what came back.
        raise trouble

    def _arrived(self) -> None:
        self.reached = True

    def _request(self, messages: Sequence[Mapping[str, str]], attempt: int) -> dict[str, Any]:
        asked = {
            "model": self._judge.model,
            "messages": [dict(message) for message in messages],
            "temperature": self._judge.temperature,
        }
        if self._judge.seed is not None:
            asked["seed"] = self._judge.seed + attempt - 1
        if self._judge.max_tokens is not None:
            asked["max_tokens"] = self._judge.max_tokens
        return asked

    def _reply(self, found: Any) -> Reply:
        """What is in a completion, whose types the client does not check."""
        choices = getattr(found, "choices", None)
        if not isinstance(choices, list):
            raise self._told(getattr(found, "error", None))
        if not choices:
            raise NotNow("the reply is empty: it has no choices")
        text = _text(getattr(getattr(choices[0], "message", None), "content", None))
        why = getattr(choices[0], "finish_reason", None)
        if text is None:
            raise NotNow("the reply is empty" + (f" ({self._short(str(why))})" if why else ""))
        usage, served = getattr(found, "usage", None), getattr(found, "model", None)
        return Reply(
            text=whole(self._key.hidden_in(text)),
            served=self._short(served) if isinstance(served, str) else None,
            prompt_tokens=_count(getattr(usage, "prompt_tokens", None)),
            completion_tokens=_count(getattr(usage, "completion_tokens", None)),
            cut=why == "length",
        )

    def _told(self, error: Any) -> Exception:
        """What came with the status of a reply, and is none: some send their errors so."""
        said = self._short(_words(error) or _words({"error": error}))
        if _is_no_credit(error):
            return JudgeError(f"The account at {self.host} has no credit left: {said}.")
        return NotNow(f"what came back is an error: {said}" if said else _NO_REPLY)

    def _status(self, error: Any) -> Exception:
        """What a refusal means."""
        status, said = error.status_code, self._short(_words(error.body))
        reason = f"it answered {status}" + (f": {said}" if said else "")
        if status == 402 or (status == 429 and _is_no_credit(error.body)):
            return JudgeError(f"The account at {self.host} has no credit left: {reason}.")
        if status in _AGAIN or status >= 500:
            wait = asked_to_wait(error.response.headers)
            if wait is not None and wait > LONGEST_ASKED:
                return JudgeError(
                    f"{self.host} asks to be left alone for {wait / 60:.4g} minutes: {reason}.",
                    hint="What is judged is kept; the same command goes on with the rest.",
                )
            return NotNow(reason, wait)
        if status in _OF_ONE:
            return NotThis(reason)
        return JudgeError(f"{self.host} refuses the request: {reason}.", hint=self._hint(status))

    def _hint(self, status: int) -> str:
        if status in (401, 403):
            return "Check the key, and what it may be used for."
        return (
            f"Check the model, '{self._judge.model}', and the base URL, which mostly ends in /v1."
        )

    def _short(self, text: str) -> str:
        """A text from outside in one line, without the key, as a part of a sentence."""
        line = on_a_line(self._key.hidden_in(text)).rstrip(".")
        return line if len(line) <= 200 else f"{line[:199]}…"


def _text(content: Any) -> str | None:
    """The words of a message, which some endpoints send in parts; None where there are none."""
    if not isinstance(content, list):
        return content if isinstance(content, str) else None
    parts = [part.get("text") for part in content if isinstance(part, Mapping)]
    texts = [part for part in parts if isinstance(part, str)]
    return "".join(texts) if texts else None


def _words(body: Any) -> str:
    """What the body of a refusal says, in whichever of the usual places."""
    if isinstance(body, Mapping):
        places: Iterable[Any] = (body.get(name) for name in ("message", "detail", "error"))
        return next((each for each in places if isinstance(each, str)), "")
    return body if isinstance(body, str) else ""


def _is_no_credit(body: Any) -> bool:
    return isinstance(body, Mapping) and any(
        body.get(name) in _NO_CREDIT for name in ("code", "type")
    )


def _count(value: Any) -> int | None:
    counts = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MOST_TOKENS
    return value if counts else None
