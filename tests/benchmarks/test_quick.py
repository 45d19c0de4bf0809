"""Every benchmark runs with `--quick` and prints its table."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.forking import Started

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


# One script starts as it does for a user; the others, in what has imported torch already.
WHOLE = "reproduce_estimates"
_AS_MAIN = """
import runpy, sys
sys.argv = ["benchmark", "--quick"]
runpy.run_module("benchmarks.{name}", run_name="__main__", alter_sys=True)
sys.exit()
"""


def _quick(name: str, root: Path, environment: dict[str, str]) -> tuple[int, str, str]:
    """`python -m benchmarks.NAME --quick`: its exit code, and what it printed."""
    if name == WHOLE:
        done = subprocess.run(
            [sys.executable, "-m", f"benchmarks.{name}", "--quick"],
            cwd=root,
            env={**os.environ, **environment, "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            check=False,
            timeout=880,
        )
        return done.returncode, done.stdout, done.stderr
    with Started([], before=_AS_MAIN.format(name=name), **environment) as script:
        printed, errors = script.communicate(timeout=880)
        return script.wait(), printed, errors


# Seconds each on a quiet machine, minutes on a crowded one.
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", SCRIPTS)
def test_quick(name: str, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a fresh cache folder, so that making videos and checkpoints is tried too."""
    monkeypatch.chdir(root)
    places = {"RETAKE_BENCH_CACHE": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path)}
    code, printed, errors = _quick(name, root, places)
    assert code == 0, errors
    table = [line for line in printed.splitlines() if line.startswith("|")]
    assert len(table) >= 3
    assert all(words in "\n".join(table) for words in SCRIPTS[name])
    # A quick look is no result.
    assert "written:" not in printed
