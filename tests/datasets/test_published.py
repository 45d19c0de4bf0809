"""What published benchmarks share: options in whatever form, ids, questions side by side."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from retake.core.errors import UsageError
from retake.datasets.published import (
    check_answered,
    check_unique,
    options_of,
    plain_name,
    positive,
    side_by_side,
)


@pytest.mark.parametrize(
    "value",
    [
        ["A. red", "B. blue"],
        ("(A) red", "(B) blue"),
        ["A) red", "B) blue"],
        "['A. red', 'B. blue']",
        '["A. red", "B. blue"]',
        np.array(["A: red", "B: blue"], dtype=object),
        ["A . red", "B . blue"],
        ["a. red", "b. blue"],
        ["red", "blue"],
    ],
)
def test_options_in_odd_forms(value: Any) -> None:
    """Lists, arrays and lists as text; with letters or without."""
    assert options_of(value, "row 1") == ("red", "blue")


@pytest.mark.parametrize(
    ("value", "options"),
    [
        (["A. Lincoln", "G. Washington"], ("A. Lincoln", "G. Washington")),
        (["A.  wide", "B.narrow"], (" wide", "narrow")),
        (["A. a\nb", "B. (A) c"], ("a\nb", "(A) c")),
    ],
)
def test_letters_of_options_and_nothing_else(value: Any, options: tuple[str, ...]) -> None:
    """They are taken off where each option has its own, once."""
    assert options_of(value, "row 1") == options


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "must be a list of texts, and are None"),
        ("A. red B. blue", "must be a list of texts"),
        ("['A. red'", "must be a list of texts"),
        (["A. red", 3], "must be a list of texts"),
        (["A. red"], "2 to 6 options in row 1"),
        ("['A. red' 'B. blue']", "2 to 6 options in row 1"),  # as numpy writes an array
        (list("abcdefg"), "2 to 6 options"),
        (["A. x", "B. y", "C x", "D. z"], "row 1 begin with their letters, and 'C x' does not"),
        (["A. x", "B. y", "B. y", "D. z"], "'B. y' does not"),
        ("[" * 100_000, "must be a list of texts"),
    ],
)
def test_options_that_are_none(value: Any, words: str) -> None:
    """Refused with what is there, not read by halves."""
    with pytest.raises(UsageError, match=words):
        options_of(value, "row 1")


def test_ids_are_there_once() -> None:
    """The first that occurs twice is named, with the table."""
    check_unique(["a", "b"], Path("t.json"))
    with pytest.raises(UsageError, match=r"'t\.json' have the id 'b'"):
        check_unique(["a", "b", "b", "a"], Path("t.json"))


def test_side_by_side() -> None:
    """Keys in the order in which they first occur, what they hold in its own."""
    assert side_by_side([("v", 1), ("w", 2), ("v", 0)]) == [1, 0, 2]
    assert side_by_side([]) == []


@pytest.mark.parametrize("name", ["a.mp4", "1_plotQA/a.mp4", "./a.mp4", "a..b.mp4", "-x", "1:2"])
def test_names_of_files(name: str) -> None:
    assert plain_name(name, "video", "row 1") == name


@pytest.mark.parametrize(
    "name",
    ["", ".", "/", "/etc/a.mp4", "../a.mp4", "a/../../b", "a\\..\\b", "C:\\a", "C:/a", "a\0b"],
)
def test_names_that_lead_elsewhere(name: str) -> None:
    """Out of the folder, or to no file at all."""
    with pytest.raises(UsageError, match="'video' in row 1 must name a file below"):
        plain_name(name, "video", "row 1")


@pytest.mark.parametrize(("value", "number"), [(3, 3.0), ("12.5", 12.5), (0.5, 0.5), (" 7 ", 7.0)])
def test_numbers(value: Any, number: float) -> None:
    assert positive(value) == number


@pytest.mark.parametrize(
    "value",
    [None, True, 0, -1, "0", "long", "", [1], {}, "nan", "inf", 10**400, math.nan, math.inf],
)
def test_numbers_that_are_none(value: Any) -> None:
    assert positive(value) is None


def test_answers_to_questions_of_the_table() -> None:
    check_answered(["a"], {"a", "b"}, Path("t.json"))
    with pytest.raises(UsageError, match=r"2 of .* not in 't\.json', such as 'x': the table has"):
        check_answered(["x", "a", "y"], {"a", "b"}, Path("t.json"))
