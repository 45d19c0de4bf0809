"""Writes measured results into the pages of `docs/` that show them.

`python -m benchmarks.report` replaces what stands between `<!-- results: NAME -->` and
`<!-- end -->` by `benchmarks/results/NAME.json`; `--check` only says whether that would change
anything. The rest of a page is written by hand.
"""

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Any

from benchmarks.harness import RESULTS, markdown

_DOCS = Path(__file__).parent.parent / "docs"
PAGES = tuple(
    _DOCS / page for page in ("performance.md", "results/scenes.md", "reproduce.md", "scale.md")
)
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


def renew() -> None:
    """Rewrite every page's results."""
    for page in PAGES:
        page.write_text(filled(page.read_text()))


def main() -> None:
    """Rewrite the pages, or check them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="fail if the page is out of date")
    given = parser.parse_args()
    if not given.check:
        renew()
        return
    for page in PAGES:
        text = page.read_text()
        if filled(text) != text:
            sys.exit(f"{page} is out of date: run python -m benchmarks.report")


if __name__ == "__main__":
    main()
