"""What a benchmark says of judges, how long is waited, and what a key is hidden in."""

from pathlib import Path
from typing import Any

import attrs
import pytest

from retake.core.errors import PartError, UsageError
from retake.evaluation.judging.cache import key_of
from retake.evaluation.judging.endpoint import host_of
from retake.evaluation.judging.planning import aspects_in, cases_of
from retake.evaluation.judging.records import Judge
from retake.evaluation.judging.secret import Secret, key_from
from retake.evaluation.judging.waiting import Patience
from retake.evaluation.records import read_run
from tests.evaluation.judging.essays import Essays


@attrs.frozen
class Wrong(Essays):
    """Says what it is made with."""

    asks: Any = None
    reads: Any = None

    def judging(self, sample: Any, answer: str) -> Any:
        if isinstance(self.asks, Exception):
            raise self.asks
        return self.asks

    def judged(self, sample: Any, reply: str) -> Any:
        if isinstance(self.reads, Exception):
            raise self.reads
        return self.reads


@pytest.mark.parametrize(
    "asked",
    [
        "Is it good?",
        [],
        ["Is it good?"],
        [{"role": "user"}],
        [{"role": "user", "content": None}],
        [{"role": "user", "content": "?", "name": "me"}],
    ],
    ids=repr,
)
def test_what_is_no_message_is_named(folder: Path, asked: Any) -> None:
    with pytest.raises(UsageError, match=r"Wrong\.judging\(\) must return messages .* 'q000'"):
        cases_of(read_run(folder), Wrong(asks=asked))


@pytest.mark.parametrize(
    "found",
    [None, {}, {"accuracy": "4"}, {"accuracy": True}, {"accuracy": float("nan")}, {4: 4}, [4]],
    ids=repr,
)
def test_marks_that_are_none_are_named(found: Any) -> None:
    """A benchmark that returns nonsense is wrong; the judge is not asked again for it."""
    sample = Essays().samples()[0]
    with pytest.raises(UsageError, match=r"Wrong\.judged\(\) must return numbers by aspect"):
        aspects_in(Wrong(reads=found), sample, "?")


def test_errors_in_a_benchmark_are_its_own(folder: Path) -> None:
    """But ValueError from `judged`, which is about the reply."""
    sample = Essays().samples()[0]
    with pytest.raises(PartError, match=r"Wrong\.judging\(\) failed: KeyError"):
        cases_of(read_run(folder), Wrong(asks=KeyError("x")))
    with pytest.raises(PartError, match=r"Wrong\.judged\(\) failed: TypeError"):
        aspects_in(Wrong(reads=TypeError("x")), sample, "?")
    with pytest.raises(ValueError, match="no idea"):
        aspects_in(Wrong(reads=ValueError("no idea")), sample, "?")


def test_waits_double_up_to_a_minute() -> None:
    """Between half and all of it, as chance has it."""
    longest = Patience(chance=lambda: 1.0)
    shortest = Patience(chance=lambda: 0.0)
    doubled = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0]
    assert [longest.seconds(attempt) for attempt in range(1, 9)] == doubled
    assert [shortest.seconds(attempt) for attempt in range(1, 9)] == [x / 2 for x in doubled]
    assert longest.seconds(10_000) == 60.0
    drawn = {Patience().seconds(3) for _ in range(50)}
    assert len(drawn) > 10
    assert all(2.0 <= each <= 4.0 for each in drawn)


def test_who_asks_for_longer_is_left_alone_for_longer() -> None:
    assert Patience(chance=lambda: 0.0).seconds(1, after=90.0) == 90.0
    assert Patience(chance=lambda: 1.0).seconds(7, after=2.0) == 60.0


def test_a_key_shows_itself_nowhere() -> None:
    """Nor in a text that quotes it; a word that local servers take for one may be any word."""
    secret = key_from("A_KEY", {"A_KEY": " sk-0123456789\n"})
    assert secret.reveal() == "sk-0123456789"
    assert "sk-" not in f"{secret} {secret!r} {[secret]}"
    assert secret.hidden_in("Is sk-0123456789 it? sk-0123456789!") == "Is [key] it? [key]!"
    assert Secret("EMPTY").hidden_in("EMPTY words") == "EMPTY words"


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://api.openai.com/v1", "api.openai.com"),
        ("http://localhost:8000/v1/", "localhost:8000"),
        ("HTTP://[::1]:80", "[::1]:80"),
    ],
)
def test_hosts(url: str, host: str) -> None:
    assert host_of(url) == host


def test_what_decides_a_cached_reply() -> None:
    """Everything that may change it does; a slash behind the address does not."""
    asked = [{"role": "user", "content": "?"}]
    url, judge = "http://a/v1", Judge("m")
    keys = [
        key_of(url, judge, asked),
        key_of("http://b/v1", judge, asked),
        key_of(url, Judge("n"), asked),
        key_of(url, Judge("m", 0.1), asked),
        key_of(url, Judge("m", seed=0), asked),
        key_of(url, Judge("m", max_tokens=1), asked),
        key_of(url, judge, [{"role": "system", "content": "?"}]),
        key_of(url, judge, [{"role": "user", "content": "!"}]),
    ]
    assert len(set(keys)) == len(keys)
    assert key_of("http://a/v1/", Judge("m", 0), asked) == keys[0]
