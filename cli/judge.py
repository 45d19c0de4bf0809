"""`retake judge`: have a language model mark the answers that only a judge can."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from retake.core.benchmark import Benchmark
    from retake.evaluation.judging.cache import Cache
    from retake.evaluation.judging.judging import Asked
    from retake.evaluation.judging.records import Judge
    from retake.evaluation.records import RunRecords

    from .judge_report import Shown


@click.command("judge")
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--model",
    required=True,
    metavar="NAME",
    help="The judge, as the endpoint calls it. Marks depend on it: benchmarks say whom to ask.",
)
@click.option(
    "--base-url",
    metavar="URL",
    help="An OpenAI-compatible endpoint, such as http://localhost:8000/v1. Default: what "
    "OPENAI_BASE_URL holds, else OpenAI's.",
)
@click.option(
    "--key-variable",
    default="OPENAI_API_KEY",
    show_default=True,
    metavar="NAME",
    help="The variable of the environment that holds the endpoint's key.",
)
@click.option(
    "--temperature",
    type=click.FloatRange(0, 2),
    default=0.0,
    show_default=True,
    metavar="NUMBER",
    help="Of the judge; some models take 1 only.",
)
@click.option("--seed", type=int, metavar="NUMBER", help="Of the judge, where it knows seeds.")
@click.option(
    "--max-tokens", type=click.IntRange(min=1), metavar="COUNT", help="Of a reply, at most."
)
@click.option(
    "--concurrency",
    type=click.IntRange(min=1),
    default=4,
    show_default=True,
    metavar="COUNT",
    help="Requests under way at a time, at most.",
)
@click.option(
    "--retries",
    type=click.IntRange(0, 100),
    default=5,
    show_default=True,
    metavar="COUNT",
    help="How often an answer is asked about again, at most, whatever went wrong.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(0, min_open=True),
    default=120.0,
    show_default=True,
    metavar="SECONDS",
    help="For a request.",
)
@click.option("--no-cache", is_flag=True, help="Use and keep no replies of other runs.")
@click.option("--anew", is_flag=True, help="Set aside all that was judged, and begin again.")
@click.option(
    "--benchmark-option",
    metavar="KEY=VALUE",
    multiple=True,
    help="Another option of the benchmark, such as where its files are by now; repeatable.",
)
@click.option(
    "--estimate", "estimates", is_flag=True, help="Count what would be asked; ask nothing."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
def command(run: Path, estimates: bool, as_json: bool, anew: bool, **given: Any) -> None:
    """Have a judge mark the answers of RUN that the benchmark does not mark itself.

    RUN is a folder that `retake eval` wrote, or is still writing. Every judgement is on the disk
    before more is asked: whatever ends this, the same command goes on. Answers are sent to the
    endpoint, and may cost money there: --estimate says how much is sent.
    """
    from retake.evaluation.judging.judging import estimate, judge_run
    from retake.evaluation.records import read_run

    from . import judge_report
    from .console import print_json, stdout
    from .evaluation_progress import evaluation_progress
    from .judge_report import Shown

    found = read_run(run.expanduser())
    benchmark = _benchmark(found, given["benchmark_option"])
    judge, asked, cache = _judge(given), _asked(given), _cache(given)
    if estimates:
        counted = estimate(found, benchmark, judge, asked, cache=cache, anew=anew)
        if as_json:
            print_json(judge_report.estimate_document(found, judge, counted))
        else:
            judge_report.show_estimate(counted, judge, asked.host, stdout())
        return
    with evaluation_progress(Shown) as shown:
        with _refreshed_also_if_ended(found.folder, benchmark, shown), _ended_with_grace(shown):
            judged = judge_run(
                found, benchmark, judge, asked, cache=cache, anew=anew, listener=shown.listener
            )
        results = _refreshed(found.folder, benchmark, shown)
    if as_json:
        print_json(judge_report.document(found, judge, asked.host, judged, results))
    else:
        judge_report.show(found, judge, asked.host, judged, results, stdout())
    if judged.failures:
        raise click.exceptions.Exit(1)


@contextmanager
def _refreshed_also_if_ended(
    folder: Path, benchmark: "Benchmark", shown: "Shown"
) -> Iterator[None]:
    """Where judging ended early, the results have what was judged until then all the same."""
    from retake.core.errors import RetakeError

    try:
        yield
    except BaseException:
        if shown.total:  # judging had begun
            try:
                _refreshed(folder, benchmark, shown)
            except RetakeError as error:
                shown.say(f"Note: results.json is as it was before. {error.message}")
        raise


@contextmanager
def _ended_with_grace(shown: "Shown") -> Iterator[None]:
    """Say what is kept where this is interrupted; end as quietly where it is ended from outside.

    Requests under way are taken back by the event loop for Ctrl-C alone, so others come as that.
    """
    ends: list[int] = []

    def end(number: int, _: object) -> None:
        ends.append(number)
        signal.raise_signal(signal.SIGINT)

    names = [name for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before = {name: signal.signal(getattr(signal, name), end) for name in names}
    try:
        yield
    except KeyboardInterrupt:
        shown.interrupted()
        if ends:
            sys.exit(128 + ends[0])
        raise
    finally:
        for name, handler in before.items():
            signal.signal(getattr(signal, name), handler)


def _benchmark(run: "RunRecords", pairs: tuple[str, ...]) -> "Benchmark":
    """The run's benchmark, with some options as they are by now."""
    import attrs

    from retake.core.references import key_value
    from retake.evaluation.remaking import benchmark_of

    record = run.header.benchmark
    options = {**record.options, **dict(key_value(pair, "--benchmark-option") for pair in pairs)}
    header = attrs.evolve(run.header, benchmark=attrs.evolve(record, options=options))
    return benchmark_of(attrs.evolve(run, header=header))


def _judge(given: dict[str, Any]) -> "Judge":
    from retake.evaluation.judging.records import Judge

    if not given["model"].strip():
        raise click.UsageError("Option '--model' needs the name of a model.")
    return Judge(given["model"], given["temperature"], given["seed"], given["max_tokens"])


def _asked(given: dict[str, Any]) -> "Asked":
    from retake.evaluation.judging.endpoint import BASE_URL
    from retake.evaluation.judging.judging import Asked
    from retake.evaluation.judging.waiting import Patience

    asked = Asked(
        base_url=given["base_url"] or os.environ.get("OPENAI_BASE_URL") or BASE_URL,
        key_variable=given["key_variable"],
        timeout=given["timeout"],
        concurrency=given["concurrency"],
        patience=Patience(retries=given["retries"]),
    )
    _ = asked.host  # refuses a wrong address
    return asked


def _cache(given: dict[str, Any]) -> "Cache | None":
    from retake.evaluation.judging.cache import Cache, cache_folder

    return None if given["no_cache"] else Cache(cache_folder())


def _refreshed(folder: Path, benchmark: "Benchmark", shown: "Shown") -> dict[str, Any] | None:
    """Write the run's results with what was judged; None where another process is to do so."""
    from retake.core.errors import RunFolderError
    from retake.evaluation.locking import FolderLock
    from retake.evaluation.records import read_run
    from retake.evaluation.results import write_results

    try:
        lock = FolderLock(folder)
    except RunFolderError as error:
        shown.say(f"Note: results.json is left to whoever writes the run. {error.message}")
        return None
    with lock:
        return write_results(read_run(folder), benchmark)
