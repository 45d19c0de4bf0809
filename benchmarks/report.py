"""Writes measured results into `docs/performance.md`.

`python -m benchmarks.report` replaces what stands between `<!-- results: NAME -->` and
`<!-- end -->` by `benchmarks/results/NAME.json`; `--check` only says whether that would change
anything. The rest of the page is written by hand.
"""

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Any

from benchmarks.harness import RESULTS, markdown

PAGE = Path(__file__).parent.parent / "docs" / "performance.md"
_BLOCK = re.compile(r"<!-- results: (\w+) -->\n.*?<!-- end -->", re.DOTALL)


def block(name: str, results: Path = RESULTS) -> str:
    """What the page says of one benchmark."""
    path = results / f"{name}.json"
    if not path.exists():
        return f"*Not measured yet: `python -m benchmarks.{name}`.*"
    found = json.loads(path.read_text())
    parts = [markdown(found["table"])]
    if found.get("chart"):
        parts.append(f"```text\n{found['chart']}\n```")
    if found.get("notes"):
        parts.append("\n".join(f"- {note}" for note in found["notes"]))
    where = " · ".join((found.get("date", "undated"), *_machine(found.get("machine", {}))))
    return "\n\n".join((*parts, f"{where}\\\n`{found['command']}`"))


def _machine(on: dict[str, Any]) -> list[str]:
    """Processor, cores, memory, versions, and how busy the machine was."""
    parts = {
        "gpu": "{}",
        "cpu": "{}",
        "cores": "{} cores",
        "threads": "{} threads",
        "memory_gib": "{} GiB",
        "python": "python {}",
        "torch": "torch {}",
        "transformers": "transformers {}",
        "commit": "retake at {}",
        "load_at_start": "load {} before",
    }
    return [text.format(on[name]) for name, text in parts.items() if on.get(name) is not None]


def filled(page: str, results: Path = RESULTS) -> str:
    """The page with every block renewed."""
    return _BLOCK.sub(
        lambda found: f"<!-- results: {found[1]} -->\n{block(found[1], results)}\n<!-- end -->",
        page,
    )


def main() -> None:
    """Rewrite the page, or check it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="fail if the page is out of date")
    given = parser.parse_args()
    page = PAGE.read_text()
    new = filled(page)
    if given.check and new != page:
        sys.exit("docs/performance.md is out of date: run python -m benchmarks.report")
    if not given.check:
        PAGE.write_text(new)


if __name__ == "__main__":
    main()
