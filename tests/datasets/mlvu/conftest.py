"""Miniatures of MLVU, each layout made once."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.miniatures import mlvu as miniature


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """A miniature by its options, made once; do not change it."""
    folders: dict[tuple[tuple[str, str], ...], Path] = {}

    def make(**options: str) -> Path:
        key = tuple(sorted(options.items()))
        if key not in folders:
            folders[key] = tmp_path_factory.mktemp("mlvu")
            miniature.make(folders[key], **options)
        return folders[key]

    return make


@pytest.fixture
def copy(made: Callable[..., Path], tmp_path: Path) -> Callable[..., Path]:
    """One to be damaged."""
    return lambda **options: shutil.copytree(
        made(**options), tmp_path / f"copy{len(list(tmp_path.iterdir()))}"
    )
