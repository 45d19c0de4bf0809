"""Checks of the benchmark's lists of numbers, as attrs validators."""

from collections.abc import Callable
from typing import Any

from retake.core.errors import unknown_name

Check = Callable[[Any, Any, Any], None]


def numbers(least: float, most: float, *, whole: bool = False) -> Check:
    """One or more numbers in a range, none twice."""

    def check(_: Any, attribute: Any, values: Any) -> None:
        what = "whole numbers" if whole else "numbers"
        for value in values:
            is_number = type(value) is int or (not whole and isinstance(value, float))
            if not is_number or not least <= value <= most:
                raise ValueError(
                    f"{attribute.name} must be {what} from {_span(least, most)}, got {value!r}"
                )
        if not values or len(set(values)) < len(values):
            raise ValueError(f"{attribute.name} must be {what}, each once, got {list(values)}")

    return check


def bounds(least: float, most: float) -> Check:
    """Two numbers in ascending order and in range: the least and the most of something."""

    def check(_: Any, attribute: Any, values: Any) -> None:
        if len(values) != 2 or not least <= values[0] <= values[1] <= most:
            raise ValueError(
                f"{attribute.name} must be the least and the most, from {_span(least, most)}, "
                f"got {list(values)}"
            )

    return check


def names(what: str, allowed: Any) -> Check:
    """One or more of the names allowed, none twice.

    Raises:
        UsageError: from the check, where a name is not allowed.
    """

    def check(_: Any, attribute: Any, values: Any) -> None:
        for value in values:
            if value not in allowed:
                raise unknown_name(what, str(value), allowed)
        if not values or len(set(values)) < len(values):
            raise ValueError(f"{attribute.name} must be one or more, each once, got {list(values)}")

    return check


def name(what: str, allowed: Any) -> Check:
    """One of the names allowed."""
    check_all = names(what, allowed)

    def check(owner: Any, attribute: Any, value: Any) -> None:
        check_all(owner, attribute, (value,))

    return check


def _span(least: float, most: float) -> str:
    return f"{least:.15g} to {most:.15g}"
