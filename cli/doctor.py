"""`retake doctor`: what works on this machine, and what to do about what does not."""

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from .checks import Check

_SIGNS = {"ok": ("✓", "green"), "note": ("–", "yellow"), "fail": ("✗", "red")}


@click.command("doctor")
@click.option("--hub", is_flag=True, help="Also try to reach the model hub (5 s at most).")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
def command(hub: bool, as_json: bool) -> None:
    """Check what works on this machine; the exit code is 0 if `retake run` can."""
    import attrs

    from .checks import examine, healthy
    from .console import print_json, progress, quiet_models

    quiet_models()
    found = []
    with progress() as told:
        told("doctor", 0, 0)
        for check in examine(hub=hub):
            found.append(check)
            told(check.name, 1, 1)
    well = healthy(found)
    if as_json:
        data = {"healthy": well, "checks": [attrs.asdict(check) for check in found]}
        print_json(data)
    else:
        _show(found, well)
    if not well:
        raise click.exceptions.Exit(1)


def _show(checks: "list[Check]", well: bool) -> None:
    from rich.table import Table
    from rich.text import Text

    from .console import stdout

    console = stdout()
    topics = list(dict.fromkeys(check.topic for check in checks))
    width = max(len(check.name) for check in checks)
    for topic in topics:
        console.print(topic, style="bold")
        table = Table.grid(padding=(0, 2, 0, 0))
        for check in (each for each in checks if each.topic == topic):
            sign = Text(*_SIGNS[check.status])
            detail = Text(check.detail)
            if check.advice:
                detail.append(f"\n{check.advice}", "dim")
            table.add_row(sign, Text(check.name.ljust(width), "cyan"), detail)
        console.print(table)
    console.print()
    if well:
        console.print(Text("retake run works here.", "green"))
    else:
        console.print(Text("retake run does not work here; see ✗ above.", "red"))
