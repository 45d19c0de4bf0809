"""Results go into the page by themselves, and nothing else of it changes."""

import json
import re
from pathlib import Path

import pytest

from benchmarks import report

_PAGE = "# Page\n\nBy hand.\n\n<!-- results: thing -->\nold\n<!-- end -->\n\nBelow.\n"


def _save(folder: Path) -> None:
    found = {
        "table": [["what", "s"], ["one", "1.5"]],
        "notes": ["A note.", "Another."],
        "machine": {"cpu": "EPYC", "cores": 2, "gpu": None},
        "command": "python -m benchmarks.thing",
        "date": "2026-01-01",
    }
    (folder / "thing.json").write_text(json.dumps(found))


def test_a_block_is_replaced_and_the_rest_stays(tmp_path: Path) -> None:
    _save(tmp_path)
    page = report.filled(_PAGE, tmp_path)
    assert page.startswith("# Page\n\nBy hand.\n\n<!-- results: thing -->\n")
    assert page.endswith("<!-- end -->\n\nBelow.\n")
    assert "old" not in page
    assert "| one | 1.5 |" in page
    assert "- A note.\n- Another." in page
    assert "2026-01-01 · EPYC · 2 cores" in page
    assert "`python -m benchmarks.thing`" in page


def test_filling_twice_changes_nothing(tmp_path: Path) -> None:
    _save(tmp_path)
    once = report.filled(_PAGE, tmp_path)
    assert report.filled(once, tmp_path) == once


def test_what_was_not_measured_says_so(tmp_path: Path) -> None:
    assert "Not measured yet: `python -m benchmarks.thing`" in report.filled(_PAGE, tmp_path)


@pytest.mark.parametrize(
    ("page", "shown"),
    [
        ("performance", {"flat_memory", "day", "end_to_end", "fifteen_questions", "watch_once"}),
        ("reproduce", {"reproduce_estimates", "reproduce_check"}),
        ("scenes", {"scenes_compressors", "scenes_selectors", "scenes_rules", "scenes_policies"}),
    ],
)
def test_pages_are_up_to_date_and_name_scripts_that_exist(
    root: Path, page: str, shown: set[str]
) -> None:
    """Nothing on a page is other than what was measured, and each script is there."""
    path = next(each for each in report.PAGES if each.stem == page)
    text = path.read_text()
    names = re.findall(r"<!-- results: (\w+) -->", text)
    assert shown <= set(names)
    scripts = {"scenes_results" if name.startswith("scenes_") else name for name in names}
    assert all((root / "benchmarks" / f"{name}.py").exists() for name in scripts)
    assert report.filled(text) == text
