"""Answers are judged by an endpoint that misbehaves: what is kept, asked again, and given up."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import attrs
import pytest

from retake.evaluation.judging.asking import IN_A_ROW, LONGEST_REPLY
from retake.evaluation.judging.cache import Cache, cache_folder
from retake.evaluation.judging.errors import JudgeError
from retake.evaluation.judging.records import (
    messages_digest,
    read_judge_failures,
    read_judgements,
)
from tests.evaluation.judging.conftest import KEY
from tests.evaluation.judging.essays import Essays
from tests.evaluation.judging.runs import (
    ESSAYS,
    JUDGE,
    Quickly,
    Serve,
    essays_run,
    judged,
    said,
)
from tests.evaluation.judging.server import (
    GOOD,
    Answered,
    Request,
    in_turn,
    refuses,
    says,
    sends,
)

pytestmark = pytest.mark.usefixtures("key")


def test_every_essay_is_judged_once(folder: Path, serve: Serve, quickly: Quickly) -> None:
    """Each is asked as the benchmark says; what is kept says all that decides it."""
    server = serve()
    found = judged(folder, quickly(server))
    assert (found.cases, found.tally.judged, found.failures) == (9, 9, {})
    assert list(read_judgements(folder)) == ESSAYS
    for request, sample in zip(server.requests, ESSAYS, strict=True):
        assert request.body == {
            "model": "judge",
            "temperature": 0.0,
            "messages": [
                {"role": "system", "content": Essays().rubric},
                {"role": "user", "content": f"Essay {int(sample[1:])}?\n{said(sample)}"},
            ],
        }
        assert request.key == KEY
    last = read_judgements(folder)["q010"]
    assert last.aspects == {"accuracy": 4.0, "style": 3.0}
    assert (last.reply, last.judge, last.served) == (GOOD, JUDGE, "judge-2024-04-09")
    assert (last.host, last.attempts) == (server.host, 1)
    assert (last.prompt_tokens, last.completion_tokens) == (100, 10)
    assert last.messages_sha256 == messages_digest(server.requests[-1].body["messages"])
    rubrics = {each.rubric_sha256 for each in read_judgements(folder).values()}
    assert len(rubrics) == 1
    assert (found.tally.prompt_tokens, found.tally.completion_tokens) == (900, 90)
    assert found.tally.requests == 9


def test_what_is_judged_is_not_asked_again(folder: Path, serve: Serve, quickly: Quickly) -> None:
    server = serve()
    judged(folder, quickly(server))
    before = (folder / "judgements.jsonl").read_bytes()
    again = judged(folder, quickly(server))
    assert len(server.requests) == 9
    assert (folder / "judgements.jsonl").read_bytes() == before
    assert (len(again.judgements), again.tally.requests) == (9, 0)


@pytest.mark.parametrize(
    "trouble",
    [
        refuses(429),
        refuses(408),
        refuses(409),
        refuses(500),
        refuses(503),
        refuses(529),
        Answered(b"<html>bad gateway</html>", status=502, kind="text/html"),
        Answered(silent=True),
        Answered(says().body, cut=True),
        Answered(b'{"choices": [', kind="application/json"),
        Answered(b"\xff\xfe\x00", kind="application/json"),
        Answered(b"", kind="application/json"),
        Answered(b"<html>log in</html>", kind="text/html"),
        sends(None),
        sends([]),
        sends("reply"),
        sends({}),
        sends({"choices": []}),
        sends({"choices": None}),
        sends({"choices": [None]}),
        sends({"choices": [{"message": None}]}),
        sends({"choices": [{"message": {"content": 4}}]}),
        sends({"choices": {"message": {"content": GOOD}}}),
        sends({"error": {"message": "overloaded"}}),
        says(None),
    ],
    ids=lambda answer: f"{answer.status}-{answer.kind[-5:]}-{answer.body[-28:]!r}",
)
def test_trouble_passes(
    folder: Path, serve: Serve, quickly: Quickly, waits: list[float], trouble: Answered
) -> None:
    """Whatever came back instead of a reply: after a wait that doubles it is asked again."""
    server = serve(in_turn(trouble, trouble))
    found = judged(folder, quickly(server))
    assert (len(found.judgements), found.failures) == (9, {})
    assert waits == [1.0, 2.0]
    assert len(server.requests) == 11
    assert server.requests[0].text == server.requests[2].text
    assert found.judgements["q000"].attempts == 3


def test_a_reply_of_another_type_is_one(folder: Path, serve: Serve, quickly: Quickly) -> None:
    """Some servers call their JSON plain text."""
    found = judged(folder, quickly(serve(in_turn(attrs.evolve(says(), kind="text/plain")))))
    assert len(found.judgements) == 9
    assert found.judgements["q000"].aspects == {"accuracy": 4.0, "style": 3.0}


@pytest.mark.parametrize(
    "useless",
    [
        "I would rather not say.",
        "",
        '{"accuracy": 4}',
        '{"accuracy": 4, "style": 11}',
        '{"accuracy": "good", "style": 3}',
        '{"accuracy": 4, "style": 3',
        '{"accuracy": NaN, "style": 3}',
        f"{GOOD[:-1]}, {'!' * LONGEST_REPLY}",
    ],
    ids=["no-json", "nothing", "key-missing", "out-of-range", "word", "cut", "nan", "very-long"],
)
def test_useless_replies_are_asked_again(
    folder: Path, serve: Serve, quickly: Quickly, waits: list[float], useless: str
) -> None:
    """At once, as nobody is overloaded; their tokens are counted, since they are paid."""
    server = serve(in_turn(says(useless)))
    found = judged(folder, quickly(server))
    assert (len(found.judgements), waits) == (9, [])
    first = found.judgements["q000"]
    assert (first.attempts, first.prompt_tokens, first.completion_tokens) == (2, 200, 20)
    assert found.tally.prompt_tokens == 1000


def test_long_replies_are_understood(folder: Path, serve: Serve, quickly: Quickly) -> None:
    """A judge may think aloud at length; all of it is kept."""
    text = f"{'Hm. ' * 20_000}{GOOD}"
    found = judged(folder, quickly(serve(in_turn(then=says(text)))))
    assert {each.reply for each in found.judgements.values()} == {text}


def test_what_stays_useless_fails_alone(folder: Path, serve: Serve, quickly: Quickly) -> None:
    """It is noted with the reply, the others are judged, and the next call tries it again."""

    def script(request: Request) -> Answered:
        return says("No." * 5000 if "q004" in request.text else GOOD)

    server = serve(script)
    found = judged(folder, quickly(server, retries=2), cache=Cache(cache_folder()))
    assert sorted(found.judgements) == [name for name in ESSAYS if name != "q004"]
    assert [request.text for request in server.requests].count(f"Essay 4?\n{said('q004')}") == 3
    failure = found.failures["q004"]
    assert failure == read_judge_failures(folder)["q004"]
    assert failure.reason == "its reply cannot be understood: there is no JSON in it"
    assert failure.attempts == 3
    assert failure.reply is not None
    assert failure.reply == ("No." * 5000)[:2000]
    server.answers(in_turn())
    again = judged(folder, quickly(server), cache=Cache(cache_folder()))
    assert [request.text for request in server.requests] == [f"Essay 4?\n{said('q004')}"]
    assert (len(again.judgements), again.failures) == (9, {})
    assert read_judge_failures(folder) == {}


@pytest.mark.parametrize("status", [400, 413, 422])
def test_what_is_refused_fails_alone(
    folder: Path, serve: Serve, quickly: Quickly, waits: list[float], status: int
) -> None:
    """A request that is too long, or not to be answered, is not sent twice."""
    server = serve(in_turn(refuses(status, "This is too long.")))
    found = judged(folder, quickly(server))
    assert (len(found.judgements), waits, len(server.requests)) == (8, [], 9)
    assert found.failures["q000"].reason == f"it answered {status}: This is too long"


@pytest.mark.parametrize(
    ("refusal", "said"),
    [
        (refuses(401, f"Wrong key {KEY}."), r"refuses the request: it answered 401: Wrong key"),
        (refuses(403), r"403: no\.\nCheck the key"),
        (refuses(404, "no such model"), r"404: no such model\.\nCheck the model, 'judge', and"),
        (refuses(405), "refuses the request: it answered 405"),
        (refuses(402), "has no credit left: it answered 402"),
        (refuses(429, code="insufficient_quota"), "has no credit left: it answered 429"),
        (refuses(429, retry_after="7200"), "asks to be left alone for 120 minutes"),
    ],
    ids=["401", "403", "404", "405", "402", "429-quota", "429-hours"],
)
def test_what_nobody_can_be_asked_ends_it(
    folder: Path, serve: Serve, quickly: Quickly, waits: list[float], refusal: Answered, said: str
) -> None:
    """At once, with what was judged before kept; the key is not in what is said."""
    server = serve(in_turn(says(), says(), then=refusal))
    with pytest.raises(JudgeError, match=said) as caught:
        judged(folder, quickly(server))
    assert (len(server.requests), waits) == (3, [])
    assert list(read_judgements(folder)) == ["q000", "q001"]
    assert KEY not in str(caught.value)
    # Not even where all that led to it is shown.
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None or caught.value.__suppress_context__


@pytest.mark.parametrize(
    ("headers", "least"),
    [
        ({"retry_after": "7"}, 7.0),
        ({"retry_after": "0"}, 1.0),
        ({"retry_after": "0.25"}, 1.0),
        ({"retry_after_ms": "30000"}, 30.0),
        ({"retry_after": "soon"}, 1.0),
        ({"retry_after": "-5"}, 1.0),
        ({"retry_after": "nan"}, 1.0),
    ],
    ids=str,
)
def test_retry_after_is_honoured(
    folder: Path,
    serve: Serve,
    quickly: Quickly,
    waits: list[float],
    headers: dict[str, str],
    least: float,
) -> None:
    """An endpoint is left alone for as long as it asks, and never less than without asking."""
    judged(folder, quickly(serve(in_turn(refuses(429, "slower", **headers)))))
    assert len(waits) == 1
    assert least <= waits[0] <= 1.1 * least


def test_retry_after_may_be_a_date(
    folder: Path, serve: Serve, quickly: Quickly, waits: list[float]
) -> None:
    when = format_datetime(datetime.now(UTC) + timedelta(seconds=40), usegmt=True)
    judged(folder, quickly(serve(in_turn(refuses(503, retry_after=when)))))
    assert 30 < waits[0] <= 44


def test_slow_replies_time_out(folder: Path, serve: Serve, quickly: Quickly) -> None:
    """A request has so many seconds as a whole; then it is sent again."""
    slow = attrs.evolve(says(), after=30.0)
    server = serve(in_turn(slow, slow))
    found = judged(folder, quickly(server, timeout=2.0))
    assert (len(found.judgements), found.judgements["q000"].attempts) == (9, 3)


def test_what_is_always_slow_fails(folder: Path, serve: Serve, quickly: Quickly) -> None:
    def script(request: Request) -> Answered:
        return attrs.evolve(says(), after=30.0 if "q001" in request.text else 0.0)

    found = judged(folder, quickly(serve(script), timeout=2.0, retries=1))
    assert {name: each.reason for name, each in found.failures.items()} == {
        "q001": "there was no reply within 2 s"
    }


def test_nobody_there(folder: Path, serve: Serve, quickly: Quickly, waits: list[float]) -> None:
    """What was never reached is not tried for each answer; nothing counts as failed."""
    server = serve()
    asked = quickly(server, retries=3, concurrency=2)
    server.close()
    with pytest.raises(JudgeError, match=f"{server.host} cannot be reached: the connection failed"):
        judged(folder, asked)
    assert len(waits) <= 6
    assert read_judge_failures(folder) == {}


def test_what_works_no_more_ends_it(tmp_path: Path, serve: Serve, quickly: Quickly) -> None:
    """An endpoint that is down for good is not asked for thousands of answers."""
    folder = essays_run(tmp_path / "long", count=40)
    server = serve(in_turn(*[says()] * 5, then=refuses(500, "down")))
    with pytest.raises(JudgeError, match=f"{IN_A_ROW} answers in a row .*it answered 500: down"):
        judged(folder, quickly(server, retries=1), Essays(count=40))
    assert len(server.requests) == 5 + 2 * IN_A_ROW
    assert (len(read_judgements(folder)), len(read_judge_failures(folder))) == (5, IN_A_ROW)
    server.answers(in_turn())
    found = judged(folder, quickly(server), Essays(count=40))
    assert (found.tally.judged, found.failures) == (25, {})
