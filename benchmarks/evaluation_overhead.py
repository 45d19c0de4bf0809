"""What evaluating costs besides the model: of 10,000 samples with one that costs nothing.

Times are of the wall and of the processor: what the disk takes is in the first only. `--folder`
chooses the disk. python -m benchmarks.evaluation_overhead [--quick] [--folder PATH]
"""

import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs

import retake
from benchmarks.harness import Result, arguments, finish
from benchmarks.stub_worker import FINGERPRINT, Model, Quiz, config
from retake.core.config import PartOptions
from retake.evaluation import journal as journal_module
from retake.evaluation import records as records_module
from retake.evaluation.folder import RunFolder, check_header
from retake.evaluation.records import RunHeader, read_answered, read_run
from retake.evaluation.running import Run, chosen, evaluate, header_of
from retake.evaluation.scale.coordinator import Coordinator
from retake.evaluation.scale.launchers.local import LocalLauncher
from retake.evaluation.scale.messages import Task

# Without a disk behind it, where there is one.
_MEMORY = Path("/dev/shm")
WORKERS = 4


@attrs.define
class Spent:
    """Seconds by what they went into, and of all of it.

    Attributes:
        wall, processor: of the whole, the processor's of this process.
        parts: of the wall, by name.
    """

    wall: float = 0.0
    processor: float = 0.0
    parts: dict[str, float] = attrs.field(factory=dict)


@contextmanager
def timed(spent: Spent, *, parts: bool = True) -> Iterator[None]:
    """Measure a block; with `parts`, also what goes into syncing, JSON and plain data."""
    was = []
    watched: list[tuple[Any, str, str]] = [
        (os, "fsync", "fsync"),
        (journal_module, "plain", "plain data"),
        (records_module, "to_plain", "plain data"),
        (json, "dumps", "JSON"),
    ]
    for owner, name, part in watched if parts else []:
        was.append((owner, name, getattr(owner, name)))
        setattr(owner, name, _counted(getattr(owner, name), spent, part))
    wall, processor = time.perf_counter(), time.process_time()
    try:
        yield
    finally:
        spent.wall += time.perf_counter() - wall
        spent.processor += time.process_time() - processor
        for owner, name, function in was:
            setattr(owner, name, function)


def _counted(function: Callable[..., Any], spent: Spent, part: str) -> Callable[..., Any]:
    depth = [0]

    def counted(*given: Any, **named: Any) -> Any:
        depth[0] += 1
        start = time.perf_counter()
        try:
            return function(*given, **named)
        finally:
            depth[0] -= 1
            if not depth[0]:
                took = time.perf_counter() - start
                spent.parts[part] = spent.parts.get(part, 0.0) + took

    return counted


def header(folder: Path, quiz: Quiz, samples: list[retake.Sample]) -> RunHeader:
    """What the run says of itself."""
    made = header_of(folder, ("quiz", quiz), samples, retake.RunConfig())
    return attrs.evolve(made, config=config(), device="stub", fingerprint=FINGERPRINT, code={})


def alone(folder: Path, quiz: Quiz) -> tuple[Spent, Spent]:
    """In one process: what beginning the run costs, and what its samples cost."""
    begun, answered = Spent(), Spent()
    with timed(begun, parts=False):
        samples = chosen(quiz)
        said = header(folder, quiz, samples)
        check_header(folder, said)
        kept = RunFolder(folder, said)
    model: Any = Model()
    with kept, timed(answered):
        evaluate(Run(kept, quiz), model, samples)
    return begun, answered


def resumed(folder: Path, quiz: Quiz) -> Spent:
    """What it costs to go on with a run of which one answer is missing."""
    path = folder / "samples.jsonl"
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))
    spent = Spent()
    with timed(spent, parts=False):
        samples = chosen(quiz)
        said = header(folder, quiz, samples)
        check_header(folder, said)
        left = read_answered(folder)
        with RunFolder(folder, said, resume=True) as kept:
            assert len(kept.answered) == len(left) == quiz.count - 1
    return spent


def with_workers(folder: Path, quiz: Quiz, workers: int) -> Spent:
    """By workers in processes of their own, from when the first one is ready."""
    samples = chosen(quiz)
    said = header(folder, quiz, samples)
    task = Task(config(), PartOptions("quiz", {"count": quiz.count}), 1, False, str(Path.cwd()))
    began: list[tuple[float, float]] = []

    def open_folder(_: Any) -> RunFolder:
        began.append((time.perf_counter(), time.process_time()))
        return RunFolder(folder, said)

    launcher = LocalLauncher([{}] * workers, "benchmarks.stub_worker")
    with launcher:
        Coordinator(task, samples, launcher, open_folder, _Silent()).run()
        [(wall, processor)] = began
        return Spent(time.perf_counter() - wall, time.process_time() - processor)


class _Silent:
    """Shows nothing."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_, **__: None


def measure(where: Path, count: int) -> dict[str, Any]:
    """All of it in one place, in milliseconds a sample, and in seconds."""
    found: dict[str, Any] = {}
    place = Path(tempfile.mkdtemp(prefix="retake-overhead-", dir=where))
    try:
        quiz = Quiz(count)
        begun, answered = alone(place / "alone", quiz)
        found["begin_s"] = begun.wall
        found["alone"] = _per_sample(answered, count)
        found["resume_s"] = resumed(place / "alone", quiz).wall
        spent = with_workers(place / "workers", quiz, WORKERS)
        found["workers"] = _per_sample(spent, count)
        assert read_run(place / "workers").complete
    finally:
        shutil.rmtree(place)
    return found


def _per_sample(spent: Spent, count: int) -> dict[str, float]:
    times = {"wall": spent.wall, "processor": spent.processor, **spent.parts}
    return {name: 1000 * seconds / count for name, seconds in times.items()}


def main() -> None:
    """Measure and print."""
    parser = arguments(__doc__)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()))
    given = parser.parse_args()
    count = 400 if given.quick else 10_000
    places = {"disk": given.folder, **({"memory": _MEMORY} if _MEMORY.is_dir() else {})}
    data = {name: measure(where, count) for name, where in places.items()}
    rows: list[tuple[str, ...]] = [("a sample, ms", *data)]
    for name, title in (("alone", "alone"), ("workers", f"{WORKERS} workers")):
        rows += [
            (f"{title}: wall", *(f"{each[name]['wall']:.2f}" for each in data.values())),
            (f"{title}: processor", *(f"{each[name]['processor']:.2f}" for each in data.values())),
        ]
        if name == "alone":
            for part in ("fsync", "plain data", "JSON"):
                cells = (f"{each[name].get(part, 0.0):.2f}" for each in data.values())
                rows.append((f"– of which {part}", *cells))
    rows.append(("begin, s", *(f"{each['begin_s']:.2f}" for each in data.values())))
    rows.append(("resume, s", *(f"{each['resume_s']:.2f}" for each in data.values())))
    notes = (
        f"{count:,} samples, 4 about each video, each video with 768 frames; the model costs "
        "nothing. Workers: from when the first is ready; their processor time is that of the "
        "process that writes.",
    )
    finish("evaluation_overhead", Result(rows, notes, {"samples": count, **data}), given)


if __name__ == "__main__":
    main()
