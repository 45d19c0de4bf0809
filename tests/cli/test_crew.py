"""Who does the work: what each has, and how the launcher is left."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from retake_cli.workers import Crew

from retake.core.config import ModelOptions, RunConfig
from retake.core.errors import WorkerError
from retake.evaluation.scale.launchers import devices, torchrun
from retake.evaluation.scale.launchers.local import LocalLauncher
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


@pytest.mark.parametrize(
    ("workers", "left", "of", "expected"),
    [
        (4, 9, 20, ["2", "2", "2", "2"]),
        (4, 1, 20, ["2"]),  # the last video, of a run that is resumed
        (4, 2, 2, ["4", "4"]),
        (4, 1, 1, None),
        (4, 0, 0, None),
        (1, 1, 20, None),
    ],
)
def test_a_resumed_run_divides_the_cores_as_before(
    monkeypatch: pytest.MonkeyPatch, workers: int, left: int, of: int, expected: list[str] | None
) -> None:
    """So that sums are made of the same parts, however few videos are left."""
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(devices, "cores", lambda: 8)
    config = RunConfig(model=ModelOptions(backend="cpu"))
    with Crew(config, workers, "local", None, 10.0) as crew:
        launcher = crew.launch(left, of=of)
        if expected is None:
            assert launcher is None
        else:
            assert isinstance(launcher, LocalLauncher)
            assert [each["OMP_NUM_THREADS"] for each in launcher._environments] == expected


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
