"""Every benchmark runs with `--quick` and prints its table."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

# What a script's table must mention.
SCRIPTS = {
    "flat_memory": ("retake MiB", "stock MiB"),
    "day": ("colour", "shape", "all"),
    "day_limits": ("budget 256", "4 min"),
    "end_to_end": ("stock transformers", "naive chunked engine", "retake, nothing evicted"),
    "needle_survival": ("attention mass", "in some layer", "layer 5"),
    "fifteen_questions": ("retake run", "retake watch", "retake ask"),
    "watch_once": ("watched once", "watched for each question"),
    "reproduce_estimates": ("qwen2-vl/videomme-baseline", "llava-video/lvbench", "GiB on the card"),
    "reproduce_check": ("Qwen2-VL, tiny, pivotkv", "LLaVA-OneVision, tiny, none"),
}


# Seconds each on a quiet machine, minutes on a crowded one.
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", SCRIPTS)
def test_quick(name: str, root: Path, tmp_path: Path) -> None:
    """In a fresh cache folder, so that making videos and checkpoints is tried too."""
    done = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{name}", "--quick"],
        cwd=root,
        env={
            **os.environ,
            "RETAKE_BENCH_CACHE": str(tmp_path),
            "XDG_CACHE_HOME": str(tmp_path),
            "OMP_NUM_THREADS": "1",
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=880,
    )
    assert done.returncode == 0, done.stderr
    table = [line for line in done.stdout.splitlines() if line.startswith("|")]
    assert len(table) >= 3
    assert all(words in "\n".join(table) for words in SCRIPTS[name])
    # A quick look is no result.
    assert "written:" not in done.stdout
