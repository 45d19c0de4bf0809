"""`retake eval`: answer a benchmark's questions, and keep every answer as soon as it is there."""

from pathlib import Path
from typing import Any

import click

from .benchmarks import benchmark_and_folder, defaults, named_benchmark
from .options import (
    FLAGS,
    SectionCommand,
    configuration_options,
    flag_options,
    part_options,
    section_option,
)
from .workers import Crew, worker_options


@click.command("eval", cls=SectionCommand)
@click.argument("benchmark", required=False)
@section_option(
    "-o",
    "--output",
    section="Output",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Where the run is kept: a new folder, an empty one, or with --resume that of a run.",
)
@section_option(
    "--benchmark-option",
    section="Benchmark",
    metavar="KEY=VALUE",
    multiple=True,
    help="An option of the benchmark; repeatable.",
)
@section_option(
    "--limit",
    section="Benchmark",
    type=click.IntRange(min=1),
    metavar="COUNT",
    help="Only the first samples, so many.",
)
@section_option(
    "--resume", section="Output", is_flag=True, help="Go on with the run that is in FOLDER."
)
@section_option(
    "--fail-fast",
    section="Output",
    is_flag=True,
    help="End at the first video that fails. Else it is noted, and the next one's turn comes.",
)
@section_option(
    "--batch",
    section="Answer",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    metavar="COUNT",
    help="Questions about a video that are answered at a time.",
)
@section_option(
    "--watch-each",
    section="Answer",
    is_flag=True,
    help="Watch a video anew for each question, though once would do; the answers are the same.",
)
@section_option(
    "--generate-option",
    section="Answer",
    metavar="KEY=VALUE",
    multiple=True,
    help="Any other setting of transformers' GenerationConfig; repeatable.",
)
@worker_options
@part_options
@configuration_options
@section_option("--json", "as_json", section="Output", is_flag=True, help="One JSON document.")
@flag_options(FLAGS)
def command(
    benchmark: str | None,
    output: Path | None,
    limit: int | None,
    resume: bool,
    fail_fast: bool,
    batch: int,
    watch_each: bool,
    workers: int | None,
    launcher: str,
    ray_address: str | None,
    hang_timeout: float,
    as_json: bool,
    show_config: bool,
    **given: Any,
) -> None:
    """Answer the questions of BENCHMARK, and keep the answers in FOLDER.

    BENCHMARK is a registered name, name:key=value,key=value, or file.py:Class. Every answer is
    on the disk before the next question is asked: whatever ends the run, --resume goes on with
    it, and comes to the numbers of a run that was never interrupted.
    """
    from retake import api
    from retake.evaluation.folder import check_place
    from retake.evaluation.results import write_results

    from . import configuration, evaluation_report
    from .console import print_json, stdout
    from .evaluating import Evaluation
    from .evaluation_progress import Shown, evaluation_progress
    from .steps import configure, from_anywhere

    named = named_benchmark(benchmark, given["benchmark_option"])
    config = from_anywhere(configure(given, defaults(named)))
    # Whatever is wrong with it should not wait for videos that are made, or a model.
    resolved = api.resolve(config)
    if show_config:
        click.echo(configuration.to_yaml(resolved), nl=False)
        return
    with Crew(resolved, workers, launcher, ray_address, hang_timeout) as crew:
        if crew.is_helper():
            return
        chosen, folder = benchmark_and_folder(named, output, "run")
        check_place(folder, resume=resume)
        with evaluation_progress(Shown) as shown:
            found = Evaluation(
                folder=folder,
                benchmark=chosen,
                config=config,
                resolved=resolved,
                limit=limit,
                batch=batch,
                watch_each=watch_each,
                resume=resume,
                fail_fast=fail_fast,
            ).run(crew, shown)
    results = write_results(found, chosen[1])
    if as_json:
        print_json(evaluation_report.document(found, results))
    else:
        evaluation_report.show(found, results, stdout())
    if found.failures:
        raise click.exceptions.Exit(1)
