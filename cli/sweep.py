"""`retake sweep`: a grid of methods over one benchmark."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .benchmarks import benchmark_and_folder, defaults, named_benchmark
from .options import FLAGS, SectionCommand, configuration_options, flag_options, section_option

if TYPE_CHECKING:
    from retake.evaluation.sweep_folder import SweepRecords
    from retake.evaluation.sweep_plan import Plan

# What the grid varies is no single flag here.
_VARIED = ("prefill.keep_ratio", "prefill.budget", "prefill.positions")


def _axis(name: str, key: str, kind: Any, metavar: str, text: str) -> Callable[[Any], Any]:
    return section_option(
        name, key, section="Grid", type=kind, metavar=metavar, multiple=True, help=text
    )


@click.command("sweep", cls=SectionCommand)
@click.argument("benchmark", required=False)
@section_option(
    "-o",
    "--output",
    section="Output",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Where the sweep is kept: a new folder, an empty one, or with --resume that of a sweep.",
)
@section_option(
    "--grid",
    "grid_file",
    section="Grid",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="A grid in YAML; docs/sweep.md has the keys. Flags add methods, and replace axes.",
)
@_axis("--selector", "selectors", str, "NAME", "As for `retake run`; repeatable.")
@_axis(
    "--compressor",
    "compressors",
    str,
    "NAME",
    "Likewise; every selector given is combined with every compressor given.",
)
@_axis(
    "--method",
    "methods",
    str,
    "[NAME=]SELECTOR+COMPRESSOR",
    "One pair, under a name of its own; repeatable.",
)
@_axis("--keep-ratio", "keep_ratios", float, "FRACTION", "Of the video's tokens; repeatable.")
@_axis("--budget", "budgets", int, "TOKENS", "Tokens each layer may hold; repeatable.")
@_axis("--positions", "positions", str, "[reforge|original]", "Position policy; repeatable.")
@section_option(
    "--benchmark-option",
    section="Benchmark",
    metavar="KEY=VALUE",
    multiple=True,
    help="An option of the benchmark, such as lengths=[64,128]; repeatable.",
)
@section_option(
    "--limit",
    section="Benchmark",
    type=click.IntRange(min=1),
    metavar="COUNT",
    help="Only the first samples, so many.",
)
@section_option(
    "--resume", section="Output", is_flag=True, help="Go on with the sweep that is in FOLDER."
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
    "--generate-option",
    section="Answer",
    metavar="KEY=VALUE",
    multiple=True,
    help="Any other setting of transformers' GenerationConfig; repeatable.",
)
@configuration_options
@section_option("--json", "as_json", section="Output", is_flag=True, help="One JSON document.")
@flag_options(flag for flag in FLAGS if flag.path not in _VARIED)
def command(
    benchmark: str | None,
    output: Path | None,
    resume: bool,
    as_json: bool,
    show_config: bool,
    **given: Any,
) -> None:
    """Try methods on BENCHMARK, each at every keep ratio and position policy.

    A method is a selector with a compressor. Every combination is a cell, and has a run of its own
    in FOLDER, as `retake eval` would write it; cells that cannot differ share one. A video is
    decoded and encoded once for all of them. Whatever ends the sweep, --resume goes on with it. A
    cell that fails is noted, and the others go on.
    """
    from retake.evaluation.running import chosen
    from retake.evaluation.sweep_folder import check_place, document
    from retake.evaluation.sweep_plan import Plan

    from . import sweep_report
    from .console import print_json, stdout
    from .evaluation_progress import evaluation_progress
    from .sweep_grid import cells_of_flags, overview
    from .sweep_progress import SweepShown

    named = named_benchmark(benchmark, given["benchmark_option"])
    grid, base, cells = cells_of_flags(given, defaults(named))
    if show_config:
        click.echo(overview(base, cells), nl=False)
        return
    on, folder = benchmark_and_folder(named, output, "sweep")
    check_place(folder, resume=resume)
    with evaluation_progress(SweepShown) as shown:
        on[1].make(shown.making)
        samples = chosen(on[1], given["limit"])
        plan = Plan(grid, cells, base, on, samples, given["limit"], given["batch"])
        found = _sweep(folder, plan, shown, resume=resume)
    if as_json:
        print_json(document(found))
    else:
        sweep_report.show(found, stdout(wide=True))
    if found.failures or any(run.failures for run in found.runs.values()):
        raise click.exceptions.Exit(1)


def _sweep(folder: Path, plan: "Plan", shown: Any, *, resume: bool) -> "SweepRecords":
    from retake.evaluation.sweep import sweep

    from . import steps

    try:
        return sweep(
            folder,
            plan,
            lambda config: steps.load(config, shown.told)[0],
            resume=resume,
            watcher=shown,
        )
    except KeyboardInterrupt:
        shown.interrupted(folder)
        raise
