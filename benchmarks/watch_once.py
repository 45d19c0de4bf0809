"""A benchmark with many questions about each video: every video watched once, or for each question.

LVBench asks 1,549 questions about 103 videos, 15 each. Here 15 questions are asked about each of a
few generated clips, through `retake.evaluation`, as `retake eval` does: run folder, journal and
marking included; with `watch_each` on, as published evaluations work, and off. Rounds of the two
alternate, so that whatever slows the machine slows both; seconds of work are given beside those
that passed, since on a busy machine they alone compare. The answers must be the same.

    python -m benchmarks.watch_once [--quick] [--minutes N] [--videos N] [--rounds N]
"""

import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from attrs import frozen

import retake
from benchmarks import harness
from benchmarks.fifteen_questions import QUESTIONS, clip_of
from benchmarks.harness import median_and_spread
from retake.core.benchmark import Benchmark, Sample
from retake.evaluation.folder import RunFolder
from retake.evaluation.records import RunRecords, read_run
from retake.evaluation.running import Run, chosen, evaluate, header_of
from retake.video_model import VideoModel

_SEED = 60


@frozen
class Grouped(Benchmark):
    """The same questions about each of several clips.

    Attributes:
        minutes: of each clip.
        videos: how many clips.
        questions: how many of each.
    """

    minutes: float = 4
    videos: int = 3
    questions: int = 15

    def samples(self) -> list[Sample]:
        """Right answers are left out: only whether both ways say the same counts."""
        asked = QUESTIONS[: self.questions]
        return [
            Sample(f"{video}-{number}", clip_of(self.minutes, _SEED + video), question, None, "any")
            for video in range(self.videos)
            for number, question in enumerate(asked)
        ]

    def mark(self, sample: Sample, answer: str) -> float | None:
        """Unknown: no right answers are there."""
        return None


@frozen
class Timed:
    """A whole run, from the first video to the last answer.

    Attributes:
        seconds: that passed.
        worked: that this process worked, all threads added.
        records: what was kept.
    """

    seconds: float
    worked: float
    records: RunRecords

    @property
    def answers(self) -> list[str]:
        """What was answered, in order."""
        return [sample.answer for sample in self.records.samples]

    def spent(self, stages: tuple[str, ...]) -> float:
        """Seconds that all watches, or all answers, took in some stages."""
        if stages == ("answer",):
            return sum(sample.seconds["answer"] for sample in self.records.samples)
        costs = [cost for video in self.records.videos for cost in video.costs]
        return sum(cost.seconds for cost in costs if cost.name in stages)


def timed(model: VideoModel, benchmark: Grouped, folder: Path, *, watch_each: bool) -> Timed:
    """Evaluate the benchmark into a new folder."""
    samples = chosen(benchmark)
    header = header_of(
        folder, ("grouped", benchmark), samples, model.config, model, watch_each=watch_each
    )
    start, worked = time.perf_counter(), time.process_time()
    with RunFolder(folder, header) as kept:
        evaluate(Run(kept, benchmark, fail_fast=True), model, samples)
    seconds, worked = time.perf_counter() - start, time.process_time() - worked
    return Timed(seconds, worked, read_run(folder))


def main() -> None:
    """Measure, print, save."""
    parser = harness.arguments(__doc__)
    parser.add_argument("--minutes", type=float, default=4)
    parser.add_argument("--videos", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    benchmark = Grouped(0.25, 2, 2) if given.quick else Grouped(given.minutes, given.videos)
    rounds = 1 if given.quick else given.rounds
    model = retake.load(keep_ratio=0.25, generate={"max_new_tokens": 32})
    ways = {"watched once": False, "watched for each question": True}
    runs: dict[str, list[Timed]] = {name: [] for name in ways}
    with TemporaryDirectory(prefix="retake-watch-once-") as place:
        warm = Grouped(benchmark.minutes, 1, 1)
        timed(model, warm, Path(place) / "warm", watch_each=False)
        for number in range(rounds):
            for name, each in ways.items():
                folder = Path(place) / f"{number}-{each}"
                runs[name].append(timed(model, benchmark, folder, watch_each=each))
                print(f"{name}: {runs[name][-1].seconds:.1f} s", file=sys.stderr)
    once, each = runs.values()
    told = once[0].answers
    if any(run.answers != told for run in (*once, *each)):
        raise SystemExit("The answers differ: the two ways do not do the same work.")
    harness.finish("watch_once", _result(benchmark, runs), given)


def _result(benchmark: Grouped, runs: dict[str, list[Timed]]) -> harness.Result:
    seconds = {name: [run.seconds for run in some] for name, some in runs.items()}
    worked = {name: [run.worked for run in some] for name, some in runs.items()}
    table = [["", "watches", "seconds, median (range)", "of work", "watching", "answering"]]
    for name, some in runs.items():
        last = some[-1]
        watching = last.spent(("open", "decode", "encode", "select", "prefill"))
        table.append(
            [
                name,
                str(len(last.records.videos)),
                median_and_spread(seconds[name]).text(1),
                median_and_spread(worked[name]).text(1),
                f"{watching:.1f}",
                f"{last.spent(('answer',)):.1f}",
            ]
        )
    (once, each), (once_worked, each_worked) = seconds.values(), worked.values()
    count = len(next(iter(runs.values()))[0].answers)
    notes = [
        f"{count} questions about {benchmark.videos} videos of {benchmark.minutes:g} minutes, the "
        "embedded model, a quarter kept; every question really asked, all answers the same.",
        f"Watching once takes {harness.ratio(each_worked, once_worked).text(1)} times less work "
        f"and is {harness.ratio(each, once).text(1)} times as fast, round by round ({len(once)} "
        f"rounds). {count // benchmark.videos} times, the questions a video, is the most it can "
        "be; the longer the video and the larger the model, the nearer.",
        "*Watching* and *answering* are seconds of the last round by stage.",
    ]
    data = {"seconds": seconds, "worked": worked, "same_answers": True, "questions": count}
    return harness.Result(table, notes, data)


if __name__ == "__main__":
    main()
