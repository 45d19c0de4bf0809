"""Replies of judges beside all runs, so that the same question is not paid for twice.

The idea: what decides a reply is hashed to a file's name. Only replies that were understood are
kept: a useless one must be asked for again. Files are written whole or not at all, by any number
of processes; one that is damaged counts as missing.
"""

import hashlib
import json
import os
import secrets
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import attrs

from retake.core import writing
from retake.core.config import strict_converter
from retake.evaluation.judging.endpoint import Reply
from retake.evaluation.judging.records import Judge

FORMAT = "retake.judge-reply/1"

_CONVERTER = strict_converter()


def cache_folder() -> Path:
    """Where replies are kept: in the user's cache."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "retake" / "judge"


@attrs.frozen
class Kept:
    """A reply as it was kept, and when it came, ISO 8601."""

    reply: Reply
    created: str


@attrs.frozen
class Cache:
    """The replies in `folder`, which is made when the first one is kept."""

    folder: Path

    def get(self, key: str) -> Kept | None:
        """The reply of that key; None where there is none, or none that can be read."""
        try:
            data = json.loads(self._path(key).read_bytes())
            if data.pop("format") != FORMAT:
                return None
            return _CONVERTER.structure(data, Kept)
        except Exception:  # noqa: BLE001 - whatever is wrong with it, asking gives another
            return None

    def put(self, key: str, kept: Kept) -> None:
        """Keep a reply.

        Raises:
            OSError: the system refuses.
        """
        path = self._path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_name(f".{secrets.token_hex(8)}.part")
        text = json.dumps({"format": FORMAT, **attrs.asdict(kept)}, indent=1)
        with writing.replacing(path, beside) as file:
            file.write(f"{text}\n".encode())

    def drop(self, key: str) -> None:
        """Forget a reply, where it is of no use any more."""
        with suppress(OSError):
            self._path(key).unlink(missing_ok=True)

    def _path(self, key: str) -> Path:
        return self.folder / key[:2] / f"{key}.json"


def key_of(base_url: str, judge: Judge, messages: Sequence[Mapping[str, str]]) -> str:
    """A hash of all that decides a reply: endpoint, judge, and what is asked."""
    asked: list[Any] = [FORMAT, base_url.rstrip("/"), attrs.asdict(judge)]
    asked.append([dict(message) for message in messages])
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()
