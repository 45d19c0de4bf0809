"""Every registered family, and a tiny checkpoint of it."""

from pathlib import Path

import pytest

from retake.models import models
from tests.tiny import MAKERS


@pytest.fixture(scope="module", params=models.names())
def family(request: pytest.FixtureRequest) -> str:
    """Each registered family's name."""
    return str(request.param)


@pytest.fixture(scope="module")
def folder(family: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random checkpoint of the family; do not change its files."""
    return MAKERS[family](tmp_path_factory.mktemp("families") / family)
