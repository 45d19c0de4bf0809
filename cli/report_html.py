"""`retake report`: one HTML page of a run, a sweep, or several of either."""

from pathlib import Path

import click

_PATH = click.Path(path_type=Path)


@click.command("report")
@click.argument("folders", nargs=-1, required=True, metavar="DIR...", type=_PATH)
@click.option(
    "-o",
    "--output",
    type=_PATH,
    metavar="FILE",
    help="Where the page goes. Default: report.html in the first DIR.",
)
@click.option("--markdown", type=_PATH, metavar="FILE", help="The same tables as Markdown.")
def command(folders: tuple[Path, ...], output: Path | None, markdown: Path | None) -> None:
    """Show what runs came to: one HTML page that loads nothing.

    A DIR is what `retake eval` or `retake sweep` wrote; several are compared with the first,
    question by question. Runs that are still going on are shown as far as they are.
    """
    from retake.evaluation.report import build, to_html, to_markdown

    from .pages import place, write

    page = build(folders)
    written = [(place(output or folders[0] / "report.html", "page"), to_html(page))]
    if markdown is not None:
        written.append((place(markdown, "Markdown"), to_markdown(page)))
    for path, text in written:
        write(path, text)
        click.echo(str(path))
