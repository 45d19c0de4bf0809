"""A judge on this machine, and a patience that waits for nothing."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from retake.evaluation.judging.judging import Asked
from retake.evaluation.judging.waiting import Patience
from tests.evaluation.judging.runs import essays_run
from tests.evaluation.judging.server import Script, Server, in_turn

#: Would be recognised anywhere.
KEY = "sk-secret-0123456789abcdef"


@pytest.fixture
def key(monkeypatch: pytest.MonkeyPatch) -> str:
    """The key, in the environment."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    for name in ("OPENAI_BASE_URL", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID", "OPENAI_LOG"):
        monkeypatch.delenv(name, raising=False)
    return KEY


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def serve() -> Iterator[Callable[[Script | None], Server]]:
    """Start an endpoint; without a script its replies are good."""
    started: list[Server] = []

    def start(script: Script | None = None) -> Server:
        started.append(Server(script or in_turn()))
        return started[-1]

    yield start
    for server in started:
        server.close()


@pytest.fixture
def waits() -> list[float]:
    """The seconds that `quickly` did not wait."""
    return []


@pytest.fixture
def quickly(waits: list[float]) -> Callable[..., Asked]:
    """How an endpoint is asked by a test."""

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    def asked(server: Server, *, retries: int = 5, **changes: float) -> Asked:
        patience = Patience(retries=retries, sleep=sleep, chance=lambda: 1.0)
        return Asked(server.url, patience=patience, **{"concurrency": 1, **changes})

    return asked


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A complete run of twelve samples, of which nine are essays."""
    return essays_run(tmp_path / "run")
