"""`retake compare`: runs against each other, on the samples that they share."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from retake.evaluation.records import RunRecords


@click.command("compare")
@click.argument("runs", nargs=-1, required=True, metavar="RUN...", type=click.Path(path_type=Path))
@click.option(
    "--baseline", metavar="RUN", help="What the others are compared with; the first if left out."
)
@click.option(
    "--by",
    "groups",
    metavar="GROUP",
    multiple=True,
    help="Break differences down by kind, seconds, depth, ...; repeatable. "
    "Kind and seconds if left out.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
def command(
    runs: tuple[Path, ...], baseline: str | None, groups: tuple[str, ...], as_json: bool
) -> None:
    """Compare RUNs of one benchmark, question by question.

    A RUN is the folder of `retake eval`, or of a sweep, which stands for all of its cells. Only
    samples that both runs have answered are compared, so that runs still in progress can be.
    Differences are in points of accuracy, with a 95 % interval that draws whole videos; * marks
    those that chance alone would show less than once in twenty times, all comparisons of a table
    taken together.
    """
    from retake.evaluation.compare import compare, find_baseline
    from retake.evaluation.given import check_given

    from . import compare_report
    from .console import print_json, stdout

    check_given(runs)
    read = [run for path in runs for run in _read(path)]
    first = 0 if baseline is None else find_baseline(read, baseline)
    compared = compare(read, baseline=first)
    shown = compare_report.groups_of(compared, groups)
    if as_json:
        print_json(compared)
    else:
        compare_report.show(compared, shown, stdout(wide=True))


def _read(path: Path) -> "list[RunRecords]":
    """The runs that a path stands for; of a sweep those that have answered anything."""
    from retake.evaluation.records import read_run
    from retake.evaluation.sweep_folder import is_sweep, read_sweep

    from .console import stderr

    if not is_sweep(path):
        return [read_run(path)]
    sweep = read_sweep(path)
    for cell in sweep.header.cells:
        run = sweep.run_of(cell)
        if cell.get("same_as") is None and (run is None or not run.samples):
            stderr().print(f"Note: {cell['name']} has answered nothing yet, and is left out.")
    return [run for run in sweep.runs.values() if run.samples]
