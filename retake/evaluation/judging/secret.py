"""The key of an endpoint: taken from the environment, and kept out of everything else."""

import os
import re
from collections.abc import Iterable, Mapping

from retake.core.errors import UsageError

VARIABLE = "OPENAI_API_KEY"

_NAME = re.compile(r"[A-Z][A-Z0-9_]{0,63}")
_LEAST_SECRET = 8  # characters; what local servers take for a key ("EMPTY") is a word, no secret
_HIDDEN = "[key]"
_HIDDEN_TOO = "[hidden]"
# Which the openai client sends to OpenAI beside the key.
_BESIDE = ("OPENAI_ORG_ID", "OPENAI_PROJECT_ID")
_HEADERS = "OPENAI_CUSTOM_HEADERS"


class Secret:
    """A key that shows itself nowhere; `reveal` is for the one who sends it.

    Args:
        key: itself.
        beside: what else is sent with it, and is nobody's business either.
    """

    def __init__(self, key: str, beside: Iterable[str] = ()) -> None:
        self._key = key
        longest_first = sorted({*beside}, key=len, reverse=True)
        self._beside = [each for each in longest_first if len(each) >= _LEAST_SECRET]

    def __repr__(self) -> str:
        return f"Secret({_HIDDEN})"

    def reveal(self) -> str:
        """The key itself."""
        return self._key

    def hidden_in(self, text: str) -> str:
        """A text with the key, wherever it stands in it, taken out: endpoints quote it."""
        if len(self._key) >= _LEAST_SECRET:
            text = text.replace(self._key, _HIDDEN)
        for each in self._beside:
            text = text.replace(each, _HIDDEN_TOO)
        return text


def key_from(variable: str = VARIABLE, environment: Mapping[str, str] = os.environ) -> Secret:
    """The key that a variable of the environment holds.

    Args:
        variable: its name, in capitals.
        environment: where to look.

    Raises:
        UsageError: that is no such name, it is not set, or it holds what cannot be a key. The
            message never says what it holds, and repeats no name that may be a key itself.
    """
    if not _NAME.fullmatch(variable):
        raise UsageError(
            "The key's variable is named by capitals, digits and _, such as "
            f"{VARIABLE}; what was given is not, and may be a key.",
            hint="Put the key into a variable of the environment, and give its name.",
        )
    key = environment.get(variable, "").strip()
    if not key:
        raise UsageError(
            f"There is no key: {variable} is not set.",
            hint=f"export {variable}=... with the endpoint's key; any word where a server of your "
            "own asks for none.",
        )
    # A header takes nothing else, and libraries quote in errors what they cannot send.
    if not all("!" <= each <= "~" for each in key):
        raise UsageError(
            f"What {variable} holds is no key: it has spaces, or characters other than ASCII's."
        )
    return Secret(key, _beside(environment))


def _beside(environment: Mapping[str, str]) -> Iterable[str]:
    """The organisation, the project, and the values of all headers that the environment holds."""
    yield from (environment.get(name, "").strip() for name in _BESIDE)
    for line in environment.get(_HEADERS, "").split("\n"):
        value = line.partition(":")[2].strip()
        yield from (value, *value.split())  # "Bearer" stands before what is secret
