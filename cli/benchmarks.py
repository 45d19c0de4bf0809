"""The benchmark that a command is about, and the folder where its outcome is kept."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from retake.core.benchmark import Benchmark


def named_benchmark(reference: str | None, pairs: Sequence[str]) -> "tuple[str, Benchmark] | None":
    """The benchmark that is meant, as `find_benchmark` has it; None where none is named."""
    return find_benchmark(reference, pairs) if reference else None


def find_benchmark(reference: str, pairs: Sequence[str]) -> "tuple[str, Benchmark]":
    """The benchmark that is meant, with its options, and its name.

    Raises:
        UsageError: there is none of that name, or an option is wrong.
    """
    from retake.core.config import PartOptions
    from retake.core.references import key_value, parse_part
    from retake.datasets import datasets
    from retake.loading import make_part

    part = parse_part(reference)
    given = dict(key_value(pair, "--benchmark-option") for pair in pairs)
    options = {**part.get("options", {}), **given}
    made, _ = make_part(datasets, PartOptions(part["name"], options))
    return part["name"], made


def defaults(named: "tuple[str, Benchmark] | None") -> dict[str, Any]:
    """What stands below presets, files and flags: how long a benchmark's answers may be."""
    from retake.core.benchmark import ANSWER_TOKENS

    tokens = named[1].answer_tokens if named else ANSWER_TOKENS
    return {"generate": {"max_new_tokens": tokens}}


def benchmark_and_folder(
    named: "tuple[str, Benchmark] | None", output: Path | None, kept: str
) -> "tuple[tuple[str, Benchmark], Path]":
    """Both, where a command cannot do without.

    Args:
        named: a benchmark and its name.
        output: the folder, as it was typed.
        kept: what is kept there.

    Raises:
        click.UsageError: one of them is not given.
    """
    if named is None:
        raise _no_benchmark()
    if output is None:
        raise click.UsageError(f"Missing option '-o FOLDER': where the {kept} is kept.")
    return named, output.expanduser()


def _no_benchmark() -> click.UsageError:
    """The error where none is named."""
    from retake.datasets import datasets

    return click.UsageError(f"Missing argument 'BENCHMARK': {', '.join(datasets.names())}.")
