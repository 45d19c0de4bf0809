"""What is kept of judgements, and what is refused of it."""

from pathlib import Path
from typing import Any

import attrs
import pytest

from retake.core.errors import RunFolderError
from retake.evaluation.journal import Journal
from retake.evaluation.judging.judges import judges_of
from retake.evaluation.judging.records import (
    FAILURES,
    JUDGEMENTS,
    Judge,
    JudgeFailure,
    Judgement,
    messages_digest,
    read_judge_failures,
    read_judgements,
    rubric_digest,
)

ASKED = ({"role": "system", "content": "Be fair."}, {"role": "user", "content": "Is it red?"})


def judgement(sample: str, **changes: Any) -> Judgement:
    """A judgement of a sample's answer."""
    made = Judgement(
        sample=sample,
        aspects={"accuracy": 4.0},
        reply="{'score_accuracy': 4}",
        **attrs.asdict(Judge("gpt-4-turbo")),
        served="gpt-4-turbo-2024-04-09",
        host="api.openai.com",
        messages_sha256=messages_digest(ASKED),
        rubric_sha256=rubric_digest(ASKED),
        attempts=1,
        prompt_tokens=400,
        completion_tokens=20,
        created="2026-01-01T00:00:00+00:00",
    )
    return attrs.evolve(made, **changes)


def failure(sample: str, **changes: Any) -> JudgeFailure:
    """A sample that could not be judged."""
    made = JudgeFailure(
        sample=sample,
        reason="it says nothing of accuracy",
        reply="Fine.",
        **attrs.asdict(Judge("gpt-4-turbo")),
        host="api.openai.com",
        messages_sha256=messages_digest(ASKED),
        attempts=3,
        created="2026-01-01T00:00:00+00:00",
    )
    return attrs.evolve(made, **changes)


def write(folder: Path, *records: Judgement | JudgeFailure) -> None:
    """Add lines to a run's folder."""
    for record in records:
        name = JUDGEMENTS if isinstance(record, Judgement) else FAILURES
        Journal(folder / name).append(attrs.asdict(record))


def test_nothing_there(tmp_path: Path) -> None:
    assert read_judgements(tmp_path) == {}
    assert read_judge_failures(tmp_path) == {}


def test_the_newest_line_counts(tmp_path: Path) -> None:
    """A sample that was judged anew has its new mark; every field is as it was written."""
    old, other = judgement("a", aspects={"accuracy": 1.0}), judgement("b", prompt_tokens=None)
    write(tmp_path, old, other, judgement("a"))
    assert read_judgements(tmp_path) == {"a": judgement("a"), "b": other}


def test_whole_numbers_are_numbers(tmp_path: Path) -> None:
    line = attrs.asdict(judgement("a")) | {"aspects": {"accuracy": 4}}
    Journal(tmp_path / JUDGEMENTS).append(line)
    assert read_judgements(tmp_path)["a"].aspects == {"accuracy": 4.0}


def test_half_a_line_is_left_out(tmp_path: Path) -> None:
    """Whatever cut it off: it counts as not judged, and reading changes nothing."""
    write(tmp_path, judgement("a"), judgement("b"))
    path = tmp_path / JUDGEMENTS
    whole = path.read_bytes()
    last = len(whole.splitlines(keepends=True)[-1])
    for cut in range(1, last):
        path.write_bytes(whole[: len(whole) - cut])
        assert set(read_judgements(tmp_path)) == {"a"}
        assert path.read_bytes() == whole[: len(whole) - cut]


def test_two_judges_are_not_mixed(tmp_path: Path) -> None:
    """Marks of two judges, or of one at another temperature, are not of one scale."""
    for judge in (Judge("other"), Judge("gpt-4-turbo", temperature=1.0)):
        (tmp_path / JUDGEMENTS).unlink(missing_ok=True)
        write(tmp_path, judgement("a"), judgement("b", **attrs.asdict(judge)))
        with pytest.raises(RunFolderError, match=r"damaged in line 2: it is by Judge\("):
            read_judgements(tmp_path)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ({"sample": "b"}, "line 2"),
        ({**attrs.asdict(judgement("b")), "aspects": {"accuracy": "good"}}, "line 2"),
        ({**attrs.asdict(judgement("b")), "key": "sk"}, "line 2"),
    ],
    ids=["fields-missing", "no-number", "field-too-many"],
)
def test_damage_is_named(tmp_path: Path, line: dict[str, Any], said: str) -> None:
    write(tmp_path, judgement("a"))
    Journal(tmp_path / JUDGEMENTS).append(line)
    with pytest.raises(RunFolderError, match=said):
        read_judgements(tmp_path)


def test_a_failure_stands_until_its_sample_is_judged(tmp_path: Path) -> None:
    """The newest counts; one about an answer that has changed since its judgement stands."""
    write(tmp_path, failure("a"), failure("a", attempts=6), failure("b"), judgement("b"))
    write(tmp_path, judgement("c"), failure("c", messages_sha256="0" * 64))
    found = read_judge_failures(tmp_path)
    assert found["a"].attempts == 6
    assert set(found) == {"a", "c"}


def test_what_a_judgement_fits() -> None:
    """What was asked is known to the letter; the rubric is what all samples are asked."""
    assert judgement("a").fits(ASKED)
    changed = (ASKED[0], {"role": "user", "content": "Is it blue?"})
    assert not judgement("a").fits(changed)
    assert rubric_digest(changed) == rubric_digest(ASKED)
    assert rubric_digest(ASKED) != rubric_digest([{**ASKED[0], "content": "Be strict."}])
    assert rubric_digest(ASKED[1:]) is None


def test_who_judged() -> None:
    """One entry for all that were judged alike; what was not counted is no zero."""
    other = {"served": "gpt-4-turbo-2025-01-01", "rubric_sha256": None}
    found = judges_of(
        {
            "a": judgement("a"),
            "b": judgement("b", **other, prompt_tokens=None, completion_tokens=None),
            "c": judgement("c", attempts=0, prompt_tokens=0, completion_tokens=0),
            "d": judgement("d", **other),
        }
    )
    assert [each["answers"] for each in found] == [2, 2]
    assert [each["prompt_tokens"] for each in found] == [400, 400]
    assert [each["completion_tokens"] for each in found] == [20, 20]
    assert [each["uncounted"] for each in found] == [0, 1]
    assert found[0]["rubric_sha256"] == rubric_digest(ASKED)
    assert found[1] | {"served": None} == {
        **attrs.asdict(Judge("gpt-4-turbo")),
        "served": None,
        "host": "api.openai.com",
        "rubric_sha256": None,
        "answers": 2,
        "prompt_tokens": 400,
        "completion_tokens": 20,
        "uncounted": 1,
    }
    assert judges_of({}) == []
