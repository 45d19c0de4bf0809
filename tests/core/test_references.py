"""Parts written in one line."""

from typing import Any

import pytest

from retake import UsageError
from retake.core.references import parse_part


@pytest.mark.parametrize(
    ("line", "part"),
    [
        ("dpselect", {"name": "dpselect"}),
        ("a:x=1,y=true", {"name": "a", "options": {"x": 1, "y": True}}),
        ("./mine.py:Mine", {"name": "./mine.py:Mine"}),
        ("./mine.py:Mine:x=a,b,y=2", {"name": "./mine.py:Mine", "options": {"x": "a,b", "y": 2}}),
        ("outer(inner)", {"name": "outer", "of": {"name": "inner"}}),
        (
            "outer(middle(inner:x=1):y=2):z=(3)",
            {
                "name": "outer",
                "of": {
                    "name": "middle",
                    "of": {"name": "inner", "options": {"x": 1}},
                    "options": {"y": 2},
                },
                "options": {"z": "(3)"},
            },
        ),
        ("a:x=f(1)", {"name": "a", "options": {"x": "f(1)"}}),
        (
            "outer(./mine.py:Mine:x=1)",
            {"name": "outer", "of": {"name": "./mine.py:Mine", "options": {"x": 1}}},
        ),
    ],
)
def test_lines(line: str, part: dict[str, Any]) -> None:
    """Name, part inside, options."""
    assert parse_part(line) == part


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("outer(inner", "not closed"),
        ("outer()", "empty"),
        ("outer(inner)x", "not understood"),
        ("outer(inner):x", "not understood"),
    ],
)
def test_refusals(line: str, message: str) -> None:
    """Lines that mean nothing say why."""
    with pytest.raises(UsageError, match=message):
        parse_part(line)
