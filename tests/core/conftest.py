"""A tiny model and a random video, for tests that run the engine."""

from functools import partial
from pathlib import Path

import pytest

from retake.core.adapter import LoadOptions
from retake.models.qwen2_vl import Qwen2VL
from tests.staging import MakeStage, Stage


@pytest.fixture(scope="session")
def adapter(checkpoint: Path) -> Qwen2VL:
    """The tiny checkpoint, loaded."""
    return Qwen2VL.load(checkpoint, LoadOptions())


@pytest.fixture(scope="session")
def make_stage(adapter: Qwen2VL) -> MakeStage:
    """Call it for a random video of so many steps, one token in four a pivot."""
    return partial(Stage.of, adapter, (2, 3))


@pytest.fixture
def stage(make_stage: MakeStage) -> Stage:
    """A video of eight steps."""
    return make_stage()
