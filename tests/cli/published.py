"""Published benchmarks in miniature, as a user runs them: the command, and what it left."""

import json
import re
from pathlib import Path

import pandas as pd

from tests.cli.conftest import Result, Run
from tests.cli.evaluations import lines

_LETTER = re.compile("[A-E]")


def evaluated(run: Run, name: str, root: Path, folder: Path, *more: str) -> Result:
    """`retake eval NAME` into a folder; what has a "=" in it is the benchmark's option."""
    options = (f"root={root}", *(word for word in more if not word.startswith("-")))
    given = [word for option in options for word in ("--benchmark-option", option)]
    flags = [word for word in more if word.startswith("-")]
    return run("eval", name, *given, "-o", folder, *flags)


def answers_of(folder: Path) -> pd.DataFrame:
    """What was answered, by id."""
    return pd.DataFrame(lines(folder / "samples.jsonl")).set_index("id")


def with_letters(rows: pd.DataFrame) -> pd.DataFrame:
    """With the first capital from A to E as the letter, read here."""
    found = [_LETTER.search(answer) for answer in rows.answer]
    return rows.assign(letter=[one[0] if one else None for one in found])


def figures_of(folder: Path) -> dict[str, float]:
    """The benchmark's own figures in results.json."""
    results = json.loads((folder / "results.json").read_text())
    assert results["complete"]
    return {each["name"]: each["value"] for each in results["metrics"]}


def accuracies(rows: pd.DataFrame, by: str) -> dict[str, float]:
    """By pandas, from what is right in the table and what was said."""
    rows = rows.assign(right=(rows.letter == rows.truth).astype(float))
    return {"Overall": rows.right.mean(), **rows.groupby(by).right.mean()}
