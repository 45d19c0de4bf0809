"""What all tests share: where the goldens are, and a summary of how many cases they checked."""

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

import retake
from retake.datasets.scenes import make_clip
from tests.tiny import qwen2_vl
from tests.tiny import saving as tiny_saving

_HERE = Path(__file__).parent

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def goldens() -> Path:
    """The folder of recorded numbers: the repository's own, or the one RETAKE_GOLDENS names."""
    return Path(os.environ.get("RETAKE_GOLDENS") or _HERE / "goldens")


@pytest.fixture(scope="session")
def save_tokenizer() -> Callable[..., None]:
    """Call it with a folder: saves a byte-level tokenizer with Qwen2-VL's special tokens."""
    return partial(tiny_saving.save_tokenizer, special=qwen2_vl.SPECIAL, template=qwen2_vl.TEMPLATE)


@pytest.fixture(scope="session")
def make_checkpoint() -> Callable[..., Path]:
    """Call it with a folder: saves a tiny random Qwen2-VL checkpoint in the real layout.

    Keywords change it: `seed`, `tokenizer=False`, `template`, `preprocessor` and `vision`
    (entries to override), and any entry of the text configuration.
    """
    return qwen2_vl.make


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random Qwen2-VL checkpoint; do not change its files."""
    return qwen2_vl.make(tmp_path_factory.mktemp("checkpoint") / "qwen2-vl-tiny")


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clip of 40 seconds: 80 frames at 2 fps, 40 steps."""
    path = tmp_path_factory.mktemp("clips") / "scenes.mp4"
    make_clip(path, seconds=40, seed=5, size=112)
    return path


@pytest.fixture(scope="session")
def load(checkpoint: Path) -> Any:
    """`retake.load` of the tiny checkpoint, with short answers."""

    def loaded(**given: Any) -> retake.VideoModel:
        return retake.load(checkpoint, **{"generate": {"max_new_tokens": 6}, **given})

    return loaded


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say how many recorded cases the parity tests compared."""
    lines = [
        value
        for reports in terminalreporter.stats.values()
        for report in reports
        if getattr(report, "when", "") == "call"
        for name, value in getattr(report, "user_properties", ())
        if name == "parity"
    ]
    if lines:
        terminalreporter.section("parity with the published code")
        for line in sorted(set(lines)):
            terminalreporter.write_line(line)
