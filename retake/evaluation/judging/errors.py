"""What goes wrong with a judge: for all answers, for one answer, or for now."""

from typing import ClassVar

from retake.core.errors import RetakeError


class JudgeError(RetakeError):
    """Nobody can be asked: a wrong key or model, no credit, no endpoint there."""

    exit_code: ClassVar[int] = 1


class NotNow(Exception):  # noqa: N818 - what to do about it is its name
    """A request failed in a way that may not last; to be sent again.

    Attributes:
        reason: why.
        after: seconds that the endpoint asked to wait at least; None: it named none.
    """

    def __init__(self, reason: str, after: float | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.after = after


class NotThis(Exception):  # noqa: N818 - likewise
    """The endpoint refuses this request, whenever it is sent; others may be taken.

    Attributes:
        reason: why.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
