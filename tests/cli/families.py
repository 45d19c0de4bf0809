"""`retake run` with every family's tiny checkpoint, every selector and every compressor.

`python -m tests.cli.families` runs each as a process of its own and prints the table.
"""

import json
import subprocess
import sys
import tempfile
from itertools import product
from pathlib import Path
from typing import Any

from retake.compressors import compressors
from retake.datasets.scenes import make_clip
from retake.models import models
from retake.selectors import selectors
from tests.tiny import MAKERS

#: A family, a selector and a compressor: all there are.
CELLS = list(product(models.names(), selectors.names(), compressors.names()))
KEEP_RATIO = 0.25


def words(clip: Path, folder: Path, selector: str, compressor: str) -> list[str]:
    """The command of one cell."""
    keep = [] if compressor == "none" else ["--keep-ratio", str(KEEP_RATIO)]
    return [
        *("run", str(clip), "What happens?", "--model", str(folder), "--json"),
        *("--selector", selector, "--compressor", compressor, *keep),
        *("--long-side", "112", "--max-new-tokens", "4"),
    ]


def cell(data: dict[str, Any]) -> str:
    """What a run's document says of its tokens: seen → selected → kept in each layer."""
    held = data["compression"]
    kept = sorted(set(held["tokens_kept"]))
    return f"{held['tokens_seen']} → {held['tokens_selected']} → {'/'.join(map(str, kept))}"


def main() -> None:
    """Run every cell and print a table a family."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        clip = root / "clip.mp4"
        make_clip(clip, seconds=40, seed=5, size=112)
        for family in models.names():
            folder = MAKERS[family](root / family)
            print(f"\n| {family} | {' | '.join(compressors.names())} |")
            print("|---" * (1 + len(compressors.names())) + "|")
            for selector in selectors.names():
                row = [
                    _run(words(clip, folder, selector, compressor))
                    for compressor in compressors.names()
                ]
                print(f"| {selector} | {' | '.join(row)} |", flush=True)


def _run(command: list[str]) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "retake_cli", *command], capture_output=True, text=True, check=False
    )
    return cell(json.loads(done.stdout)) if done.returncode == 0 else f"**exit {done.returncode}**"


if __name__ == "__main__":
    main()
