"""The order in which videos are handed out, and who is given what failed."""

from pathlib import Path

import attrs

import retake
from retake.evaluation.scale.jobs import Job, Queue, estimated_lengths, size_of
from tests.evaluation import making


def _of(lengths: dict[str, float | None]) -> list[retake.Sample]:
    """Two questions about each of some videos of known or unknown length."""
    return [
        attrs.evolve(sample, id=f"{name}-{number}", video=Path(name), seconds=seconds)
        for name, seconds in lengths.items()
        for number, sample in enumerate(making.samples(1, 2))
    ]


def _taken(queue: Queue) -> list[str]:
    found = []
    while (job := queue.take(0, others=False)) is not None:
        found.append(str(job.video))
    return found


def test_longest_first() -> None:
    """By what the benchmark says; as long ones in its own order."""
    samples = _of({"a": 10.0, "b": 300.0, "c": 10.0, "d": 60.0})
    assert _taken(Queue(samples, set())) == ["b", "d", "a", "c"]


def test_only_what_is_left() -> None:
    """A video whose samples are all answered is not handed out; of others all samples are."""
    samples = _of({"a": 10.0, "b": 20.0})
    queue = Queue(samples, {"b-0", "b-1", "a-1"})
    assert len(queue) == 1
    job = queue.take(0, others=True)
    assert job is not None
    assert [sample.id for sample in job.samples] == ["a-0", "a-1"]
    assert queue.take(0, others=True) is None


def test_unknown_lengths_go_by_size(tmp_path: Path) -> None:
    """At the rate of those of which length and size are known."""
    sizes = {"known": 1000, "small": 500, "large": 3000}
    for name, size in sizes.items():
        (tmp_path / name).write_bytes(b"x" * size)
    lengths = {"known": 60.0, "small": None, "large": None, "gone": None}
    samples = _of({str(tmp_path / name): given for name, given in lengths.items()})
    jobs = [Job(n, s.video, (s,)) for n, s in enumerate(samples[::2])]
    assert estimated_lengths(jobs) == {0: 60.0, 1: 30.0, 2: 180.0, 3: 0.0}
    names = [Path(name).name for name in _taken(Queue(samples, set()))]
    assert names == ["large", "known", "small", "gone"]


def test_sizes(tmp_path: Path) -> None:
    """Of a file, of a folder of pictures, and of what is not there."""
    (tmp_path / "frames").mkdir()
    for number in range(3):
        (tmp_path / "frames" / f"{number}.jpg").write_bytes(b"x" * 70)
    (tmp_path / "empty").mkdir()
    assert size_of(tmp_path / "frames") == 210
    assert size_of(tmp_path / "frames" / "0.jpg") == 70
    assert size_of(tmp_path / "empty") == size_of(tmp_path / "gone") == 0
    assert size_of(tmp_path / "frames" / "0.jpg" / "inside.mp4") == 0


def test_what_failed_is_tried_once_more_elsewhere() -> None:
    """Behind all others; by the same worker only where there is no other."""
    queue = Queue(_of({"a": 30.0, "b": 20.0}), set())
    job = queue.take(1, others=True)
    assert job is not None
    assert queue.failed(job, 1)
    second = queue.take(1, others=True)
    assert second is not None
    assert str(second.video) == "b"
    assert queue.take(1, others=True) is None
    assert len(queue) == 1
    assert queue.take(2, others=True) is job
    assert not queue.failed(job, 2)
    assert len(queue) == 0


def test_a_lone_worker_tries_again() -> None:
    """Rather than nobody."""
    queue = Queue(_of({"a": 30.0}), set())
    job = queue.take(0, others=False)
    assert job is not None
    assert queue.failed(job, 0)
    assert queue.take(0, others=True) is None
    assert queue.take(0, others=False) is job
