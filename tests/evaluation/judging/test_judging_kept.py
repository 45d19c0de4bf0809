"""Judgements that are there: not paid for twice, asked anew where they no longer fit."""

import json
import threading
from pathlib import Path
from typing import Any

import attrs
import pytest

from retake.core.errors import RunFolderError, UsageError
from retake.evaluation.judging.cache import Cache, cache_folder
from retake.evaluation.judging.errors import JudgeError
from retake.evaluation.judging.folder import JudgeFolder
from retake.evaluation.judging.judging import Asked, estimate
from retake.evaluation.judging.planning import cases_of, standing_judgements
from retake.evaluation.judging.records import (
    Judge,
    read_judgements,
)
from retake.evaluation.judging.tally import Listener
from retake.evaluation.locking import FolderLock
from retake.evaluation.records import read_run
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


@pytest.mark.parametrize("limit", [1, 3, 8])
def test_concurrency_is_limited(tmp_path: Path, serve: Serve, quickly: Quickly, limit: int) -> None:
    """So many requests are under way at a time: never more, and so many where there is work."""
    together = threading.Barrier(limit)
    full = threading.Event()

    def script(request: Request) -> Answered:
        if not full.is_set():
            together.wait(timeout=60)
            full.set()
        return refuses(500) if request.number % 5 == 4 else attrs.evolve(says(), after=0.005)

    folder = essays_run(tmp_path / "wide", count=40)
    server = serve(script)
    found = judged(folder, quickly(server, concurrency=limit), Essays(count=40))
    assert server.most == limit
    assert len(found.judgements) == 30
    assert sorted(read_judgements(folder)) == [each.id for each in _essays(40)]


def _essays(count: int) -> list[Any]:
    return [each for each in Essays(count=count).samples() if each.kind == "essay"]


def test_cached_replies_ask_nothing(
    tmp_path: Path, folder: Path, serve: Serve, quickly: Quickly
) -> None:
    """Another run with the same answers is judged by the same replies; another judge is not."""
    server, cache = serve(), Cache(cache_folder())
    judged(folder, quickly(server), cache=cache)
    server.answers(in_turn())
    twin = essays_run(tmp_path / "twin")
    found = judged(twin, quickly(server), cache=cache)
    assert (server.requests, found.tally.cached, found.tally.judged) == ([], 9, 9)
    first, other = read_judgements(folder), read_judgements(twin)
    for name in ESSAYS:
        was = attrs.evolve(first[name], attempts=0, prompt_tokens=0, completion_tokens=0)
        assert other[name] == was
    others = (
        Judge("other"),
        Judge("judge", 0.5),
        Judge("judge", seed=1),
        Judge("judge", max_tokens=9),
    )
    for number, judge in enumerate(others):
        apart = essays_run(tmp_path / f"apart-{number}")
        judged(apart, quickly(server), judge=judge, cache=cache)
        assert len(server.requests) == 9 * (number + 1)
    judged(essays_run(tmp_path / "uncached"), quickly(server))
    assert len(server.requests) == 9 * 5
    assert len([each for each in cache_folder().rglob("*") if each.is_file()]) == 9 * 5


def test_a_damaged_cache_is_asked_around(
    tmp_path: Path, folder: Path, serve: Serve, quickly: Quickly
) -> None:
    """A file that is half there, or no reply, counts as missing, and is written anew."""
    server, cache = serve(), Cache(cache_folder())
    judged(folder, quickly(server), cache=cache)
    files = sorted(each for each in cache_folder().rglob("*.json"))
    whole = files[0].read_bytes()
    for file, content in zip(files, (whole[:40], b"", b"[]", b'{"format": "x"}'), strict=False):
        file.write_bytes(content)
    server.answers(in_turn())
    judged(essays_run(tmp_path / "twin"), quickly(server), cache=cache)
    assert len(server.requests) == 4
    assert {len(each.read_bytes()) for each in files} == {len(whole)}


def test_a_cache_that_cannot_be_written_is_said(
    tmp_path: Path, folder: Path, serve: Serve, quickly: Quickly
) -> None:
    """The judging goes on without it."""
    (tmp_path / "file").write_text("in the way")
    notes: list[str] = []
    listener = _listener(notes)
    found = judged(
        folder, quickly(serve()), cache=Cache(tmp_path / "file" / "judge"), listener=listener
    )
    assert len(found.judgements) == 9
    assert len(notes) == 1
    assert notes[0].startswith("Replies are not kept for other runs: ")


def test_the_same_question_is_paid_once(tmp_path: Path, serve: Serve, quickly: Quickly) -> None:
    """Also where two answers are asked about in the same words at the same time."""
    folder = essays_run(tmp_path / "run")
    server = serve(lambda request: attrs.evolve(says(), after=0.05))
    cache = Cache(cache_folder())
    found = judged(folder, quickly(server, concurrency=4), _Alike(), cache=cache)
    assert (len(server.requests), found.tally.judged, found.tally.cached) == (1, 9, 8)


@attrs.frozen
class _Alike(Essays):
    def judging(self, sample: Any, answer: str) -> Any:
        asked = [{"role": "user", "content": "Anything?"}]
        return asked if super().judging(sample, answer) else None


def test_a_changed_answer_is_asked_about_anew(folder: Path, serve: Serve, quickly: Quickly) -> None:
    """And only that one; its newest judgement counts."""
    server = serve()
    judged(folder, quickly(server))
    path = folder / "samples.jsonl"
    path.write_text(path.read_text().replace(said("q005"), "Nobody is there."))
    server.answers(in_turn(then=says('{"accuracy": 1, "style": 1}')))
    found = judged(folder, quickly(server))
    assert [request.text for request in server.requests] == ["Essay 5?\nNobody is there."]
    assert found.judgements["q005"].aspects == {"accuracy": 1.0, "style": 1.0}
    assert read_judgements(folder) == dict(found.judgements)


def test_what_stands(folder: Path, serve: Serve, quickly: Quickly) -> None:
    """Judgements of an answer or a rubric that changed since do not count, unasked as they are."""
    judged(folder, quickly(serve()))
    every = read_judgements(folder)
    assert standing_judgements(read_run(folder), Essays()) == every
    path = folder / "samples.jsonl"
    path.write_text(path.read_text().replace(said("q005"), "Nobody is there."))
    changed = read_run(folder)
    assert standing_judgements(changed, Essays()).keys() == every.keys() - {"q005"}
    assert standing_judgements(changed, Essays(rubric="Be strict.")) == {}
    few = attrs.evolve(changed, samples=changed.samples[:5])
    assert [*standing_judgements(few, Essays())] == ["q000", "q001", "q002", "q004"]


def test_what_cannot_be_checked_stands(folder: Path, serve: Serve, quickly: Quickly) -> None:
    """Where the benchmark's files are not at hand, or it has a sample no more."""
    judged(folder, quickly(serve()))
    every = read_judgements(folder)
    for error in (UsageError("no such folder"), FileNotFoundError("tasks.json")):
        assert standing_judgements(read_run(folder), _Gone(error=error)) == every
    assert standing_judgements(read_run(folder), Essays(count=4)) == every


@attrs.frozen
class _Gone(Essays):
    error: Exception | None = None

    def samples(self) -> list[Any]:
        assert self.error is not None
        raise self.error


def test_a_changed_rubric_is_asked_anew(folder: Path, serve: Serve, quickly: Quickly) -> None:
    server = serve()
    judged(folder, quickly(server))
    found = judged(folder, quickly(server), Essays(rubric="Be strict."))
    assert len(server.requests) == 18
    assert {each.rubric_sha256 for each in found.judgements.values()} != {None}


@pytest.mark.parametrize(
    ("judge", "said"),
    [
        (Judge("other"), "model: was judge, is other"),
        (Judge("judge", 1.0), "temperature: was 0.0, is 1.0"),
        (Judge("judge", seed=3), "seed: was none, is 3"),
        (Judge("judge", max_tokens=64), "max_tokens: was none, is 64"),
    ],
    ids=["model", "temperature", "seed", "max-tokens"],
)
def test_another_judge_is_refused_and_may_begin_anew(
    folder: Path, serve: Serve, quickly: Quickly, judge: Judge, said: str
) -> None:
    """Marks of two judges are not mixed; those of the first are set aside, not lost."""
    server = serve()
    judged(folder, quickly(server))
    before = (folder / "judgements.jsonl").read_bytes()
    for refused in (judged, _estimated):
        with pytest.raises(UsageError, match=f"another judge: {said}") as caught:
            refused(folder, quickly(server), judge=judge)
        assert "--anew" in str(caught.value)
    assert len(server.requests) == 9
    for number in (1, 2):
        found = judged(folder, quickly(server), judge=judge, anew=True)
        assert len(server.requests) == 9 * (number + 1)
        assert {each.judge for each in found.judgements.values()} == {judge}
        aside = f"judgements.before-{number}.jsonl"
        assert found.notes == (f"judgements.jsonl is {aside} now",)
        assert (folder / aside).exists()
    assert (folder / "judgements.before-1.jsonl").read_bytes() == before


def _estimated(folder: Path, asked: Asked, judge: Judge) -> Any:
    return estimate(read_run(folder), Essays(), judge, asked)


def test_another_host_is_said(folder: Path, serve: Serve, quickly: Quickly) -> None:
    """A server that moved goes on; each line says where it was judged."""
    first = serve(in_turn(*[says()] * 4, then=refuses(401)))
    with pytest.raises(JudgeError):
        judged(folder, quickly(first))
    second, notes = serve(), list[str]()
    found = judged(folder, quickly(second), listener=_listener(notes))
    assert notes == [f"Judgements that are there are from {first.host}; {second.host} goes on."]
    hosts = [each.host for each in found.judgements.values()]
    assert hosts == [first.host] * 4 + [second.host] * 5


def test_a_seed_moves_on(folder: Path, serve: Serve, quickly: Quickly) -> None:
    """The same seed would only bring the same useless reply back."""
    server = serve(in_turn(says("?"), says("?")))
    judge = Judge("judge", temperature=0.7, seed=10, max_tokens=50)
    judged(folder, quickly(server), judge=judge)
    assert [request.body["seed"] for request in server.requests[:4]] == [10, 11, 12, 10]
    assert {request.body["max_tokens"] for request in server.requests} == {50}
    assert {request.body["temperature"] for request in server.requests} == {0.7}


def test_a_run_in_progress(tmp_path: Path, serve: Serve, quickly: Quickly) -> None:
    """What is answered is judged; later the rest."""
    server = serve()
    early = essays_run(tmp_path / "run", answered=5)
    found = judged(early, quickly(server))
    assert sorted(found.judgements) == ["q000", "q001", "q002", "q004"]
    late = essays_run(tmp_path / "late")
    (early / "samples.jsonl").write_bytes((late / "samples.jsonl").read_bytes())
    judged(early, quickly(server))
    assert len(server.requests) == 9


def test_one_writer(folder: Path, serve: Serve, quickly: Quickly) -> None:
    """A second judge is refused; the run itself may be written at the same time."""
    said = "is being judged by another process"
    with JudgeFolder(folder, JUDGE), pytest.raises(RunFolderError, match=said):
        judged(folder, quickly(serve()))
    with FolderLock(folder):
        assert len(judged(folder, quickly(serve())).judgements) == 9


def test_half_a_line_is_repaired(folder: Path, serve: Serve, quickly: Quickly) -> None:
    """What a cut left is dropped, said, and asked anew."""
    server = serve()
    judged(folder, quickly(server))
    path = folder / "judgements.jsonl"
    path.write_bytes(path.read_bytes()[:-7])
    server.answers(in_turn())
    found = judged(folder, quickly(server))
    assert found.notes == ("judgements.jsonl: the last line was half-written and was dropped",)
    assert [request.text for request in server.requests] == [f"Essay 10?\n{said('q010')}"]
    assert len(path.read_text().splitlines()) == 9


def test_estimating_asks_nothing(folder: Path, serve: Serve, quickly: Quickly) -> None:
    """Nothing is asked or written, and no key is needed."""
    server, cache = serve(in_turn(*[says()] * 3, then=refuses(401))), Cache(cache_folder())
    with pytest.raises(JudgeError):
        judged(folder, quickly(server), cache=cache)
    before = {each: each.read_bytes() for each in folder.rglob("*") if each.is_file()}
    run, asked = read_run(folder), attrs.evolve(quickly(server), key_variable="NOT_SET")
    server.answers(in_turn())
    found = estimate(run, Essays(), JUDGE, asked, cache=cache)
    sizes = [case.characters for case in cases_of(run, Essays())]
    assert (found.cases, found.judged, found.cached, found.requests) == (9, 3, 0, 6)
    assert found.characters == sum(sizes[3:])
    anew = estimate(run, Essays(), JUDGE, asked, cache=cache, anew=True)
    assert (anew.judged, anew.cached, anew.requests) == (0, 3, 6)
    assert server.requests == []
    assert {each: each.read_bytes() for each in folder.rglob("*") if each.is_file()} == before


def test_the_key_is_nowhere(folder: Path, serve: Serve, quickly: Quickly) -> None:
    """Not where the endpoint quotes it: in replies, refusals, or the model's name."""

    def script(request: Request) -> Answered:
        if request.number == 1:
            return refuses(500, f"Who is {KEY}?")
        if request.number == 2:
            return says(f"Not {KEY}.")
        if request.number == 3:
            return refuses(400, f"Bad {KEY}")
        answer = json.loads(says(f"{KEY} {GOOD}").body)
        return sends({**answer, "model": f"m-{KEY}"})

    notes: list[str] = []
    listener = _listener(notes)
    found = judged(folder, quickly(serve(script)), cache=Cache(cache_folder()), listener=listener)
    assert (len(found.judgements), len(found.failures)) == (8, 1)
    assert notes == ["q000: it answered 500: Who is [key]?"]
    files = [*folder.rglob("*"), *cache_folder().rglob("*")]
    texts = [each.read_text() for each in files if each.is_file()]
    assert sum("[key]" in text for text in texts) == 2 + 8
    assert not any(KEY in text for text in texts)
    assert KEY not in repr(found)


def test_halves_of_characters_are_replaced(folder: Path, serve: Serve, quickly: Quickly) -> None:
    """A model may answer half a surrogate pair, which no request can carry; a reply may, too."""
    path = folder / "samples.jsonl"
    path.write_text(path.read_text().replace(said("q000"), "\\ud83d and \\ud83d\\ude00"))
    server = serve(in_turn(says(f"\udc00 {GOOD}")))
    found = judged(folder, quickly(server))
    assert server.requests[0].text == "Essay 0?\n\ufffd and \U0001f600"
    assert len(found.judgements) == 9
    assert found.judgements["q000"].aspects["accuracy"] == 4.0


def _listener(notes: list[str]) -> Any:
    class Noting(Listener):
        def note(self, text: str) -> None:
            notes.append(text)

        def waits(self, sample: str, reason: str, seconds: float) -> None:
            notes.append(f"{sample}: {reason}")

    return Noting()
