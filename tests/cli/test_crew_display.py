"""What is shown of workers, on a terminal and elsewhere."""

import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from retake_cli import evaluation_progress as module
from retake_cli.evaluation_progress import Display, Shown
from rich.console import Console
from rich.progress import TextColumn

from retake.evaluation.scale.crew import State, Worker
from retake.evaluation.scale.jobs import Job
from tests.evaluation import making


def _crew() -> list[Worker]:
    samples = tuple(making.samples(1, 2))
    busy = Worker(0, State.BUSY, job=Job(0, Path("/data/v0.mp4"), samples))
    busy.stage, busy.done, busy.total = "decode", 1200, 5000
    return [busy, Worker(1, State.LOADING), Worker(2, State.GIVEN_UP)]


def _folder(count: int) -> Any:
    """A run's folder, of which some is there."""
    asked = making.samples()
    found = [making.answered(sample, score=float(n % 2)) for n, sample in enumerate(asked[:count])]
    return SimpleNamespace(
        header=making.header(asked),
        found=SimpleNamespace(samples=found, sessions=[1]),
        notes=(),
        folder=Path("run"),
    )


def test_lines_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    """Off a terminal: counts, accuracy and states, a line a minute."""
    moment = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: moment[0])
    out = io.StringIO()
    shown = Shown(Console(file=out, width=200), None)
    shown.begin(_folder(4), resume=True)
    shown.crew(_crew())
    assert out.getvalue() == ""
    moment[0] = 61.0
    shown.crew(_crew())
    shown.crew(_crew())
    assert out.getvalue() == (
        "4 of 6 samples · 50.0 % right · workers: 1 busy, 1 loading, 1 given up\n"
    )
    moment[0] = 130.0
    shown.sample(making.answered(making.samples()[4]))
    [_, second] = out.getvalue().splitlines()
    assert second.startswith("5 of 6 samples · 60.0 % right · ")
    assert "an hour" in second
    assert "left" in second


def test_a_line_before_anybody_is_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    """Off a terminal: what workers are doing is said also while there is no folder yet."""
    moment = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: moment[0])
    out = io.StringIO()
    shown = Shown(Console(file=out, width=200), None)
    moment[0] = 61.0
    shown.told("load", 1, 2)
    assert out.getvalue() == ""
    shown.crew([Worker(0), Worker(1, State.LOADING)])
    shown.crew([Worker(0), Worker(1, State.LOADING)])
    assert out.getvalue() == "workers: 1 starting, 1 loading\n"


def test_a_line_a_worker_on_a_terminal() -> None:
    """Which video, which stage, how far; of very many workers only some."""
    out = io.StringIO()
    console = Console(file=out, width=120, force_terminal=True, color_system=None)
    bars = Display(TextColumn("{task.description}"), console=console)
    shown = Shown(console, bars)
    shown.begin(_folder(2), resume=False)
    shown.crew(_crew())
    console.print(bars.get_renderable())
    text = out.getvalue()
    assert "samples" in text
    assert "worker 1  decode 1,200 / 5,000  v0.mp4" in text
    assert "worker 2  loading" in text
    shown.crew([Worker(slot, State.IDLE) for slot in range(40)])
    console.print(bars.get_renderable())
    assert "and 24 more (40 idle)" in out.getvalue()
