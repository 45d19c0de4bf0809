"""Marking: the true option in words or by its letter, and nothing else."""

import pytest

from retake.datasets.choice import is_right


@pytest.mark.parametrize(
    ("answer", "right"),
    [
        ("red", True),
        (" Red.\n", True),
        ("RED", True),
        ("B", True),
        ("b.", True),
        ("(B)", True),
        ("(B) red", True),
        ("B: red", True),
        ("B, red", True),
        ("blue", False),
        ("A", False),
        ("(A) red", False),
        ("reddish", False),
        ("red or blue", False),
        ("The star is red.", False),
        ("Blue", False),
        ("", False),
        (".", False),
    ],
)
def test_by_word_or_letter(answer: str, right: bool) -> None:
    """Red is option B."""
    assert is_right(answer, "red", "B") is right


@pytest.mark.parametrize(
    ("answer", "right"), [("red", True), ("Red.", True), ("B", False), ("(B) red", False)]
)
def test_letters_that_were_not_shown(answer: str, right: bool) -> None:
    """Where no letters were shown, none is an answer."""
    assert is_right(answer, "red") is right
