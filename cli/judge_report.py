"""How far a judge is, and what it came to, as a person reads it and as one JSON document."""

import time
from collections.abc import Iterator, Mapping
from typing import Any

import attrs
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from rich.text import Text

from retake.evaluation.judging.judging import Estimate, Judged
from retake.evaluation.judging.records import Judge, JudgeFailure, Judgement
from retake.evaluation.judging.tally import Listener, Tally
from retake.evaluation.records import RunRecords

from . import units
from .evaluation_progress import LINE_SECONDS, Bars
from .evaluation_report import metrics_table
from .report import labelled

FORMAT = "retake.judge/1"
_FAILURES = 10  # shown one by one
_TROUBLE_SECONDS = 10.0  # between two lines about requests that are sent again
_CHARACTERS_A_TOKEN = 4  # of English text, roughly


class Shown(Bars):
    """What is shown while a judge is asked; off a terminal in lines now and then."""

    def __init__(self, console: Console, bars: Progress | None) -> None:
        super().__init__(console, bars)
        self.listener = _Listener(self)
        self.tally = Tally()
        self.total = self.before = 0
        self._began = time.monotonic()
        self._line_at = self._began + LINE_SECONDS

    def begin(self, tally: Tally, left: int, done: int) -> None:
        """So many are left; so many were judged before."""
        self.tally, self.before, self.total = tally, done, left + done
        self._began = time.monotonic()
        self.count()

    def count(self) -> None:
        """One more is judged, or has failed."""
        done = self.before + self.tally.judged
        self.update("judged", done, self.total, "".join(f"  {part}" for part in self._parts()))
        if not self.shown and time.monotonic() >= self._line_at:
            self._line_at = time.monotonic() + LINE_SECONDS
            self.say(" · ".join((f"{done:,} of {self.total:,} judged", *self._parts())))

    def interrupted(self) -> None:
        """Ctrl-C: say what is kept."""
        if self.total:
            done = self.before + self.tally.judged
            self.say(
                f"{done} of {self.total} answers are judged and kept; the same command goes on."
            )

    def _parts(self) -> Iterator[str]:
        """The rate, and what it cost so far."""
        spent = time.monotonic() - self._began
        if self.tally.judged and spent > 0:
            yield f"{units.count(round(60 * self.tally.judged / spent))} a minute"
        tokens = self.tally.prompt_tokens + self.tally.completion_tokens
        if tokens:
            yield f"{units.count(tokens)} tokens"
        if self.tally.failed:
            yield f"{units.count(self.tally.failed)} failed"


class _Listener(Listener):
    """Hands on what happens to what is shown."""

    def __init__(self, shown: Shown) -> None:
        self._shown = shown
        self._quiet_until = 0.0

    def begins(self, tally: Tally, left: int, done: int) -> None:
        self._shown.begin(tally, left, done)

    def judged(self, judgement: Judgement) -> None:
        self._shown.count()

    def failed(self, failure: JudgeFailure) -> None:
        self._shown.say(f"Failed: {told(failure)}")
        self._shown.count()

    def waits(self, sample: str, reason: str, seconds: float) -> None:
        if time.monotonic() >= self._quiet_until:
            self._quiet_until = time.monotonic() + _TROUBLE_SECONDS
            self._shown.say(f"Waiting: {sample}: {reason}; again in {units.seconds(seconds)}.")

    def note(self, text: str) -> None:
        self._shown.say(f"Note: {text}")


def told(failure: JudgeFailure) -> str:
    """A failure as a sentence."""
    times = "once" if failure.attempts == 1 else f"{failure.attempts} times"
    return f"{failure.sample}: {failure.reason} (asked {times})."


def document(
    run: RunRecords, judge: Judge, host: str, judged: Judged, results: Mapping[str, Any] | None
) -> dict[str, Any]:
    """All of it but the judgements, which are in the run's folder, as plain data."""
    return {
        "format": FORMAT,
        "folder": str(run.folder),
        "judge": attrs.asdict(judge),
        "host": host,
        "answers": judged.cases,
        "judged": len(judged.judgements),
        "failed": len(judged.failures),
        "failures": [attrs.asdict(failure) for failure in judged.failures.values()],
        "run_complete": run.complete,
        "now": attrs.asdict(judged.tally),
        "aspects": _aspects(run, judged),
        "metrics": None if results is None else results["metrics"],
        "metrics_trouble": None if results is None else results["metrics_trouble"],
        "notes": list(judged.notes),
    }


def show(
    run: RunRecords,
    judge: Judge,
    host: str,
    judged: Judged,
    results: Mapping[str, Any] | None,
    console: Console,
) -> None:
    """Print the whole report."""
    if judged.judgements:
        console.print(_aspects_table(_aspects(run, judged)))
        console.print()
    if results is not None and results["metrics"]:
        console.print(metrics_table(results["metrics"]))
        console.print()
    console.print(labelled(_rows(run, judge, host, judged)))
    for warning in _warnings(run, judged, results):
        console.print(Text.assemble(("Warning  ", "bold yellow"), warning), soft_wrap=True)


def estimate_document(run: RunRecords, judge: Judge, counted: Estimate) -> dict[str, Any]:
    """What would be asked, as plain data."""
    return {
        "format": FORMAT,
        "folder": str(run.folder),
        "judge": attrs.asdict(judge),
        "estimate": attrs.asdict(counted),
    }


def show_estimate(counted: Estimate, judge: Judge, host: str, console: Console) -> None:
    """Print what would be asked."""
    tokens = round(counted.characters / _CHARACTERS_A_TOKEN)
    rows = (
        ("Answers", f"{units.count(counted.cases)} for a judge"),
        ("Judged", units.count(counted.judged)),
        ("In cache", units.count(counted.cached)),
        ("To ask", f"{units.count(counted.requests)} requests of {judge.model} at {host}"),
        (
            "",
            f"{units.count(counted.characters)} characters, some {units.count(tokens)} tokens "
            f"({_CHARACTERS_A_TOKEN} characters each); replies and repetitions come on top",
        ),
    )
    console.print(labelled(rows))


def _aspects(run: RunRecords, judged: Judged) -> list[dict[str, Any]]:
    """The mean of each aspect, by kind."""
    kinds = {sample.id: sample.kind for sample in run.samples}
    values: dict[tuple[str, str], list[float]] = {}
    for name, judgement in judged.judgements.items():
        for aspect, value in judgement.aspects.items():
            values.setdefault((kinds[name], aspect), []).append(value)
    return [
        {"kind": kind, "aspect": aspect, "mean": sum(each) / len(each), "answers": len(each)}
        for (kind, aspect), each in values.items()
    ]


def _aspects_table(rows: list[dict[str, Any]]) -> Table:
    table = Table(box=None, padding=(0, 3, 0, 0), header_style="dim")
    table.add_column("Kind", style="cyan")
    table.add_column("Aspect")
    table.add_column("Mean", justify="right")
    table.add_column("Answers", justify="right")
    last = None
    for row in rows:
        kind = row["kind"] if row["kind"] != last else ""
        last = row["kind"]
        table.add_row(kind, row["aspect"], f"{row['mean']:.2f}", units.count(row["answers"]))
    return table


def _rows(run: RunRecords, judge: Judge, host: str, judged: Judged) -> Iterator[tuple[str, str]]:
    tally = judged.tally
    yield "Run", str(run.folder)
    done = f"{units.count(len(judged.judgements))} of {units.count(judged.cases)} answers judged"
    new = [f"{units.count(tally.judged)} now"] if tally.judged else []
    new += [f"{units.count(tally.cached)} of them from the cache"] if tally.cached else []
    yield "Judged", done + (f" ({', '.join(new)})" if new else "")
    yield "Judge", f"{_judge(judge)} at {host}"
    served = sorted({each.served for each in judged.judgements.values() if each.served})
    if served and served != [judge.model]:
        yield "", f"which calls it {', '.join(served)}"
    if tally.requests:
        yield "Requests", f"{units.count(tally.requests)} · {_tokens(tally)}"


def _judge(judge: Judge) -> str:
    more = [f"temperature {judge.temperature:g}"]
    more += [f"seed {judge.seed}"] if judge.seed is not None else []
    more += [f"{judge.max_tokens} tokens at most"] if judge.max_tokens is not None else []
    return f"{judge.model} ({', '.join(more)})"


def _tokens(tally: Tally) -> str:
    asked, replied = units.count(tally.prompt_tokens), units.count(tally.completion_tokens)
    text = f"{asked} tokens asked, {replied} replied"
    if not tally.uncounted:
        return text
    return f"{text}; of {units.count(tally.uncounted)} replies the endpoint gave no tokens"


def _warnings(run: RunRecords, judged: Judged, results: Mapping[str, Any] | None) -> Iterator[str]:
    if results is not None and results["metrics_trouble"]:
        yield f"The benchmark's own figures: {results['metrics_trouble']}"
    failures = list(judged.failures.values())
    for failure in failures[:_FAILURES]:
        yield told(failure)
    if len(failures) > _FAILURES:
        yield f"{len(failures) - _FAILURES} more failed (judge_failures.jsonl has them)."
    if failures:
        yield "The same command tries them again; the numbers above are without them."
    if not run.complete:
        left = run.header.samples_total - len(run.samples)
        yield (
            f"{units.count(left)} questions of the run are not answered; what is answered later "
            "is judged by the same command then."
        )
