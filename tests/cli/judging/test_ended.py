"""`retake judge` as a process that is killed or interrupted: what is kept, and gone on with."""

import signal
import time
from collections.abc import Callable
from pathlib import Path

import attrs
import pytest

from retake.evaluation.judging.records import read_judgements
from tests.cli.conftest import Run
from tests.cli.evaluations import lines
from tests.cli.forking import Started
from tests.cli.judging.conftest import judge, results_of
from tests.evaluation.judging.runs import essays_run
from tests.evaluation.judging.server import Answered, Request, Script, Server, in_turn, says


def wait_for(process: Started, path: Path, count: int) -> None:
    """Wait until so many lines are on the disk."""
    deadline = time.monotonic() + 120
    while not path.exists() or path.read_bytes().count(b"\n") < count:
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.002)


def test_killed_and_gone_on_with(
    tmp_path: Path, process: Run, serve: Callable[[Script], Server]
) -> None:
    """kill -9 in the middle: only what is left is asked, and all is judged once."""
    folder = essays_run(tmp_path / "run", count=80)

    def script(request: Request) -> Answered:
        return attrs.evolve(says(), after=0.0 if request.number <= 20 else 200.0)

    server = serve(script)
    path = folder / "judgements.jsonl"
    running = Started(judge(folder, server, "--no-cache"))
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

    running = Started(judge(folder, serve(script)))
    wait_for(running, folder / "judgements.jsonl", 10)
    running.send_signal(number)
    _, said = running.communicate(timeout=60)
    assert running.returncode == code
    assert len(read_judgements(folder)) == 10
    assert "Traceback" not in said
    assert results_of(folder) == [10]
    kept = "10 of 60 answers are judged and kept; the same command goes on.\n"
    assert said == kept + ("interrupted\n" if number == signal.SIGINT else "")
