"""What asking came to, counted as it goes, and who is told of it."""

import attrs

from retake.evaluation.judging.endpoint import Reply
from retake.evaluation.judging.records import JudgeFailure, Judgement


@attrs.define
class Tally:
    """Counts of one call.

    Attributes:
        judged: answers, of which `cached` by a reply that was there already.
        failed: answers that could not be judged.
        requests: sent.
        prompt_tokens, completion_tokens: of all replies, useless ones too, by the endpoint's word.
        uncounted: replies of which it gave no tokens.
    """

    judged: int = 0
    cached: int = 0
    failed: int = 0
    requests: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    uncounted: int = 0

    def add(self, reply: Reply) -> None:
        """Count a reply's tokens."""
        if reply.prompt_tokens is None and reply.completion_tokens is None:
            self.uncounted += 1
        self.prompt_tokens += reply.prompt_tokens or 0
        self.completion_tokens += reply.completion_tokens or 0


class Listener:
    """Told what happens, when it has; this one does nothing about it."""

    def begins(self, tally: Tally, left: int, done: int) -> None:
        """So many answers are left to judge; so many were judged before."""

    def judged(self, judgement: Judgement) -> None:
        """It is on the disk."""

    def failed(self, failure: JudgeFailure) -> None:
        """It is on the disk, and asking goes on."""

    def waits(self, sample: str, reason: str, seconds: float) -> None:
        """A request is sent again after so long."""

    def note(self, text: str) -> None:
        """There is something to say."""
