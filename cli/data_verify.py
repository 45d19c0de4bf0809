"""`retake data verify`: whether a downloaded benchmark is there as a whole."""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.console import Console

    from retake.core.benchmark import Benchmark, Count
    from retake.evaluation.soundness import Checked
    from retake.evaluation.verifying import Verification

_SHOWN = 20  # files of each fault that are listed; --json has them all
_KINDS = ("annotations", "video", "subtitles", "archive")
_NAMES = {"video": "videos", "archive": "archives"}
_FAULTS = {
    "missing": "Missing",
    "corrupt": "Corrupt",
    "short": "Shorter than annotated",
    "long": "Longer than annotated",
}


@click.command("verify")
@click.argument("benchmark")
@click.option(
    "--root",
    type=click.Path(),
    callback=lambda *given: _root(given[-1]),
    metavar="DIR",
    help="The folder that it was downloaded to; the same as --benchmark-option root=DIR.",
)
@click.option(
    "--benchmark-option",
    metavar="KEY=VALUE",
    multiple=True,
    help="An option of the benchmark, such as its split; repeatable.",
)
@click.option(
    "--deep",
    is_flag=True,
    help="Decode every frame, and unpack every file that is in an archive. Takes hours.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON document, with every file.")
def command(
    benchmark: str, root: Path | None, benchmark_option: tuple[str, ...], deep: bool, as_json: bool
) -> None:
    """Look whether the files of BENCHMARK are there, whole and readable.

    Its annotations are read, each video is opened and its first and last frames are decoded. Of a
    zip or tar that was left as it is, the table of contents and the beginning of each file are
    read. The exit code is 0 only where nothing that a run needs is missing or corrupt. How many
    questions and videos there are is told beside how many were published.
    """
    from retake.evaluation.verifying import verify

    from .console import print_json, progress, stdout

    name, made = _benchmark(benchmark, root, benchmark_option)
    with progress() as told:
        found = verify(made, deep=deep, progress=lambda done, total: told("verify", done, total))
    if as_json:
        print_json(document(name, found))
    else:
        _show(name, found, stdout())
    if not found.is_complete:
        raise click.exceptions.Exit(1)


def _root(given: str | None) -> Path | None:
    """The folder; an empty text, such as a variable that is not set, is none, and not this one."""
    if given is not None and not given.strip():
        raise click.BadParameter("it is empty; give the folder of the download.")
    return None if given is None else Path(given)


def _benchmark(reference: str, root: Path | None, pairs: Sequence[str]) -> "tuple[str, Benchmark]":
    """Its name, and it with its options; a root that is a flag of its own is never read as YAML."""
    from retake.core.config import PartOptions
    from retake.core.references import key_value, parse_part
    from retake.datasets import datasets
    from retake.loading import make_part

    part = parse_part(reference)
    given = dict(key_value(pair, "--benchmark-option") for pair in pairs)
    flags = {} if root is None else {"root": str(root)}
    options = {**part.get("options", {}), **given, **flags}
    made, _ = make_part(datasets, PartOptions(part["name"], options))
    return part["name"], made


def document(name: str, found: "Verification") -> dict[str, Any]:
    """What was found, as plain data."""
    return {
        "benchmark": name,
        "root": None if found.root is None else str(found.root),
        "deep": found.deep,
        "complete": found.is_complete,
        "contents": {
            what: {"found": count.found, "published": count.published}
            for what, count in found.counts.items()
        },
        "counts": {
            _NAMES.get(what, what): _counts(some) for what in _KINDS if (some := found.of(what))
        },
        "files": [
            {
                "name": one.holding.name,
                "path": str(one.holding.path),
                "what": one.holding.what,
                "needed": one.holding.needed,
                "state": one.state,
                "reason": one.reason,
                "opened": one.opened,
                "bytes": one.bytes,
                "seconds": one.seconds,
                "seconds_annotated": one.holding.seconds,
            }
            for one in found.checked
        ],
        "surplus": [{"path": str(one.path), "bytes": one.bytes} for one in found.surplus],
        "unreadable": [{"path": str(path), "reason": why} for path, why in found.unreadable],
    }


def _counts(some: "Sequence[Checked]") -> dict[str, int]:
    states: Counter[str] = Counter(one.state for one in some)
    return {
        "files": len(some),
        "needed": sum(one.holding.needed for one in some),
        "usable": sum(one.is_usable for one in some),
        **{state: states[state] for state in _FAULTS},
        "bytes": sum(one.bytes or 0 for one in some),
    }


def _show(name: str, found: "Verification", console: "Console") -> None:
    from . import units

    where = "" if found.root is None else f" · {found.root}"
    console.print(f"{name}{where}", style="bold", soft_wrap=True)
    console.print(_table(found))
    _tell(console, found)
    for state, title in _FAULTS.items():
        some = [one for one in found.checked if one.state == state]
        needed = [one for one in some if one.holding.needed]
        rest = [one for one in some if not one.holding.needed]
        _list(console, title, [_line(one) for one in needed])
        if rest:
            _list(console, f"{title}, but not needed", [_line(one) for one in rest], most=3)
    _list(console, "Cannot be read", [" ".join(why.split()) for _, why in found.unreadable])
    extra = [f"{one.path}  {units.memory(one.bytes)}" for one in found.surplus]
    _list(console, "Surplus: not of this benchmark", extra, most=5)
    console.print()
    console.print(
        _verdict(found), style="bold green" if found.is_complete else "bold red", soft_wrap=True
    )
    if found.not_as_published:
        console.print(_warning(found), style="bold yellow", soft_wrap=True)


def _tell(console: "Console", found: "Verification") -> None:
    """How many questions there are, and what else is counted."""
    if not found.counts:
        return
    console.print()
    for what, count in found.counts.items():
        console.print(f"{what.capitalize()}: {_told(count)}", soft_wrap=True)


def _told(count: "Count") -> str:
    published = "" if count.published is None else f" of {count.published:,} published"
    return f"{count.found:,}{published}"


def _warning(found: "Verification") -> str:
    several = found.not_as_published.items()
    apart = ", ".join(f"{one.found:,} of {one.published:,} {what}" for what, one in several)
    return f"But not what was published: {apart}. A run's figures are those of what there is."


def _table(found: "Verification") -> Any:
    from rich.table import Table

    from . import units

    table = Table(box=None, padding=(0, 3, 0, 0), header_style="dim", pad_edge=False)
    table.add_column("")
    for title in ("files", "needed", "there", "missing", "corrupt", "short/long", "size"):
        table.add_column(title, justify="right")
    for what in _KINDS:
        if some := found.of(what):
            counts = _counts(some)
            apart = counts["short"] + counts["long"]
            numbers = [counts[key] for key in ("files", "needed", "usable", "missing", "corrupt")]
            table.add_row(
                _NAMES.get(what, what).capitalize(),
                *(f"{number:,}" for number in (*numbers, apart)),
                units.memory(counts["bytes"]),
            )
    if found.surplus:
        size = sum(one.bytes or 0 for one in found.surplus)
        table.add_row("Surplus", f"{len(found.surplus):,}", *[""] * 5, units.memory(size))
    return table


def _line(one: "Checked") -> str:
    """A file's name and what is wrong with it, which names the path."""
    return f"{one.holding.name}  {' '.join(one.reason.split())}"


def _list(console: "Console", title: str, lines: Iterable[str], most: int = _SHOWN) -> None:
    listed = list(lines)
    if not listed:
        return
    console.print()
    console.print(f"{title}: {len(listed):,}", style="bold")
    for line in listed[:most]:
        console.print(f"  {line}", soft_wrap=True)
    if len(listed) > most:
        console.print(f"  … and {len(listed) - most:,} more; --json lists all.", style="dim")


def _verdict(found: "Verification") -> str:
    needed = [one for one in found.checked if one.holding.needed]
    if found.is_complete:
        unopened = sum(not one.opened for one in found.checked)
        left = (
            f" {unopened:,} files in archives were seen there and not opened: --deep does."
            if unopened
            else ""
        )
        return f"Complete: everything that a run needs is there.{left}"
    states = Counter(one.state for one in needed if not one.is_usable)
    words = [f"{count:,} {state}" for state, count in states.items()]
    return f"Not complete: of {len(needed):,} files that a run needs {' and '.join(words)}."
