"""What counts as a question."""

from typing import Any

from retake.core.errors import UsageError


def check_question(question: Any) -> None:
    """Refuse what is no question in words."""
    if not isinstance(question, str):
        raise UsageError(f"A question is text, got {question!r}.")
    if not question.strip():
        raise UsageError("The question is empty.")
    try:
        question.encode()
    except UnicodeEncodeError as error:
        raise UsageError(
            f"The question is not valid Unicode (at character {error.start})."
        ) from None
