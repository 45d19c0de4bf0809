"""`retake submission`: the files that a benchmark's server or script takes."""

from pathlib import Path

import click


@click.command("submission")
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Where the files go. Default: the run's folder.",
)
@click.option("--partial", is_flag=True, help="Also where questions are not answered yet.")
def command(run: Path, output: Path | None, partial: bool) -> None:
    """Write the answers of RUN as the benchmark's server or script takes them.

    RUN is a folder that `retake eval` wrote. The benchmarks' pages (docs/datasets) say what
    is to be done with the files.
    """
    from retake.core.errors import UsageError
    from retake.evaluation.records import read_run
    from retake.evaluation.remaking import benchmark_of
    from retake.evaluation.submitting import submission_of

    from .pages import place, write

    found = read_run(run.expanduser())
    folder = (output or run).expanduser()
    files = submission_of(found, benchmark_of(found), partial=partial)
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise UsageError(f"Cannot make the folder '{folder}': {error.strerror}.") from error
    for name, text in files.items():
        path = place(folder / name, "submission")
        write(path, text)
        click.echo(str(path))
