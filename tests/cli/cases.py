"""A bad input, and what must be said then."""

import attrs


@attrs.frozen
class Case:
    """One bad input.

    Attributes:
        what: in words.
        line: the command, as typed in a folder that `prepare` filled.
        code: the exit code.
        says: what the message must contain.
    """

    what: str
    line: tuple[str, ...]
    code: int
    says: tuple[str, ...]


def typed(what: str, line: str, code: int, *says: str) -> Case:
    """A case from the command as it is typed after `retake`."""
    return Case(what, tuple(line.split()), code, says)
