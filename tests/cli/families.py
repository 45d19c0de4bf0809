"""`retake run` with every family's tiny checkpoint, and every selector and compressor.

`python -m tests.cli.families` runs each as a process of its own and prints the table.
"""

import json
import subprocess
import sys
import tempfile
from itertools import product
from pathlib import Path
from typing import Any

from retake.datasets.scenes import make_clip
from retake.models import models
from tests.parts import COMPRESSORS, SELECTORS
from tests.tiny import MAKERS

#: Every selector with the published compressor, and every compressor behind a plain selector.
PAIRS = [
    *((selector, "pivotkv") for selector in SELECTORS),
    *(("none", compressor) for compressor in COMPRESSORS if compressor != "pivotkv"),
]
#: A family, a selector and a compressor.
CELLS = [(family, *pair) for family, pair in product(models.names(), PAIRS)]
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
    """Run every cell and print a table: parts down, families across."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        clip = root / "clip.mp4"
        make_clip(clip, seconds=40, seed=5, size=112)
        folders = {family: MAKERS[family](root / family) for family in models.names()}
        print(f"| selector | compressor | {' | '.join(folders)} |")
        print("|---" * (2 + len(folders)) + "|")
        for selector, compressor in PAIRS:
            row = [_run(words(clip, folder, selector, compressor)) for folder in folders.values()]
            print(f"| {selector} | {compressor} | {' | '.join(row)} |", flush=True)


def _run(command: list[str]) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "retake_cli", *command], capture_output=True, text=True, check=False
    )
    return cell(json.loads(done.stdout)) if done.returncode == 0 else f"**exit {done.returncode}**"


if __name__ == "__main__":
    main()
