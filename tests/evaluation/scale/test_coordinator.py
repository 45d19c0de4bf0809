"""What is done about workers that fail, end or hang, without a model or a process."""

import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs
import pytest

import retake
from retake.core.config import PartOptions
from retake.core.errors import PartError, VideoError, WorkerError
from retake.evaluation.records import RunRecords, read_run
from retake.evaluation.scale import coordinator as module
from retake.evaluation.scale.coordinator import Coordinator
from retake.evaluation.scale.messages import Task
from tests.evaluation import making
from tests.evaluation.scale.pretended import (
    Life,
    Pretended,
    PretendedLauncher,
    Seen,
    opening,
    whole,
)

TASK = Task(config={}, benchmark=PartOptions("quiz"), batch=1, watch_each=False, folder="/")


def go(
    folder: Path, *lives: Sequence[Life], samples: Sequence[retake.Sample] = (), **given: Any
) -> tuple[RunRecords, Seen, PretendedLauncher]:
    """A run with workers of such lives; as it is on the disk, what was seen, who was started."""
    asked = list(samples) or making.samples(4, 3)
    seen = Seen()
    with PretendedLauncher(*lives) as launcher:
        Coordinator(TASK, asked, launcher, opening(folder, asked), seen, **given).run()
    return read_run(folder), seen, launcher


def ids(run: RunRecords) -> list[str]:
    """The samples that are answered, in the benchmark's order."""
    return sorted(sample.id for sample in run.samples)


def all_ids(videos: int = 4) -> list[str]:
    return sorted(sample.id for sample in making.samples(videos, 3))


def test_all_is_done_once(tmp_path: Path) -> None:
    """By three workers; every pass has its number, and its worker."""
    found, seen, launcher = go(tmp_path / "run", [whole], [whole], [whole])
    assert found.complete
    assert ids(found) == all_ids()
    assert [video.watch for video in found.videos] == [1, 2, 3, 4]
    assert {video.worker for video in found.videos} <= {0, 1, 2}
    by_watch = {video.watch: video.video for video in found.videos}
    assert all(by_watch[sample.watch] == sample.video for sample in found.samples)
    assert len(seen.samples) == 12
    assert (seen.failures, seen.said) == ([], [])
    assert launcher.started == [1, 1, 1]
    mine, *others = found.sessions
    assert mine.worker is None
    assert {(each.worker, each.host, each.pid, each.threads) for each in others} <= {
        (slot, "here", 1, 1) for slot in range(3)
    }


def test_what_is_there_is_not_done_again(tmp_path: Path) -> None:
    """A resumed run hands out what is left, with all samples of the video."""
    asked = making.samples(2, 3)
    with opening(tmp_path / "run", asked)(None) as kept:  # type: ignore[arg-type]
        watch = kept.add_video(Path("v0.mp4"), None, making.memory())
        for sample in asked[:4]:
            kept.add_sample(making.answered(sample, watch))
    left: list[list[str]] = []

    def life(worker: Pretended) -> None:
        worker.begin()
        while worker.job():
            left.append([sample.id for sample in worker.pending])
            worker.answer()
            worker.line.send("done")

    found, _, _ = go(tmp_path / "run", [life], samples=asked)
    assert left == [["v1-q1", "v1-q2"]]
    assert found.complete


def _dies_within(worker: Pretended) -> None:
    """After one answer of its first video."""
    worker.begin()
    worker.job()
    worker.answer(1)


def test_a_dead_worker_loses_only_its_video(tmp_path: Path) -> None:
    """What it delivered is kept, another one goes on with what is left, and it is replaced."""
    found, seen, launcher = go(tmp_path / "run", [_dies_within, whole], [whole])
    assert found.complete
    assert ids(found) == all_ids()
    assert found.failures == ()
    assert launcher.started == [2, 1]
    [said] = seen.said
    assert said == "Worker 1 on here is lost: it died. It is started again."
    assert len(found.videos) == 5


def test_a_video_that_ends_every_worker(tmp_path: Path) -> None:
    """Has failed after the second; all others are answered."""

    def life(worker: Pretended) -> None:
        worker.begin()
        while worker.job():
            if worker.pending[0].id.startswith("v2"):
                return
            worker.answer()
            worker.line.send("done")

    found, seen, _ = go(tmp_path / "run", [life], [life])
    assert ids(found) == [each for each in all_ids() if not each.startswith("v2")]
    [failure] = found.failures
    assert failure.video == "v2.mp4"
    assert failure.samples == ("v2-q0", "v2-q1", "v2-q2")
    assert failure.reason == "its worker was lost: it died"
    assert seen.failures == [failure]
    last = {video.video for video in found.videos[-2:]}
    assert "v2.mp4" in last
    workers = [video.worker for video in found.videos if video.video == "v2.mp4"]
    assert sorted(workers, key=str) == [0, 1]


def test_memory_that_does_not_suffice(tmp_path: Path) -> None:
    """Is said by the worker, which stays; the other one tries with what is left."""

    def small(worker: Pretended) -> None:
        worker.begin()
        while worker.job():
            worker.answer(1)
            worker.ask("failed", reason="out of memory: 1 GiB")
            worker.line.send("done")

    found, seen, launcher = go(tmp_path / "run", [small], [whole])
    assert found.complete
    assert launcher.started == [1, 1]
    assert seen.said == []
    found, seen, _ = go(tmp_path / "small", [small])
    assert len(found.samples) == 8
    assert [(each.samples, each.reason) for each in found.failures] == [
        ((f"v{number}-q2",), "out of memory: 1 GiB") for number in range(4)
    ]


def test_failing_fast(tmp_path: Path) -> None:
    """The first video that fails for good ends the run, and is noted."""

    def life(worker: Pretended) -> None:
        worker.begin()
        while worker.job():
            worker.ask("failed", reason="v.mp4 is no video")
            worker.line.send("done")

    with pytest.raises(VideoError, match="is no video"):
        go(tmp_path / "run", [life], fail_fast=True)
    assert len(read_run(tmp_path / "run").failures) == 1


def test_a_worker_that_hangs(tmp_path: Path) -> None:
    """Is ended and replaced; what it says when it wakes up counts for nothing."""
    woken, over = threading.Event(), threading.Event()

    def hangs(worker: Pretended) -> None:
        worker.begin()
        worker.job()
        worker.answer(1)
        woken.wait(20)
        over.set()
        worker.answer(1)

    found, seen, launcher = go(tmp_path / "run", [hangs, whole], [whole], hang_timeout=1.5)
    woken.set()
    assert found.complete
    assert ids(found) == all_ids()
    assert launcher.killed[0] >= 1
    assert launcher.started[1] == 1
    assert any("is lost: it said nothing for" in said for said in seen.said)


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is waited for long."""
    monkeypatch.setattr(module, "_ENDING_SECONDS", 0.3)
    monkeypatch.setattr(module, "_TICK", 0.02)


def test_progress_is_a_sign_of_life(tmp_path: Path) -> None:
    """However long a video takes."""

    def slow(worker: Pretended) -> None:
        worker.begin()
        while worker.job():
            for number in range(6):
                time.sleep(0.3)
                worker.line.send("progress", stage="decode", done=number, total=6)
            worker.answer()
            worker.line.send("done")

    found, seen, launcher = go(
        tmp_path / "run", [slow], samples=making.samples(1, 3), hang_timeout=1.5
    )
    assert found.complete
    assert (seen.said, launcher.started) == ([], [1])


def test_workers_that_never_work(tmp_path: Path) -> None:
    """Are not started for ever; the last reason is given."""

    def broken(worker: Pretended) -> None:
        worker.begin()
        worker.line.send("broken", reason="RuntimeError: CUDA error")

    with pytest.raises(WorkerError, match="because RuntimeError: CUDA error"):
        go(tmp_path / "run", [broken], [broken])


def test_one_that_never_works_is_given_up(tmp_path: Path) -> None:
    """And the others do it all."""

    def dead(worker: Pretended) -> None:
        return

    def patient(worker: Pretended) -> None:
        time.sleep(1.0)
        whole(worker)

    found, seen, launcher = go(tmp_path / "run", [dead], [patient])
    assert found.complete
    assert launcher.started == [3, 1]
    assert seen.said[-1] == "Worker 1 is lost: it died. It is not started any more."


def test_what_is_wrong_with_the_request_ends_the_run(tmp_path: Path) -> None:
    """As the error that it would have been in one process."""

    def refuses(worker: Pretended) -> None:
        worker.begin()
        worker.job()
        trouble = {"kind": "PartError", "message": "mine.score() failed", "hint": "Look."}
        worker.line.send("refused", trouble=trouble)
        worker.line.receive()

    with pytest.raises(PartError, match=r"mine.score\(\) failed\nLook"):
        go(tmp_path / "run", [refuses])
    assert read_run(tmp_path / "run").failures == ()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"fingerprint": "e" * 16}, "the model's fingerprint: was ffff"),
        ({"config": {**attrs.asdict(retake.RunConfig()), "seed": 1}}, "seed: was 0, is 1"),
        ({"code": {"./mine.py": "2" * 64}}, r"the code in ./mine.py: was 1111"),
    ],
)
def test_workers_must_agree(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    """On what decides results; it is said what differs, and of whom."""

    def other(worker: Pretended) -> None:
        time.sleep(0.5)
        worker.begin(**changes)
        worker.line.receive()

    def waits(worker: Pretended) -> None:
        worker.begin()
        worker.job()
        worker.line.receive()

    with pytest.raises(WorkerError, match=rf"Of worker 2 on here(.|\n)*{said}"):
        go(tmp_path / "run", [waits], [other])


def test_other_versions_are_noted(tmp_path: Path) -> None:
    """They may change numbers, or not."""

    def other(worker: Pretended) -> None:
        worker.begin(versions={"torch": "2"})
        worker.rest()

    found, seen, _ = go(tmp_path / "run", [other])
    assert found.complete
    assert seen.said == ["Note: worker 1 on here has another torch: 2, not 1."]


def test_another_protocol(tmp_path: Path) -> None:
    """Two releases of retake do not talk past each other."""

    def other(worker: Pretended) -> None:
        worker.line.send("hello", slot=0, host="there", pid=1, protocol="retake.scale/0")
        worker.line.receive()

    with pytest.raises(WorkerError, match=r"The worker on there speaks retake\.scale/0"):
        go(tmp_path / "run", [other])


def test_an_interruption_ends_everybody(tmp_path: Path) -> None:
    """Ctrl-C: the lines are closed, and what is answered is kept."""

    class Interrupting(Seen):
        def sample(self, record: Any) -> None:
            raise KeyboardInterrupt

    asked = making.samples(2, 3)
    launcher = PretendedLauncher([whole], [whole])
    run = Coordinator(TASK, asked, launcher, opening(tmp_path / "run", asked), Interrupting())
    with pytest.raises(KeyboardInterrupt), launcher:
        run.run()
    assert len(read_run(tmp_path / "run").samples) >= 1
    with opening(tmp_path / "run", asked)(None):  # type: ignore[arg-type]
        pass
