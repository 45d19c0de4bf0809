"""`retake report`: where pages go, what is printed, and what is refused."""

from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.evaluation.pretend import Method, write_run
from tests.evaluation.reading import read


@pytest.fixture
def ran(tmp_path: Path) -> Path:
    """A run's folder."""
    return write_run(tmp_path / "ran", Method("dpselect", "pivotkv", 0.2), 0.25)


def test_page_goes_into_the_run(retake: Run, ran: Path) -> None:
    """Without -o; the path is printed, and an older page is replaced."""
    for _ in range(2):
        result = retake("report", ran)
        assert (result.code, result.out, result.err) == (0, f"{ran / 'report.html'}\n", "")
    assert read((ran / "report.html").read_text()).data["kind"] == "run"
    assert not [path for path in ran.iterdir() if path.name.startswith(".report")]


def test_page_and_markdown_go_where_they_are_told(retake: Run, ran: Path, tmp_path: Path) -> None:
    """-o and --markdown, of several runs."""
    other = write_run(tmp_path / "other", Method("dpselect", "random", 0.9), 0.25)
    page, text = tmp_path / "page.html", tmp_path / "results.md"
    result = retake("report", ran, other, "-o", page, "--markdown", text)
    assert (result.code, result.out) == (0, f"{page}\n{text}\n")
    assert read(page.read_text()).data["kind"] == "comparison"
    assert text.read_text().startswith("# Comparison ran vs. other\n")
    assert "| --: |" in text.read_text()


def test_what_cannot_be_shown_is_refused(retake: Run, tmp_path: Path) -> None:
    """No run, nothing there: exit 1, as for a video that is not there; nothing named: exit 2."""
    for given in (tmp_path, tmp_path / "nowhere"):
        result = retake("report", given)
        assert (result.code, result.out) == (1, "")
        assert str(given) in result.err
    assert retake("report").code == 2


def test_where_nothing_can_be_written(retake: Run, ran: Path, tmp_path: Path) -> None:
    """A folder in place of a file, no such folder, a folder that the system keeps shut."""
    for place in (tmp_path, tmp_path / "no" / "page.html", Path("/proc/page.html")):
        result = retake("report", ran, "-o", place)
        assert (result.code, result.out) == (2, "")
        assert str(place) in result.err
        assert "Traceback" not in result.err


def test_a_damaged_run_is_named(retake: Run, ran: Path) -> None:
    """What is wrong, and where; exit 1, and no page."""
    (ran / "run.json").write_text("{")
    result = retake("report", ran)
    assert (result.code, result.out) == (1, "")
    assert "run.json" in result.err
    assert not (ran / "report.html").exists()
