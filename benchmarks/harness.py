"""What every benchmark shares: fair timing, peak memory of a process tree, tables, saved results.

A script fills a `Result` and hands it to `finish`, which prints it as Markdown and writes
`benchmarks/results/NAME.json`; `python -m benchmarks.report` copies those into
`docs/performance.md`. Scripts run as `python -m benchmarks.NAME [--quick]` from the root of the
repository.
"""

import argparse
import json
import os
import platform
import shlex
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from attrs import asdict, field, frozen

from benchmarks.forking import Forked, finished

RESULTS = Path(__file__).parent / "results"
#: Where generated videos and checkpoints are kept between runs.
CACHE = Path(os.environ.get("RETAKE_BENCH_CACHE", "/tmp/retake-benchmarks"))

# How often a process tree is weighed.
_SAMPLE_SECONDS = 0.02

Rows = Sequence[Sequence[object]]


@frozen
class Result:
    """What a benchmark found.

    Attributes:
        table: rows of cells; the first is the header.
        notes: sentences that say what is compared, and how it came out.
        data: the raw numbers behind the table.
        chart: a drawing in text, or nothing.
    """

    table: Rows
    notes: Sequence[str] = ()
    data: Mapping[str, Any] = field(factory=dict)
    chart: str = ""


@frozen
class Spread:
    """Median, smallest and largest of some numbers."""

    median: float
    low: float
    high: float

    def text(self, digits: int = 2, unit: str = "") -> str:
        """`1.50 s (1.40 to 1.70)`."""
        unit = f" {unit}" if unit else ""
        return f"{self.median:.{digits}f}{unit} ({self.low:.{digits}f} to {self.high:.{digits}f})"


@frozen
class Peak:
    """What a command took.

    Attributes:
        tree_bytes: largest sum of the RSS of the process and its children, at one moment.
            Sampled. Pages of libraries that they share are counted for each, so it is never too
            low for who uses several processes. (PSS would divide them, but to weigh a large
            process so often with it would take a good part of a core from it.)
        main_bytes: largest RSS of the process itself, as the kernel counted it. Exact.
        seconds: from start to exit.
        output: what the command printed.
        sampled: how often the tree was weighed.
        parts: bytes of each process at the moment of `tree_bytes`, the main one first.
    """

    tree_bytes: int
    main_bytes: int
    seconds: float
    output: str
    sampled: int
    parts: tuple[int, ...] = ()

    @property
    def peak_bytes(self) -> int:
        """The larger of the two: never less than what the process itself surely took."""
        return max(self.tree_bytes, self.main_bytes)

    @property
    def reply(self) -> Any:
        """The JSON on the last line the command printed."""
        return json.loads(self.output.strip().splitlines()[-1])


def machine() -> dict[str, Any]:
    """What the numbers were measured on: CPU, memory, system and versions."""
    import torch

    return {
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "os": platform.platform(),
        "python": platform.python_version(),
        "threads": torch.get_num_threads(),
        "load_at_start": round(_LOAD, 2),
        **{name: version(name) for name in ("torch", "transformers", "retake")},
        "commit": _commit(),
    }


def _cpu() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def _commit() -> str | None:
    done = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--exclude", "*"],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip() or None


# Before anything is measured: a machine that was busy is no witness.
_LOAD = os.getloadavg()[0]


def interleaved(
    cases: Mapping[str, Callable[[], object]], rounds: int = 5, warmup: int = 1
) -> dict[str, list[float]]:
    """Seconds each case took in each round, measured A B C A B C …

    What slows the machine for a while then slows all cases alike. `warmup` rounds go before and
    are not counted. A case on a GPU must synchronise before it returns.
    """
    seconds: dict[str, list[float]] = {name: [] for name in cases}
    for number in range(warmup + rounds):
        for name, case in cases.items():
            start = time.perf_counter()
            case()
            took = time.perf_counter() - start
            if number >= warmup:
                seconds[name].append(took)
    return seconds


def median_and_spread(values: Sequence[float]) -> Spread:
    """Median, smallest and largest."""
    return Spread(statistics.median(values), min(values), max(values))


def ratio(a: Sequence[float], b: Sequence[float]) -> Spread:
    """`a / b` of each round: its median, smallest and largest."""
    return median_and_spread([x / y for x, y in zip(a, b, strict=True)])


def peak_of(command: Sequence[str], *, env: Mapping[str, str] | None = None) -> Peak:
    """Run a command and weigh its whole process tree until it ends.

    Raises:
        RuntimeError: the command failed, or ran past an hour. Its last words are in the message.
    """
    start = time.perf_counter()
    process = subprocess.Popen(
        list(command),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parent.parent,
        env={**os.environ, **(env or {})},
    )
    return weighed(process, start)


def weighed(process: subprocess.Popen[str] | Forked, start: float) -> Peak:
    """Weigh the tree of a process that was started at `start` until it ends, as `peak_of`."""
    scale = _Scale(process.pid)
    scale.start()
    try:
        output, errors = finished(process)
    finally:
        scale.stop()
    took = time.perf_counter() - start
    if process.returncode:
        raise RuntimeError(
            f"{shlex.join(process.args)} ended with {process.returncode} after {took:.0f} s, "
            f"at {scale.tree / 2**30:.2f} GiB:\n{errors[-2000:]}"
        )
    return Peak(scale.tree, scale.main, took, output, scale.count, scale.parts)


class _Scale(threading.Thread):
    """Weighs a process and its descendants again and again, and remembers the most it saw."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.pid = pid
        self.tree = self.main = self.count = 0
        self.parts: tuple[int, ...] = ()
        self._ended = threading.Event()

    def run(self) -> None:
        while not self._ended.wait(_SAMPLE_SECONDS):
            parts = tuple(_status(pid, "VmRSS") for pid in _family(self.pid))
            if sum(parts) > self.tree:
                self.tree, self.parts = sum(parts), parts
            # The kernel keeps this maximum itself.
            self.main = max(self.main, _status(self.pid, "VmHWM"))
            self.count += 1

    def stop(self) -> None:
        self._ended.set()
        self.join()


def _family(pid: int) -> list[int]:
    """A process and all that descend from it.

    A child that was forked and is not yet its own program shares its parent's memory; to count
    it would double the parent for a moment. It is known by its parent's command line.
    """
    found, todo = [], [(pid, b"")]
    while todo:
        one, parent = todo.pop()
        try:
            command = Path(f"/proc/{one}/cmdline").read_bytes()
            if command == parent:
                continue
            found.append(one)
            for task in Path(f"/proc/{one}/task").iterdir():
                children = (task / "children").read_text().split()
                todo += [(int(child), command) for child in children]
        except OSError:  # it has just ended
            continue
    return found


def _status(pid: int, name: str) -> int:
    """Bytes that a line like `VmRSS: 123 kB` states; 0 if the process has just ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(x.split()[1]) * 1024 for x in lines if x.startswith(f"{name}:")), 0)


def markdown(rows: Rows) -> str:
    """A Markdown table; the first row is its header, the first column is text."""
    header, *body = [[str(cell) for cell in row] for row in rows]
    rule = ["---", *["---:"] * (len(header) - 1)]
    return "\n".join(f"| {' | '.join(row)} |" for row in [header, rule, *body])


def save(name: str, data: Mapping[str, Any], command: str | None = None) -> Path:
    """Write `benchmarks/results/NAME.json`, with the machine and the command that made it.

    The command is this one, unless another is given.
    """
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    arguments = shlex.join(sys.argv[1:])
    command = command or f"python -m benchmarks.{name} {arguments}".strip()
    full = {
        **data,
        "machine": machine(),
        "command": command,
        "date": time.strftime("%Y-%m-%d"),
    }
    path.write_text(json.dumps(full, indent=1, ensure_ascii=False) + "\n")
    return path


def finish(name: str, result: Result, given: argparse.Namespace) -> None:
    """Print a result as Markdown, and save it unless it was a quick look (or --save says so)."""
    print(markdown(result.table))
    if result.chart:
        print(f"\n{result.chart}")
    for note in result.notes:
        print(f"\n{note}")
    if given.save or not given.quick:
        print(f"\nwritten: {save(name, asdict(result))}")


def arguments(doc: str | None) -> argparse.ArgumentParser:
    """The options every benchmark has; add your own."""
    parser = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="small, to see that it runs")
    parser.add_argument("--save", action="store_true", help="write the results of --quick too")
    return parser
