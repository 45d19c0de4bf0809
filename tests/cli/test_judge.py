"""`retake judge`: a real endpoint on this machine, real processes, killed and gone on with."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest

from retake.evaluation.judging.records import read_judge_failures, read_judgements
from retake.evaluation.locking import FolderLock
from tests.cli.conftest import Run
from tests.cli.evaluations import lines
from tests.evaluation.judging.runs import BENCHMARK, essays_run
from tests.evaluation.judging.server import (
    Answered,
    Request,
    Script,
    Server,
    in_turn,
    refuses,
    says,
)

KEY = "sk-secret-0123456789abcdef"


@pytest.fixture(autouse=True)
def _environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "200")
    for name in ("OPENAI_BASE_URL", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID", "OPENAI_LOG"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def serve() -> Iterator[Callable[[Script], Server]]:
    """Start an endpoint."""
    started: list[Server] = []

    def start(script: Script) -> Server:
        started.append(Server(script))
        return started[-1]

    yield start
    for server in started:
        server.close()


@pytest.fixture
def server(serve: Callable[[Script], Server]) -> Server:
    """An endpoint whose replies are good."""
    return serve(in_turn())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A run of twelve samples, of which nine are for a judge."""
    return essays_run(tmp_path / "run")


def judge(folder: Path, server: Server, *more: str) -> list[str]:
    """The command."""
    return ["judge", str(folder), "--model", "judge", "--base-url", server.url, *more]


def start(words: list[str], **environment: str) -> "subprocess.Popen[str]":
    """The command as a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "retake_cli", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    )


def wait_for(process: "subprocess.Popen[str]", path: Path, count: int) -> None:
    """Wait until so many lines are on the disk."""
    deadline = time.monotonic() + 120
    while not path.exists() or path.read_bytes().count(b"\n") < count:
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.002)


def test_judged_and_told(retake: Run, folder: Path, server: Server) -> None:
    """What a person sees: the aspects, the benchmark's figure, by whom, and what it cost."""
    found = retake(*judge(folder, server))
    assert (found.code, found.err) == (0, "")
    words = " ".join(found.out.split())
    for said in (
        "essay accuracy 4.00 9 style 3.00 9",
        "Accuracy by judge 4.00",
        "9 of 9 answers judged (9 now)",
        f"judge (temperature 0) at {server.host} which calls it judge-2024-04-09",
        "Requests 9 · 900 tokens asked, 90 replied",
    ):
        assert said in words
    again = retake(*judge(folder, server))
    assert again.code == 0
    assert "9 of 9 answers judged" in again.out
    assert "now" not in again.out
    assert "Requests" not in again.out
    assert len(server.requests) == 9


def test_results_have_what_was_judged(retake: Run, folder: Path, server: Server) -> None:
    """`results.json` is written anew, with metrics made of what the judge said."""
    found = retake(*judge(folder, server), "--json").data
    assert (found["answers"], found["judged"], found["failed"]) == (9, 9, 0)
    assert found["judge"] == {
        "model": "judge",
        "temperature": 0.0,
        "seed": None,
        "max_tokens": None,
    }
    assert found["now"]["requests"] == 9
    written = json.loads((folder / "results.json").read_text())
    assert written["metrics"] == found["metrics"]
    assert written["metrics"][0]["name"] == "Accuracy by judge"
    assert written["metrics"][0]["value"] == pytest.approx(4.0)
    assert [(each["model"], each["answers"]) for each in written["judged"]] == [("judge", 9)]


def test_results_are_left_to_who_writes_the_run(retake: Run, folder: Path, server: Server) -> None:
    """While the run is written by another process, it is judged, and only that."""
    with FolderLock(folder):
        found = retake(*judge(folder, server), "--json")
    assert (found.code, found.data["judged"], found.data["metrics"]) == (0, 9, None)
    assert "results.json is left to whoever writes the run" in found.err
    assert not (folder / "results.json").exists()


def test_failures_are_listed(retake: Run, folder: Path, serve: Callable[[Script], Server]) -> None:
    """The exit code says so, and the next call tries them again."""

    def script(request: Request) -> Answered:
        return says("Who knows?") if "Essay 5?" in request.text else says()

    server = serve(script)
    found = retake(*judge(folder, server, "--retries", "1"))
    assert found.code == 1
    sentence = "q005: its reply cannot be understood: there is no JSON in it (asked 2 times)."
    assert f"Failed: {sentence}" in found.err
    assert f"Warning  {sentence}" in found.out
    assert "8 of 9 answers judged (8 now)" in found.out
    listed = retake(*judge(folder, server, "--retries", "0"), "--json")
    assert (listed.code, [each["sample"] for each in listed.data["failures"]]) == (1, ["q005"])
    server.answers(in_turn())
    mended = retake(*judge(folder, server), "--json")
    assert (mended.code, mended.data["failed"], len(server.requests)) == (0, 0, 1)


def test_killed_and_gone_on_with(
    tmp_path: Path, process: Run, serve: Callable[[Script], Server]
) -> None:
    """kill -9 in the middle: only what is left is asked, and all is judged once."""
    folder = essays_run(tmp_path / "run", count=80)

    def script(request: Request) -> Answered:
        return attrs.evolve(says(), after=0.0 if request.number <= 20 else 200.0)

    server = serve(script)
    path = folder / "judgements.jsonl"
    running = start(judge(folder, server, "--no-cache"))
    wait_for(running, path, 20)
    running.send_signal(signal.SIGKILL)
    running.communicate()
    assert running.returncode == -signal.SIGKILL
    assert len(lines(path)) == 20
    with path.open("ab") as file:
        file.write(b'{"sample": "half')
    before = set(read_judgements(folder))
    server.answers(in_turn())
    found = process(*judge(folder, server, "--no-cache"), "--json")
    assert found.code == 0, found.err
    assert "judgements.jsonl: the last line was half-written and was dropped" in found.err
    asked = {request.text for request in server.requests}
    assert len(asked) == len(server.requests) == 60 - len(before)
    assert not any(f"Essay {int(name[1:])}?\n" in text for name in before for text in asked)
    assert len(lines(path)) == len({line["sample"] for line in lines(path)}) == 60
    assert found.data["judged"] == 60


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 128 + signal.SIGTERM)]
)
def test_interrupted(
    tmp_path: Path, serve: Callable[[Script], Server], number: signal.Signals, code: int
) -> None:
    """Ctrl-C ends it at once, though requests are under way; what is judged is kept."""
    folder = essays_run(tmp_path / "run", count=80)

    def script(request: Request) -> Answered:
        return says() if request.number <= 10 else attrs.evolve(says(), after=200.0)

    running = start(judge(folder, serve(script)))
    wait_for(running, folder / "judgements.jsonl", 10)
    running.send_signal(number)
    _, said = running.communicate(timeout=60)
    assert running.returncode == code
    assert len(read_judgements(folder)) == 10
    assert "Traceback" not in said
    assert _results(folder) == [10]
    kept = "10 of 60 answers are judged and kept; the same command goes on.\n"
    assert said == kept + ("interrupted\n" if number == signal.SIGINT else "")


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


def test_estimating(retake: Run, folder: Path, server: Server) -> None:
    """What would be asked, before a key is bought."""
    found = retake(*judge(folder, server, "--estimate", "--key-variable", "NOT_SET"))
    assert (found.code, found.err, server.requests) == (0, "", [])
    assert f"9 requests of judge at {server.host}" in found.out
    retake(*judge(folder, server))
    counted = retake(*judge(folder, server, "--estimate"), "--json").data["estimate"]
    assert counted == {"cases": 9, "judged": 9, "cached": 0, "requests": 0, "characters": 0}
    anew = retake(*judge(folder, server, "--estimate", "--anew"), "--json").data["estimate"]
    assert (anew["judged"], anew["cached"], anew["requests"]) == (0, 9, 0)


def test_without_the_extra(
    retake: Run, folder: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "openai", None)
    found = retake(*judge(folder, server))
    assert (found.code, found.err) == (
        1,
        "Error: Judges are asked by the openai client, which is not installed.\n"
        "pip install 'retake[judge]'\n",
    )


def test_another_judge_is_refused(retake: Run, folder: Path, server: Server) -> None:
    retake(*judge(folder, server))
    found = retake(*judge(folder, server, "--temperature", "1"))
    assert found.code == 2
    assert "was judged by another judge: temperature: was 0.0, is 1.0." in found.err
    anew = retake(*judge(folder, server, "--temperature", "1", "--anew"), "--json")
    assert (anew.code, anew.data["judged"]) == (0, 9)
    assert anew.data["notes"] == ["judgements.jsonl is judgements.before-1.jsonl now"]


def test_another_benchmark_is_refused(retake: Run, folder: Path, server: Server) -> None:
    """Its samples must be those that were answered; the benchmark's options may be corrected."""
    found = retake(*judge(folder, server, "--benchmark-option", "count=6"))
    assert found.code == 2
    assert f"the benchmark '{BENCHMARK}' has no sample 'q006'" in found.err
    _change(folder / "samples.jsonl", 1, expected="A woman reads.")
    found = retake(*judge(folder, server))
    assert found.code == 2
    assert "has another sample 'q001' by now: its kind, options or answer changed" in found.err
    assert server.requests == []


def test_nothing_to_judge(retake: Run, folder: Path, server: Server) -> None:
    """In a complete run that is a mistake; one in progress may have come to choices only."""
    path = folder / "samples.jsonl"
    every = path.read_text().splitlines(keepends=True)
    path.write_text("".join(line for line in every if '"choice"' in line))
    early = retake(*judge(folder, server))
    assert early.code == 0
    assert "Note: Nothing that is answered so far is for a judge." in early.err
    header = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps(header | {"samples_total": 3}))
    found = retake(*judge(folder, server))
    assert found.code == 2
    assert "is for a judge: the benchmark" in found.err


def test_no_run(retake: Run, tmp_path: Path, server: Server) -> None:
    found = retake(*judge(tmp_path / "nowhere", server))
    assert (found.code, found.err) == (1, f"Error: There is no run '{tmp_path / 'nowhere'}'.\n")


@pytest.mark.parametrize("status", [401, 404])
def test_stopped_at_once(
    retake: Run, folder: Path, serve: Callable[[Script], Server], status: int
) -> None:
    """A wrong key or model is not tried with every answer; nothing counts as failed."""
    server = serve(in_turn(then=refuses(status, "No such thing.")))
    found = retake(*judge(folder, server))
    assert found.code == 1
    assert f"refuses the request: it answered {status}: No such thing." in found.err
    assert len(server.requests) <= 4
    assert read_judge_failures(folder) == {}


def test_ended_early_but_counted(
    retake: Run, folder: Path, serve: Callable[[Script], Server]
) -> None:
    """What was judged before an error is in the results; what never began changes nothing."""
    server = serve(in_turn(says(), says(), then=refuses(401)))
    assert retake(*judge(folder, server, "--concurrency", "1")).code == 1
    assert _results(folder) == [2]
    (folder / "results.json").unlink()
    with FolderLock(folder):
        found = retake(*judge(folder, server, "--concurrency", "1"))
    assert (found.code, "results.json is left to whoever writes" in found.err) == (1, True)
    assert retake(*judge(folder, server, "--key-variable", "NOT_SET")).code == 2
    assert not (folder / "results.json").exists()


def _results(folder: Path) -> list[int]:
    """How many judged answers are in the results."""
    found = json.loads((folder / "results.json").read_text())
    assert found["metrics"][0]["value"] == pytest.approx(4.0)
    return [each["answers"] for each in found["judged"]]


def _change(path: Path, number: int, **fields: Any) -> None:
    """Change fields of one line."""
    found = lines(path)
    found[number].update(fields)
    path.write_text("".join(json.dumps(line) + "\n" for line in found))
