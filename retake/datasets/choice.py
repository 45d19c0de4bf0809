"""Whether an answer names the option that is true, in words or by its letter."""

import re

_LETTER = re.compile(r"\(?([a-z])(?:[).:,]|$)")


def is_right(answer: str, expected: str, letter: str | None = None) -> bool:
    """Whether an answer is the true option and nothing else, or starts with its letter.

    Case, surrounding space and a full stop at the end do not matter. "B", "b.", "(B) red" and
    "B: red" all name the letter B.

    Args:
        answer: what the model said.
        expected: the true option.
        letter: its letter; None where no letters were shown, and none count.
    """
    given = answer.strip().casefold().rstrip(".")
    named = _LETTER.match(given) if letter is not None else None
    return given == expected.casefold() or (
        named is not None and letter is not None and named[1] == letter.casefold()
    )
