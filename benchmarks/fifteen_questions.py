"""15 questions about one video: one `retake watch` and one `retake ask`, against 15 `retake run`.

Every command is a process of its own, from start to exit, as typed in a shell: Python starting,
importing and loading the model included. A generated clip of 20 minutes at 2 frames a second, the
embedded model, a quarter kept. After every five runs the video is watched and asked once more,
so that whatever slows the machine slows both. The answers must be the same.
"""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from attrs import frozen
from retake_cli.main import run

from benchmarks import harness
from benchmarks.forking import Forked, finished
from benchmarks.harness import median_and_spread
from retake.datasets.scenes import make_clip
from retake.datasets.scenes.world import COLOURS, SHAPES

QUESTIONS = [
    *(f"What colour is the flashed {shape}?" for shape in SHAPES),
    *(f"Did {'an' if c[0] in 'aeiou' else 'a'} {c} shape flash?" for c in COLOURS[:7]),
]
_BLOCK = 5  # runs between two watchings


@frozen
class Command:
    """A command that was run: seconds from start to exit, and the JSON it printed."""

    seconds: float
    reply: dict[str, Any]


@frozen
class Watched:
    """One watching and all questions asked of it."""

    watch: Command
    ask: Command

    @property
    def seconds(self) -> float:
        """Both commands together."""
        return self.watch.seconds + self.ask.seconds


def clip_of(minutes: float, seed: int = 15) -> Path:
    """The video, made on first use."""
    folder = harness.CACHE / "videos"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"clip-{minutes:g}min-{seed}.mp4"
    if not path.with_suffix(".json").exists():
        make_clip(path, seconds=minutes * 60, seed=seed)
    return path


def retake(*arguments: str, quick: bool = False) -> Command:
    """Run the command line in a process, and time it; for a quick look in a fork of this one."""
    start = time.perf_counter()
    process = (
        Forked(run, arguments)
        if quick
        else subprocess.Popen(
            [sys.executable, "-m", "retake_cli", *arguments],
            cwd=Path(__file__).parent.parent,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
    )
    printed, errors = finished(process)
    seconds = time.perf_counter() - start
    if process.returncode:
        raise RuntimeError(f"retake {arguments[0]} ended with {process.returncode}: {errors}")
    return Command(seconds, json.loads(printed) if printed.strip() else {})


def answers(command: Command) -> list[str]:
    """The answers that a command printed."""
    return [answer["answer"] for answer in command.reply["answers"]]


def measure(
    video: Path, questions: list[str], options: list[str], memory: Path, *, quick: bool
) -> tuple[list[Command], list[Watched]]:
    """Every question by a run of its own; after each block, all of them from one watching.

    For a quick look only the first run starts as it does for a user.
    """
    runs: list[Command] = []
    watched: list[Watched] = []
    for number, question in enumerate(questions, start=1):
        words = ["run", str(video), question, *options, "--json"]
        runs.append(retake(*words, quick=quick and number > 1))
        print(f"run {number}: {runs[-1].seconds:.1f} s", file=sys.stderr)
        if number % _BLOCK == 0 or number == len(questions):
            memory.unlink(missing_ok=True)
            watch = retake("watch", str(video), "-o", str(memory), *options, "--json", quick=quick)
            ask = retake("ask", str(memory), *questions, "--json", quick=quick)
            watched.append(Watched(watch, ask))
            print(f"watch {watch.seconds:.1f} s, ask {ask.seconds:.1f} s", file=sys.stderr)
    memory.unlink(missing_ok=True)
    return runs, watched


def stages_of(command: Command) -> str:
    """Where the time went: the stages that the command reports, and what is left."""
    stages = {cost["name"]: cost["seconds"] for cost in command.reply.get("costs", [])}
    if "answers" in command.reply:
        stages["answer"] = sum(one["cost"]["seconds"] for one in command.reply["answers"])
    rest = command.seconds - sum(stages.values())
    listed = ", ".join(f"{name} {seconds:.1f}" for name, seconds in stages.items())
    return f"{listed}, start and rest {rest:.1f}"


def _row(name: str, commands: list[Command], total: str | None = None) -> list[str]:
    """A row of the table: a command's times, their sum, and where the last one's went."""
    spread = median_and_spread([command.seconds for command in commands])
    return [name, spread.text(1), total or f"{spread.median:.1f}", stages_of(commands[-1])]


def main() -> None:
    """Measure, print, save."""
    parser = harness.arguments(__doc__)
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--keep-ratio", default="0.25")
    given = parser.parse_args()
    questions = QUESTIONS[:2] if given.quick else QUESTIONS
    minutes = 0.2 if given.quick else given.minutes
    options = ["--max-frames", str(round(minutes * 120)), "--keep-ratio", given.keep_ratio]
    video = clip_of(minutes)
    memory = video.with_suffix(".retake")
    runs, watched = measure(video, questions, options, memory, quick=given.quick)
    told = [answers(run)[0] for run in runs]
    same = all(answers(one.ask) == told for one in watched)
    total, once = sum(run.seconds for run in runs), median_and_spread([w.seconds for w in watched])
    blocks = [runs[start : start + _BLOCK] for start in range(0, len(runs), _BLOCK)]
    typical = [sum(run.seconds for run in block) / len(block) for block in blocks]
    faster = harness.ratio([len(runs) * mean for mean in typical], [w.seconds for w in watched])
    count = len(questions)
    table = [["", "seconds, median (range)", "all questions, s", "of which, s"]]
    table.append(_row(f"{count} × `retake run`", runs, f"{total:.1f}"))
    table.append(_row("`retake watch`", [one.watch for one in watched]))
    table.append(_row(f"`retake ask`, {count} questions", [one.ask for one in watched]))
    table.append(["watch + ask", once.text(1), f"{once.median:.1f}", ""])
    notes = [
        f"{count} questions: {total / once.median:.1f} times as fast from one watching, "
        f"{faster.text(1)} by blocks of {_BLOCK} runs (the goal is 10 times).",
        f"{minutes:g} minutes of video, keep ratio {given.keep_ratio}, every question really run: "
        f"nothing is extrapolated. The answers are {'the same' if same else 'NOT the same'}.",
    ]
    data = {
        "run_seconds": [run.seconds for run in runs],
        "watch_seconds": [one.watch.seconds for one in watched],
        "ask_seconds": [one.ask.seconds for one in watched],
        "same_answers": same,
    }
    harness.finish("fifteen_questions", harness.Result(table, notes, data), given)


if __name__ == "__main__":
    main()
