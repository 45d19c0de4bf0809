"""`retake list`: what there is to choose from."""

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from .parts import Kind, Part

_WIDE = 140  # columns that a part takes on one line


@click.command("list")
@click.argument("kind", required=False)
@click.argument("name", required=False)
@click.option("--verbose", "-v", is_flag=True, help="Every option on a line, explained.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
def command(kind: str | None, name: str | None, verbose: bool, as_json: bool) -> None:
    """List what there is of a KIND, or everything: selectors, scorers, compressors, models,
    backends, datasets, presets, clips. With a NAME, that one in full; file.py:Class is one of
    your own.

    Installed plug-ins are listed too; one that does not work is shown with the reason.
    """
    import attrs

    from .console import print_json, stdout

    found = [(each, _named(each, name)) for each in _kinds(kind)]
    if as_json:
        data = {each.name: [attrs.asdict(part) for part in parts] for each, parts in found}
        print_json(data)
        return
    console = stdout(wide=True)
    for number, (each, parts) in enumerate(found):
        if number:
            console.print()
        _show(console, each, parts, verbose=verbose or name is not None)


def _kinds(wanted: str | None) -> "list[Kind]":
    from retake.core.errors import unknown_name

    from .parts import KINDS

    if wanted is None:
        return list(KINDS)
    named = {kind.name: kind for kind in KINDS} | {kind.name[:-1]: kind for kind in KINDS}
    if wanted not in named:
        raise unknown_name("kind", wanted, [kind.name for kind in KINDS])
    return [named[wanted]]


def _named(kind: "Kind", name: str | None) -> "list[Part]":
    from retake.core.errors import unknown_name

    if name is not None and kind.from_code and (":" in name or name.endswith(".py")):
        return [kind.from_code(name)]
    parts = kind.parts()
    if name is None:
        return parts
    chosen = [part for part in parts if part.name == name]
    if not chosen:
        raise unknown_name(kind.name.removesuffix("s"), name, [part.name for part in parts])
    return chosen


def _show(console: "Console", kind: "Kind", parts: "list[Part]", *, verbose: bool) -> None:
    from rich.text import Text

    console.print(Text.assemble((kind.name.capitalize(), "bold"), (f"  {kind.flag}", "dim")))
    if not parts:
        console.print("  (none)", style="dim")
    elif verbose:
        for part in parts:
            _in_full(console, part)
    else:
        console.print(_lines(parts, wide=console.width >= _WIDE))


def _lines(parts: "list[Part]", *, wide: bool) -> "Table":
    """One line a part where the terminal is wide enough, else two."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(style="cyan", no_wrap=True)
    for part in parts:
        about = Text(f"broken: {part.broken}", "red") if part.broken else Text(part.summary)
        options = " ".join(f"{each.name}={each.default}" for each in part.options)
        details = [options, part.source, "" if _is_ours(part) else part.origin]
        if wide:
            table.add_row(f"  {part.name}", about, *(Text(each, "dim") for each in details))
        else:
            below = " · ".join(each for each in details if each)
            cell = Group(about, Text(below, "dim")) if below else about
            table.add_row(f"  {part.name}", cell)
    return table


def _in_full(console: "Console", part: "Part") -> None:
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    console.print(Text(f"  {part.name}", "cyan"))
    if part.broken:
        console.print(Padding(Text(f"broken: {part.broken}", "red"), (0, 0, 0, 4)))
    source = f" {part.source}." if part.source else ""
    origin = "" if _is_ours(part) or not part.origin else f" From {part.origin}."
    if part.summary:
        console.print(Padding(f"{part.summary}{source}{origin}", (0, 0, 0, 4), expand=False))
    table = Table.grid(padding=(0, 2, 0, 0))
    for option in part.options:
        row = (f"      {option.name}", option.type, option.default, option.help)
        table.add_row(*row)
    if part.options:
        console.print(table)


def _is_ours(part: "Part") -> bool:
    return part.origin.partition(".")[0] == "retake"
