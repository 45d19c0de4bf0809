"""The Triton kernels: through Triton's interpreter on the CPU, and on a GPU where there is one.

Triton comes with torch's CUDA builds. `RETAKE_REQUIRE_TRITON=1` makes its absence a failure.
"""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

_CASES = Path(__file__).with_name("mass_cases.py")


@pytest.fixture(autouse=True)
def _triton() -> None:
    if find_spec("triton") is None:
        reason = (
            "triton is not installed; it comes with torch's CUDA builds, or: pip install triton"
        )
        if os.environ.get("RETAKE_REQUIRE_TRITON") == "1":
            pytest.fail(reason)
        pytest.skip(reason)


def _run(device: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, str(_CASES), device],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def test_interpreted() -> None:
    """What the kernels compute is right, whatever a compiler makes of them."""
    assert "12 cases agree" in _run("cpu", TRITON_INTERPRET="1")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_compiled() -> None:
    """The same on the GPU."""
    assert "18 cases agree" in _run("cuda")
