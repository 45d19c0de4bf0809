"""Who does the work: how the launcher is left."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from retake_cli.workers import Crew

from retake.core.config import RunConfig
from retake.core.errors import WorkerError
from retake.evaluation.scale.launchers import torchrun
from tests.cli.conftest import Run


class Rank:
    """A launcher that notes with what it was left."""

    left: list[Any]

    def __init__(self, *_: Any) -> None:
        type(self).left = []

    def __enter__(self) -> "Rank":
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        self.left.append(error)


@pytest.mark.parametrize("error", [None, KeyboardInterrupt(), WorkerError("no worker is left")])
def test_what_went_wrong_reaches_the_launcher(
    monkeypatch: pytest.MonkeyPatch, error: BaseException | None
) -> None:
    """Which waits for late ranks only where nothing did."""
    ranks = SimpleNamespace(rank=0, environment=lambda backend, spread: {})
    monkeypatch.setattr(torchrun.Ranks, "of", lambda: ranks)
    monkeypatch.setattr(torchrun, "TorchrunLauncher", Rank)

    def work() -> None:
        with Crew(RunConfig(), None, "torchrun", None, 10.0) as crew:
            assert not crew.is_helper()
            if error is not None:
                raise error

    if error is None:
        work()
    else:
        with pytest.raises(type(error)):
            work()
    assert Rank.left == [error]


@pytest.mark.parametrize(
    ("given", "says"),
    [("nan", "nan is no number of seconds"), ("0.1", "x>=5"), ("-1", "x>=5"), ("soon", "'soon'")],
)
def test_how_long_a_worker_may_be_silent(retake: Run, given: str, says: str) -> None:
    """What would count all workers as lost at once, or none ever, is refused."""
    result = retake("eval", "scenes", "-o", "run", "--hang-timeout", given)
    assert result.code == 2
    assert says in result.err
    assert not Path("run").exists()
