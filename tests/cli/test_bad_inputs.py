"""Every bad input of the table ends with a message that names it, and never with a traceback."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.bad_inputs import CASES, Case, outcome, prepare
from tests.cli.conftest import Run


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory, make_checkpoint: Callable[..., Path]) -> Path:
    """A folder with everything that the table names."""
    path = tmp_path_factory.mktemp("bad")
    prepare(path, make_checkpoint)
    return path


@pytest.mark.timeout(60)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.what)
def test_bad_input(case: Case, folder: Path) -> None:
    """The exit code, the message, nothing on stdout, no traceback."""
    code, out, err = outcome(case, folder)
    assert code == case.code, err
    assert out == ""
    assert err.startswith("Error: ")
    assert "Traceback" not in err
    assert "Internal error" not in err
    for words in case.says:
        assert words in err
    assert len(err.splitlines()) <= 4


def test_as_a_process(process: Run, folder: Path) -> None:
    """The same from outside."""
    result = process("run", folder / "text.mp4", "Which?", "--model", folder / "tiny")
    assert (result.code, result.out) == (1, "")
    assert "text.mp4" in result.err
    assert "Traceback" not in result.err
