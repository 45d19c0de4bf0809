"""Questions that are answered together: what is on the disk when, and what an end leaves."""

import os
from pathlib import Path
from typing import Any

import attrs
import pytest

import retake
from retake.core.errors import PartError
from retake.evaluation.folder import RunFolder
from retake.evaluation.records import read_run
from retake.evaluation.running import Run, evaluate
from tests.evaluation import making
from tests.evaluation.quiz import QUESTIONS, Model, Quiz, go, header


def test_batches_are_the_same_after_an_interruption(tmp_path: Path) -> None:
    """A batch is asked as a whole, since its rows round together; only what is new is noted."""
    folder = tmp_path / "run"
    with RunFolder(folder, header(folder, Quiz(), batch=2)) as kept:
        watch = kept.add_video(Path("v0.mp4"), None, making.memory())
        kept.add_sample(making.answered(making.samples()[0], watch))
    model = Model()
    found = go(folder, model, batch=2)
    assert model.asked[:2] == [QUESTIONS[:2], QUESTIONS[2:]]
    assert [sample.id for sample in found.samples] == [each.id for each in making.samples()]


@pytest.mark.parametrize(("batch", "times"), [(1, 6), (2, 4), (3, 2)])
def test_a_batch_is_brought_to_the_disk_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch: int, times: int
) -> None:
    """All of it before anybody is told of any of it."""
    folder = tmp_path / "run"
    path = folder / "samples.jsonl"
    synced: list[int] = []
    told: list[int] = []
    fsync = os.fsync

    def count(number: int) -> None:
        fsync(number)
        if path.exists() and os.path.samestat(os.fstat(number), path.stat()):
            synced.append(path.read_bytes().count(b"\n"))

    monkeypatch.setattr(os, "fsync", count)
    with RunFolder(folder, header(folder, Quiz(), batch=batch)) as kept:
        run = Run(kept, Quiz(), on_sample=lambda _: told.append(synced[-1]))
        evaluate(run, Model(), making.samples())  # type: ignore[arg-type]
    assert len(synced) == times
    assert synced[-1] == 6
    assert all(there > number for number, there in enumerate(told))


def test_killed_between_answers_of_a_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was written of it counts; the rest is noted by whoever goes on."""
    folder, add = tmp_path / "run", RunFolder.add_sample

    def stop(kept: RunFolder, sample: Any, **how: Any) -> None:
        if sample.id == making.samples()[2].id:
            raise KeyboardInterrupt
        add(kept, sample, **how)

    with monkeypatch.context() as changed:
        changed.setattr(RunFolder, "add_sample", stop)
        with pytest.raises(KeyboardInterrupt):
            go(folder, Model(), batch=3)
    assert len(read_run(folder).samples) == 2
    found = go(folder, Model(), batch=3)
    assert [sample.id for sample in found.samples] == [each.id for each in making.samples()]


@attrs.frozen
class _Choosy(Quiz):
    """Fails at the third answer."""

    def mark(self, sample: retake.Sample, answer: str) -> float:
        if answer == "no":
            raise RuntimeError("It says no.")
        return super().mark(sample, answer)


def test_an_answer_that_cannot_be_marked(tmp_path: Path) -> None:
    """It ends the run; those before it in its batch are kept."""
    folder = tmp_path / "run"
    with pytest.raises(PartError, match=r"mark\(\) failed: RuntimeError: It says no"):
        go(folder, Model(), _Choosy(), batch=3)
    kept = [sample.id for sample in read_run(folder).samples]
    assert kept == [each.id for each in making.samples()[:2]]
