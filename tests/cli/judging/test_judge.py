"""`retake judge`, with a real endpoint on this machine: what it says, keeps and refuses."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from retake.evaluation.judging.records import read_judge_failures
from retake.evaluation.locking import FolderLock
from tests.cli.conftest import Run
from tests.cli.evaluations import lines
from tests.cli.judging.conftest import judge, results_of
from tests.evaluation.judging.runs import BENCHMARK
from tests.evaluation.judging.server import (
    Answered,
    Request,
    Script,
    Server,
    in_turn,
    refuses,
    says,
)


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
    assert results_of(folder) == [2]
    (folder / "results.json").unlink()
    with FolderLock(folder):
        found = retake(*judge(folder, server, "--concurrency", "1"))
    assert (found.code, "results.json is left to whoever writes" in found.err) == (1, True)
    assert retake(*judge(folder, server, "--key-variable", "NOT_SET")).code == 2
    assert not (folder / "results.json").exists()


def _change(path: Path, number: int, **fields: Any) -> None:
    """Change fields of one line."""
    found = lines(path)
    found[number].update(fields)
    path.write_text("".join(json.dumps(line) + "\n" for line in found))
