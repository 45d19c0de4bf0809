"""Workers that never come, that end unheard, and what cannot be sent to any."""

import time
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import attrs
import pytest

import retake
from retake.core.errors import PartError, UsageError
from retake.evaluation.records import read_run
from retake.evaluation.scale import working
from retake.evaluation.scale.coordinator import Coordinator
from retake.evaluation.scale.wire import Place
from tests.evaluation import making
from tests.evaluation.scale.pretended import Pretended, PretendedLauncher, Seen, opening, whole
from tests.evaluation.scale.test_coordinator import TASK


class Full(PretendedLauncher):
    """Has no place for the second worker, and never will."""

    def start(self, slot: int, place: Place) -> None:
        if slot == 0:
            super().start(slot, place)

    def coming(self, slot: int) -> bool:
        return slot == 1

    def ended(self, slot: int) -> str | None:
        return super().ended(slot) if slot == 0 else None


@pytest.mark.timeout(60)
def test_a_video_is_not_kept_for_a_worker_that_never_comes(tmp_path: Path) -> None:
    """It failed once: the one worker that is there tries it again."""

    def failing(worker: Pretended) -> None:
        worker.begin()
        while worker.job():
            worker.ask("failed", reason="out of memory")
            worker.line.send("done")

    asked, seen = making.samples(2, 3), Seen()
    with Full([failing], [whole]) as launcher:
        Coordinator(TASK, asked, launcher, opening(tmp_path / "run", asked), seen).run()
    found = read_run(tmp_path / "run")
    assert sorted(failure.video for failure in found.failures) == ["v0.mp4", "v1.mp4"]
    assert {failure.reason for failure in found.failures} == {"out of memory"}


class Killed(PretendedLauncher):
    """The first worker's process is gone at once, and a process that it forked holds its line."""

    def ended(self, slot: int) -> str | None:
        first = self.started[slot] == 1 and slot == 0 and self.at_work
        return "it was ended by SIGKILL" if first else super().ended(slot)

    at_work = False


@pytest.mark.timeout(60)
def test_a_worker_that_ended_is_lost_though_its_line_is_open(tmp_path: Path) -> None:
    """Long before the time after which a silent one counts as hung."""
    asked, seen = making.samples(2, 3), Seen()

    def silent(worker: Pretended) -> None:
        worker.begin()
        worker.job()
        launcher.at_work = True
        worker.line.receive()  # until it is hung up on

    with Killed([silent, whole]) as launcher:
        began = time.monotonic()
        Coordinator(TASK, asked, launcher, opening(tmp_path / "run", asked), seen).run()
    assert read_run(tmp_path / "run").complete
    assert time.monotonic() - began < 30
    assert any("SIGKILL" in text for text in seen.said)


@attrs.frozen
class Truthful(retake.Sample):
    """A sample with a field of its own."""

    truth: str = "yes"


def test_only_plain_samples_are_sent(tmp_path: Path) -> None:
    """What would be lost on the way is refused before a worker is started."""
    plain = making.samples(1, 2)
    odd = Truthful(
        **{field.name: getattr(plain[0], field.name) for field in attrs.fields(type(plain[0]))}
    )
    with Full([whole], [whole]) as launcher:
        made = Coordinator(
            TASK, [plain[1], odd], launcher, opening(tmp_path / "run", plain), Seen()
        )
        with pytest.raises(UsageError, match="is a Truthful, and only a plain"):
            made.run()
        assert launcher.started == [0, 0]


@pytest.mark.parametrize(
    ("cause", "raised"),
    [
        (RuntimeError("CUDA error: uncorrectable ECC error"), RuntimeError),
        (RuntimeError("shapes do not fit"), PartError),
        (ValueError("CUDA error"), PartError),
    ],
)
def test_a_device_that_fails_is_no_fault_of_a_part(
    monkeypatch: pytest.MonkeyPatch, cause: Exception, raised: type[Exception]
) -> None:
    """Such a worker ends, and its video goes elsewhere; a part that is wrong ends the run."""

    class Failing:
        def __init__(self, *_: Any, **__: Any) -> None:
            return

        def answer(self, *_: Any) -> None:
            raise PartError("Mine.score() failed") from cause

    monkeypatch.setattr(working, "Run", Failing)
    fields: Mapping[str, Any] = {
        "_sender": SimpleNamespace(progress=None),
        "_task": TASK,
        "_benchmark": None,
        "_model": None,
    }
    worker = object.__new__(working.Working)
    for name, value in fields.items():
        setattr(worker, name, value)
    with pytest.raises(raised):
        worker.answer(making.samples(1, 1), set())
