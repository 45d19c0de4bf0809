"""What `retake judge` is told of keys and addresses, and that it tells nobody."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.cli.judging.conftest import KEY, judge
from tests.evaluation.judging.runs import essays_run
from tests.evaluation.judging.server import Script, Server, in_turn, refuses, says


def test_the_key_is_nowhere(
    tmp_path: Path, process: Run, serve: Callable[[Script], Server]
) -> None:
    """Not in files, nor in what is said, not with --debug and all logging on."""
    folder = essays_run(tmp_path / "run")
    quoting = serve(in_turn(says(f"{KEY}?"), refuses(400, f"Bad {KEY}"), says()))
    wrong = serve(in_turn(says(), then=refuses(401, f"Incorrect API key: {KEY}")))
    said = []
    for server, code in ((quoting, 1), (wrong, 1)):
        words = judge(folder, server, "--debug", "--concurrency", "1", "--no-cache", "--anew")
        found = process(*words, OPENAI_LOG="debug")
        assert found.code == code
        said.append(found.out + found.err)
    assert {request.key for request in (*quoting.requests, *wrong.requests)} == {KEY}
    assert "Incorrect API key: [key]" in said[1]
    assert "Traceback" in said[1]
    assert "DEBUG" in said[0]
    texts = [each.read_text() for each in tmp_path.rglob("*") if each.is_file()]
    assert len(texts) > 6
    assert not any(KEY in text for text in (*said, *texts))
    assert "Bearer" not in "".join(texts)


@pytest.mark.parametrize(
    ("variable", "held", "said"),
    [
        ("OPENAI_API_KEY", "", "There is no key: OPENAI_API_KEY is not set."),
        ("MY_KEY", None, "There is no key: MY_KEY is not set."),
        ("MY_KEY", "two words", "What MY_KEY holds is no key: it has spaces"),
        ("MY_KEY", "pässword", "What MY_KEY holds is no key"),
        ("MY_KEY", "a\nb", "What MY_KEY holds is no key"),
        (KEY, None, "The key's variable is named by capitals, digits and _"),
        ("hf_abcdef", None, "The key's variable is named by capitals, digits and _"),
    ],
)
def test_keys_that_are_none(
    retake: Run,
    folder: Path,
    server: Server,
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
    held: str | None,
    said: str,
) -> None:
    """What is wrong is said without saying what was given, where that may be a key."""
    if held is not None:
        monkeypatch.setenv(variable, held)
    found = retake(*judge(folder, server, "--key-variable", variable))
    assert found.code == 2
    assert found.err.startswith(f"Error: {said}")
    assert not held or held not in found.err
    assert variable.isupper() or variable not in found.err
    assert server.requests == []


def test_another_variable_holds_the_key(
    retake: Run, folder: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And OpenAI's key is not sent then."""
    monkeypatch.setenv("LOCAL_KEY", "EMPTY\n")
    assert retake(*judge(folder, server, "--key-variable", "LOCAL_KEY")).code == 0
    assert {request.key for request in server.requests} == {"EMPTY"}


def test_the_address_may_be_in_the_environment(
    retake: Run, folder: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", server.url)
    assert retake("judge", folder, "--model", "judge").code == 0
    assert len(server.requests) == 9


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("localhost:8000/v1", "The base URL must be the address of an endpoint"),
        ("http://", "The base URL must be the address of an endpoint"),
        ("http://[::1/v1", "The base URL must be the address of an endpoint"),
        ("http://localhost:port/v1", "The base URL must be the address of an endpoint"),
        (f"https://me:{KEY}@judges.example/v1", "at 'judges.example' holds more than an address"),
        (f"https://judges.example/v1?key={KEY}", "at 'judges.example' holds more than an address"),
    ],
)
def test_wrong_addresses(retake: Run, folder: Path, url: str, said: str) -> None:
    """Keys belong into the environment only, and are not repeated."""
    found = retake("judge", folder, "--model", "judge", "--base-url", url)
    assert found.code == 2
    assert said in found.err
    assert KEY not in found.err
