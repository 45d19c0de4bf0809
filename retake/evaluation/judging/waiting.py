"""How long to wait before a request is sent again."""

import asyncio
import math
import random
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import attrs

from retake.core.options import between

#: Seconds that an endpoint may ask to wait; with more, it is better to come back later.
LONGEST_ASKED = 600.0


@attrs.frozen
class Patience:
    """How often a request is sent again, and after how long.

    The waits double, and are cut by chance to between half and all of themselves, so that those
    who were refused together do not come back together. An endpoint that says how long is left
    alone for that long at least.

    Attributes:
        retries: requests after the first, at most.
        first: seconds before the first of them.
        longest: seconds, at most, where the endpoint asks for no more.
        sleep, chance: what waits, and what draws from 0 … 1.
    """

    retries: int = attrs.field(default=5, validator=between(0, 100))
    first: float = 1.0
    longest: float = 60.0
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    chance: Callable[[], float] = random.random

    def seconds(self, attempt: int, after: float | None = None) -> float:
        """How long to wait after a failed attempt.

        Args:
            attempt: its number, from 1.
            after: seconds that the endpoint asks for.
        """
        most = min(self.longest, self.first * 2.0 ** min(attempt - 1, 32))
        drawn = most * (0.5 + 0.5 * self.chance())
        return drawn if after is None else max(drawn, after * (1 + 0.1 * self.chance()))


def asked_to_wait(headers: Mapping[str, str]) -> float | None:
    """The seconds that a refusal asks to wait: Retry-After, in seconds or as a date.

    None where it asks for nothing, or for what is no time.
    """
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000
    text = headers.get("retry-after")
    seconds = _number(text)
    if seconds is not None or text is None:
        return seconds
    try:
        moment = parsedate_to_datetime(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return max(0.0, (moment - datetime.now(UTC)).total_seconds())
    except (ValueError, OverflowError):  # the latter of years beyond all calendars
        return None


def _number(text: str | None) -> float | None:
    try:
        found = float(text or "")
    except ValueError:
        return None
    return found if math.isfinite(found) and found >= 0 else None
