"""`retake judge` as tests call it: the key, the words, and what it leaves in the results."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.evaluation.judging.runs import essays_run
from tests.evaluation.judging.server import Script, Server, in_turn

KEY = "sk-secret-0123456789abcdef"


@pytest.fixture(autouse=True)
def judging_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key, a cache and a width of the test's own."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "200")
    for name in ("OPENAI_BASE_URL", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID", "OPENAI_LOG"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def serve() -> Iterator[Callable[[Script], Server]]:
    """Start an endpoint."""
    started: list[Server] = []

    def start(script: Script) -> Server:
        started.append(Server(script))
        return started[-1]

    yield start
    for server in started:
        server.close()


@pytest.fixture
def server(serve: Callable[[Script], Server]) -> Server:
    """An endpoint whose replies are good."""
    return serve(in_turn())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A run of twelve samples, of which nine are for a judge."""
    return essays_run(tmp_path / "run")


def judge(folder: Path, server: Server, *more: str) -> list[str]:
    """The command."""
    return ["judge", str(folder), "--model", "judge", "--base-url", server.url, *more]


def results_of(folder: Path) -> list[int]:
    """How many judged answers are in the results."""
    found = json.loads((folder / "results.json").read_text())
    assert found["metrics"][0]["value"] == pytest.approx(4.0)
    return [each["answers"] for each in found["judged"]]
