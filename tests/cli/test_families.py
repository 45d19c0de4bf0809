"""Every family with every selector and compressor, through the command line."""

from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.cli.families import CELLS, KEEP_RATIO, words
from tests.tiny import MAKERS


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A tiny checkpoint of each family."""
    root = tmp_path_factory.mktemp("families")
    return {family: make(root / family) for family, make in MAKERS.items()}


@pytest.mark.parametrize(("family", "selector", "compressor"), CELLS)
def test_every_cell_runs(
    family: str,
    selector: str,
    compressor: str,
    folders: dict[str, Path],
    clip: Path,
    retake: Run,
) -> None:
    """It exits with 0, answers, and keeps what was asked of what was selected."""
    result = retake(*words(clip, folders[family], selector, compressor))
    assert result.code == 0, result.err
    assert result.data["config"]["model"]["adapter"] == family
    assert len(result.data["answers"]) == 1
    held = result.data["compression"]
    assert 0 < held["tokens_selected"] <= held["tokens_seen"]
    share = 1 if compressor == "none" else KEEP_RATIO
    kept = held["tokens_kept"]
    assert sum(kept) == int(share * held["tokens_selected"]) * len(kept)
