"""What judges said of a run's answers: `judgements.jsonl` in the run's folder, and how it is read.

The idea: a line is one judgement, with all that decides it: which judge, asked what, and what it
replied. The newest line of a sample counts. All lines of a file are one judge's: marks of two are
not of one scale. `docs/judge.md` is the format.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import attrs

from retake.core.config import strict_converter
from retake.core.options import at_least, between, optional
from retake.evaluation.journal import Journal

JUDGEMENTS = "judgements.jsonl"
FAILURES = "judge_failures.jsonl"

_CONVERTER = strict_converter()
_Record = TypeVar("_Record")


@attrs.frozen
class Judge:
    """Who judges, as far as that may change a mark.

    Attributes:
        model: as it is asked for.
        temperature: 0 takes the likeliest words.
        seed: asked for; None: none.
        max_tokens: of a reply, at most; None: as many as the endpoint allows.
    """

    model: str = attrs.field(validator=attrs.validators.min_len(1))
    temperature: float = attrs.field(default=0.0, converter=float, validator=between(0, 2))
    seed: int | None = None
    max_tokens: int | None = attrs.field(default=None, validator=optional(at_least(1)))


@attrs.frozen
class Judgement:
    """What a judge made of one answer: a line of `judgements.jsonl`.

    Attributes:
        sample: its id.
        aspects: what the judge gave, as the benchmark reads it from the reply.
        reply: the judge's own words.
        model, temperature, seed, max_tokens: of the judge that was asked.
        served: the model's name by the endpoint's word, often with a date; None: it said none.
        host: of the endpoint, with its port; never the whole address, which may hold a secret.
        messages_sha256: of what the judge was asked, the answer in it.
        rubric_sha256: of the system messages in that, which are the same for samples of a kind;
            None where there are none.
        attempts: requests that were sent for it; 0: it was in the cache.
        prompt_tokens, completion_tokens: of all these requests, by the endpoint's word; None: it
            said nothing.
        created: when the judge replied, ISO 8601.
    """

    sample: str
    aspects: dict[str, float]
    reply: str
    model: str
    temperature: float
    seed: int | None
    max_tokens: int | None
    served: str | None
    host: str
    messages_sha256: str
    rubric_sha256: str | None
    attempts: int
    prompt_tokens: int | None
    completion_tokens: int | None
    created: str

    @property
    def judge(self) -> Judge:
        """Who was asked."""
        return Judge(self.model, self.temperature, self.seed, self.max_tokens)

    def fits(self, messages: Sequence[Mapping[str, str]]) -> bool:
        """Whether it answers these messages: not where the answer or the rubric changed since."""
        return self.messages_sha256 == messages_digest(messages)


@attrs.frozen
class JudgeFailure:
    """An answer that could not be judged: a line of `judge_failures.jsonl`.

    Attributes:
        sample: its id.
        reason: why, at the last attempt.
        reply: what the judge had said then, its beginning; None where it said nothing.
        model, temperature, seed, max_tokens, host, messages_sha256, attempts: as in `Judgement`.
        created: when, ISO 8601.
    """

    sample: str
    reason: str
    reply: str | None
    model: str
    temperature: float
    seed: int | None
    max_tokens: int | None
    host: str
    messages_sha256: str
    attempts: int
    created: str


def messages_digest(messages: Sequence[Mapping[str, str]]) -> str:
    """A hash of chat messages."""
    return _hash([dict(message) for message in messages])


def rubric_digest(messages: Sequence[Mapping[str, str]]) -> str | None:
    """A hash of the system messages among them; None where there are none."""
    rubric = [message["content"] for message in messages if message["role"] == "system"]
    return _hash(rubric) if rubric else None


def _hash(data: object) -> str:
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()


def read_judgements(folder: Path) -> Mapping[str, Judgement]:
    """The newest judgement of every judged sample of a run, by id; empty where there is none.

    Nothing is changed, and it may be read while it is being written.

    Raises:
        RunFolderError: the file is damaged, or two judges wrote into it.
    """
    path = folder / JUDGEMENTS
    found: dict[str, Judgement] = {}
    judge: Judge | None = None
    for number, judgement in enumerate(_records(path, Judgement), start=1):
        judge = judge or judgement.judge
        if judgement.judge != judge:
            raise Journal(path).damaged(
                number, f"it is by {judgement.judge}, those before it by {judge}"
            )
        found[judgement.sample] = judgement
    return found


def read_judge_failures(folder: Path) -> Mapping[str, JudgeFailure]:
    """The newest failure of every sample that is not judged, by id.

    Raises:
        RunFolderError: a file is damaged.
    """
    judged = read_judgements(folder)
    failures = {failure.sample: failure for failure in _records(folder / FAILURES, JudgeFailure)}
    return {
        name: failure
        for name, failure in failures.items()
        if name not in judged or judged[name].messages_sha256 != failure.messages_sha256
    }


def _records(path: Path, kind: type[_Record]) -> list[_Record]:
    journal = Journal(path)
    found = []
    for number, line in enumerate(journal.read()[0], start=1):
        try:
            found.append(_CONVERTER.structure(line, kind))
        except Exception as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            raise journal.damaged(number, reason[:120].rstrip(".")) from error
    return found
