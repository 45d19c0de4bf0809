"""Waiting for what other processes and threads do soon."""

import time
from collections.abc import Callable
from typing import Any


def until(met: Callable[[], Any], seconds: float = 60) -> Any:
    """Wait for something that comes soon; what it is."""
    deadline = time.monotonic() + seconds
    while not (found := met()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return found
