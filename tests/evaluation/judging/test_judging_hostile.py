"""Endpoints that are broken or no friends: what they send harms nobody, nor what they are sent."""

import asyncio
import gzip
import json
from pathlib import Path
from typing import Any

import attrs
import openai
import pytest

from retake.core.errors import UsageError
from retake.evaluation.judging.asking import IN_A_ROW
from retake.evaluation.judging.connection import LONGEST_BODY, client, is_openai
from retake.evaluation.judging.errors import JudgeError
from retake.evaluation.judging.judging import Asked
from retake.evaluation.judging.records import read_judge_failures, read_judgements
from retake.evaluation.judging.secret import Secret, key_from
from tests.evaluation.judging.conftest import KEY
from tests.evaluation.judging.essays import Essays
from tests.evaluation.judging.runs import Quickly, Serve, essays_run, judged
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


def completion(**choice: Any) -> dict[str, Any]:
    """A good completion with a choice that is another."""
    found: dict[str, Any] = json.loads(says().body)
    found["choices"][0] |= choice
    return found


@pytest.mark.parametrize(
    ("trouble", "said"),
    [
        (sends({"error": {"message": "q", "code": ["a"]}}, status=429), "it answered 429: q"),
        (refuses(429, "later", retry_after="Mon, 01 Jan 99999999999 0:0:0 GMT"), "429: later"),
        (refuses(503, "later", retry_after="Mon, 01 Jan 0001 00:00:00 +2359"), "503: later"),
        (Answered(b"[" * 200_000), "it is not the JSON that it should be"),
        (Answered(b"[" * 200_000, status=500), "it answered 500"),
        (Answered(b"{}", headers={"Content-Encoding": "gzip"}), "the connection failed"),
        (Answered(b" " * (LONGEST_BODY + 1)), "longer than any that can be read"),
        (Answered(b" " * (LONGEST_BODY + 1), status=500), "longer than any that can be read"),
        (sends({"error": {"message": "overloaded"}}), "an error: overloaded"),
        (sends({"error": "overloaded"}), "an error: overloaded"),
        (sends({"error": None}), "it is not the JSON that it should be"),
        (sends(completion(finish_reason="length")), "a limit of tokens cut it off; --max-tokens"),
        (sends(completion(message={"content": [{"type": "image"}]})), "the reply is empty (stop)"),
        (refuses(500, "\x1b[31mred\x1b[0m \ud83d!"), "it answered 500: �[31mred�[0m �!"),
    ],
    ids=lambda given: given[-20:] if isinstance(given, str) else "",
)
def test_one_answer_fails_and_no_more(
    folder: Path, serve: Serve, quickly: Quickly, trouble: Answered, said: str
) -> None:
    """Though it is the first that ever comes back: the endpoint was reached."""
    server = serve(lambda request: trouble if "Essay 0?" in request.text else says())
    found = judged(folder, quickly(server, retries=1))
    assert (len(found.judgements), list(found.failures)) == (8, ["q000"])
    failure = found.failures["q000"]
    assert said in failure.reason
    assert failure.reason.isprintable()
    assert failure.attempts == 2


def test_a_drip_fails_alone(folder: Path, serve: Serve, quickly: Quickly) -> None:
    """Bytes that come one by one are no reply in time, however long that may go on."""
    drip = attrs.evolve(says(), drip=0.2)
    server = serve(lambda request: drip if "Essay 0?" in request.text else says())
    found = judged(folder, quickly(server, retries=0, timeout=2.0))
    assert (len(found.judgements), list(found.failures)) == (8, ["q000"])
    assert found.failures["q000"].reason == "there was no reply within 2 s"


def test_bodies_may_come_compressed(folder: Path, serve: Serve, quickly: Quickly) -> None:
    """Though none is asked for; one that is long when unpacked is not waited for."""
    packed = {"Content-Encoding": "gzip"}
    bomb = Answered(gzip.compress(bytes(2**30 // 3), 1), headers=packed)
    good = Answered(gzip.compress(says().body), headers=packed)
    server = serve(lambda request: bomb if "Essay 0?" in request.text else good)
    found = judged(folder, quickly(server, retries=0))
    assert (len(found.judgements), list(found.failures)) == (8, ["q000"])
    assert {request.headers["accept-encoding"] for request in server.requests} == {"identity"}


def test_an_error_with_a_good_status_may_mean_no_credit(
    folder: Path, serve: Serve, quickly: Quickly
) -> None:
    error = {"error": {"message": "Pay first.", "code": "insufficient_quota"}}
    with pytest.raises(JudgeError, match="has no credit left: Pay first"):
        judged(folder, quickly(serve(in_turn(then=sends(error)))))


def test_a_reply_may_come_in_parts(folder: Path, serve: Serve, quickly: Quickly) -> None:
    parts = [
        {"type": "thinking", "thinking": [{"type": "text", "text": '{"accuracy": 1}'}]},
        {"type": "text", "text": GOOD[:10]},
        {"type": "text", "text": GOOD[10:]},
    ]
    message = {"role": "assistant", "content": parts}
    found = judged(folder, quickly(serve(in_turn(then=sends(completion(message=message))))))
    assert {each.reply for each in found.judgements.values()} == {GOOD}


def test_what_no_file_can_hold_is_replaced(folder: Path, serve: Serve, quickly: Quickly) -> None:
    """Halves of surrogate pairs, numbers without end: both would fail whoever writes a report."""
    found = completion(message={"role": "assistant", "content": f"\ud83d {GOOD}"})
    found["model"] = "judge\x1b]0;mine\x07 \udc00"
    found["usage"]["prompt_tokens"] = int("9" * 4000)
    found["usage"]["completion_tokens"] = 5
    server = serve(in_turn(then=sends(found)))
    kept = judged(folder, quickly(server)).judgements["q000"]
    assert kept.reply == f"� {GOOD}"
    assert kept.served == "judge�]0;mine� �"
    assert (kept.prompt_tokens, kept.completion_tokens) == (0, 5)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_refused(folder: Path, serve: Serve, quickly: Quickly, status: int) -> None:
    """Nobody else is sent what the endpoint is asked, nor is it asked without a message."""
    other = serve()
    location = f"{other.url}/chat/completions"
    server = serve(in_turn(then=refuses(status, "there", location=location)))
    with pytest.raises(JudgeError, match=f"refuses the request: it answered {status}"):
        judged(folder, quickly(server))
    assert (len(server.requests), other.requests) == (1, [])


def test_nothing_for_another_leaves(
    folder: Path, serve: Serve, quickly: Quickly, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who the user is at OpenAI is said to OpenAI; the key is the one that was named."""
    monkeypatch.setenv("OPENAI_ORG_ID", "org-0123456789")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "proj_0123456789")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "X-Gate: gate-secret\nAuthorization: Bearer other")
    cookie = attrs.evolve(says(), headers={"Set-Cookie": "who=me"})
    server = serve(in_turn(cookie))
    judged(folder, quickly(server))
    needed = {"host", "accept", "accept-encoding", "connection", "content-type", "content-length"}
    assert {name for each in server.requests for name in each.headers} == {
        *needed,
        "authorization",
    }
    assert {request.key for request in server.requests} == {KEY}


def test_what_is_openais_goes_there() -> None:
    """The same headers, on the last step before they would leave."""

    async def sent(url: str) -> dict[str, str]:
        http = client(openai, url, Secret("a-key"), lambda: None)
        async with http:
            asked = {"OpenAI-Organization": "org-1", "Authorization": "Bearer own"}
            request = http.build_request("POST", url, headers=asked, json={})
            for hook in http.event_hooks["request"]:
                await hook(request)
            return dict(request.headers)

    there = asyncio.run(sent("https://eu.api.openai.com/v1"))
    assert (there["openai-organization"], there["authorization"]) == ("org-1", "Bearer own")
    elsewhere = asyncio.run(sent("https://judges.example/v1"))
    assert "openai-organization" not in elsewhere
    assert elsewhere["authorization"] == "Bearer a-key"


@pytest.mark.parametrize(
    ("url", "own"),
    [
        ("https://api.openai.com/v1", True),
        ("https://us.api.openai.com/v1", True),
        ("http://api.openai.com/v1", False),
        ("https://api.openai.com.example/v1", False),
        ("https://myapi.openai.com.evil/v1", False),
        ("https://notapi.openai.com/v1", False),
        ("http://localhost:8000/v1", False),
    ],
)
def test_who_is_openai(url: str, own: bool) -> None:
    assert is_openai(url) is own


def test_what_is_sent_beside_the_key_is_hidden_too() -> None:
    secret = key_from(
        "A_KEY",
        {
            "A_KEY": "sk-0123456789",
            "OPENAI_ORG_ID": "org-0123456789",
            "OPENAI_PROJECT_ID": "short",
            "OPENAI_CUSTOM_HEADERS": "X-Gate: Bearer gate-0123456789\nnothing",
        },
    )
    said = "org-0123456789 has no short sk-0123456789 by gate-0123456789"
    assert secret.hidden_in(said) == "[hidden] has no short [key] by [hidden]"


def test_refused_answers_do_not_end_it(tmp_path: Path, serve: Serve, quickly: Quickly) -> None:
    """However many follow on one another, once one was judged: it is they that are refused."""
    folder = essays_run(tmp_path / "long", count=40)

    def script(request: Request) -> Answered:
        number = int(request.text.split("?")[0].split()[1])
        return refuses(400, "No.") if 4 <= number < 32 else says()

    server = serve(script)
    found = judged(folder, quickly(server), Essays(count=40))
    assert (len(found.judgements), len(found.failures)) == (9, 21)
    assert len(server.requests) == 30


def test_what_failed_is_tried_last(tmp_path: Path, serve: Serve, quickly: Quickly) -> None:
    """Where all is refused, that is soon seen; but what is refused keeps nobody else from it."""
    folder = essays_run(tmp_path / "long", count=40)

    def script(request: Request) -> Answered:
        number = int(request.text.split("?")[0].split()[1])
        return refuses(400, "No.") if number < 16 else says()

    server = serve(script)
    with pytest.raises(JudgeError, match=f"{IN_A_ROW} answers in a row .* it answered 400: No"):
        judged(folder, quickly(server), Essays(count=40))
    assert len(read_judge_failures(folder)) == IN_A_ROW
    server.answers(script)
    found = judged(folder, quickly(server), Essays(count=40))
    assert (len(found.judgements), len(found.failures)) == (18, 12)
    assert [request.text.split("?")[0] for request in server.requests[-10:]] == [
        f"Essay {int(name[1:])}" for name in read_judge_failures(folder)
    ][:10]


def test_nothing_is_set_aside_for_nobody(
    folder: Path, serve: Serve, quickly: Quickly, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was judged stays until there is somebody to judge anew."""
    server = serve()
    judged(folder, quickly(server))
    before = read_judgements(folder)
    with monkeypatch.context() as changed:
        changed.delenv("OPENAI_API_KEY")
        with pytest.raises(UsageError, match="There is no key"):
            judged(folder, quickly(server), anew=True)
    with pytest.raises(UsageError, match="The base URL must be"):
        judged(folder, Asked("localhost:8000/v1"), anew=True)
    assert read_judgements(folder) == before
    assert not list(folder.glob("*.before-*"))


def test_nothing_to_judge_yet(tmp_path: Path, serve: Serve, quickly: Quickly) -> None:
    """What a run in progress has answered so far may be for no judge; that is no mistake."""
    folder = essays_run(tmp_path / "run")
    path = folder / "samples.jsonl"
    every = path.read_text().splitlines(keepends=True)
    path.write_text("".join(line for line in every if '"choice"' in line))
    found = judged(folder, quickly(serve()))
    assert (found.cases, found.judgements) == (0, {})
    assert found.notes == ("Nothing that is answered so far is for a judge.",)
