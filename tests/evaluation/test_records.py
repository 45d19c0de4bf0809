"""A run's folder: whatever cuts it off, nothing is lost, counted twice or taken for another."""

import json
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import attrs
import pytest

from retake.core.errors import RunFolderError, UsageError
from retake.core.memory import StageCost
from retake.evaluation.folder import RunFolder, check_place
from retake.evaluation.journal import Journal
from retake.evaluation.records import Session, read_run
from tests.evaluation.making import answered, begun, header, memory, samples


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run of six samples, of which four are answered."""
    return begun(tmp_path / "run")


def test_what_is_written_is_read(run: Path) -> None:
    """Every record as it was, in order."""
    found = read_run(run)
    assert found.header == header()
    assert found.samples == (
        *(answered(sample) for sample in samples()[:3]),
        answered(samples()[3], 2, 0.0),
    )
    assert [(each.watch, each.video, each.question) for each in found.videos] == [
        (1, "v0.mp4", None),
        (2, "v1.mp4", "Question 0?"),
    ]
    assert found.videos[0].frames == memory().frames
    assert found.videos[0].compression == memory().compression
    assert found.videos[0].costs == (StageCost("decode", 1.0, 5, None, 0.5), *memory().costs[1:])
    assert (found.complete, found.failures, found.notes) == (False, (), ())
    assert json.loads((run / "run.json").read_text())["format"] == "retake.run-folder/2"


def test_reading_while_it_is_written(tmp_path: Path) -> None:
    """Another process may look at any moment; nothing is changed by it."""
    folder = tmp_path / "run"
    with RunFolder(folder, header()) as made:
        assert read_run(folder).samples == ()
        watch = made.add_video(Path("v0.mp4"), None, memory())
        made.add_sample(answered(samples()[0], watch))
        with (folder / "samples.jsonl").open("ab") as file:
            file.write(b'{"id": "half')
        before = {path.name: path.read_bytes() for path in folder.iterdir()}
        assert len(read_run(folder).samples) == 1
        assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.parametrize("name", ["samples.jsonl", "videos.jsonl", "sessions.jsonl"])
def test_cut_off_anywhere(run: Path, name: str) -> None:
    """A file may end at any byte of its last line: what is whole counts, and that is said."""
    path = run / name
    whole = path.read_bytes()
    lines = whole.splitlines(keepends=True)
    ends = len(whole) - len(lines[-1])
    if name == "videos.jsonl":  # then nothing can rest on it
        samples_path = run / "samples.jsonl"
        kept = samples_path.read_bytes().splitlines(keepends=True)[:-1]
        samples_path.write_bytes(b"".join(kept))
    for length in {ends + 1, (ends + len(whole)) // 2, len(whole) - 1}:
        path.write_bytes(whole[:length])
        found = read_run(run)
        assert found.notes == (f"{name}: the last line was half-written and was dropped",)
        with RunFolder(run, header(), resume=True) as again:
            assert again.found.notes == found.notes
            assert again.notes[: len(found.notes)] == found.notes
        assert path.read_bytes()[:ends] == whole[:ends]
        assert path.read_bytes().endswith(b"\n") or not path.read_bytes()
        assert read_run(run).notes == ()
        assert read_run(run).sessions[-1].repaired == found.notes
        path.write_bytes(whole)


def test_repaired_and_gone_on_with(run: Path) -> None:
    """The dropped sample is to be answered again; the others are not."""
    path = run / "samples.jsonl"
    path.write_bytes(path.read_bytes()[:-20])
    with RunFolder(run, header(), resume=True) as again:
        assert again.answered == {sample.id for sample in samples()[:3]}
        watch = again.add_video(Path("v1.mp4"), None, memory("b" * 64))
        assert watch == 3
        for sample in samples()[3:]:
            again.add_sample(answered(sample, watch))
    found = read_run(run)
    assert [sample.id for sample in found.samples] == [sample.id for sample in samples()]
    assert found.complete
    assert [session.first_watch for session in found.sessions] == [1, 3]
    assert all(isinstance(session, Session) for session in found.sessions)


def _spoil(run: Path, name: str, number: int, change: Any) -> None:
    """Change one line of a journal."""
    path = run / name
    lines = path.read_bytes().split(b"\n")
    lines[number - 1] = change(lines[number - 1])
    path.write_bytes(b"\n".join(lines))


def _with(**changes: Any) -> Any:
    return lambda line: json.dumps({**json.loads(line), **changes}).encode()


@pytest.mark.parametrize(
    ("name", "number", "change", "says"),
    [
        ("samples.jsonl", 2, lambda line: line[:30], "it is no JSON object"),
        ("samples.jsonl", 4, lambda line: line[:30], "it is no JSON object"),
        ("samples.jsonl", 1, lambda line: b"", "it is no JSON object"),
        ("samples.jsonl", 1, lambda line: b"[1, 2]", "it is no JSON object"),
        ("samples.jsonl", 1, lambda line: b"\x00" * 9, "it is no JSON object"),
        ("samples.jsonl", 3, _with(score="high"), "high"),
        ("samples.jsonl", 3, _with(colour="red"), "colour"),
        ("samples.jsonl", 3, _with(id="v0-q0"), "'v0-q0' is there already, in line 1"),
        ("samples.jsonl", 2, _with(watch=7), "rests on watch 7"),
        ("samples.jsonl", 2, _with(watch=0), "rests on watch 0"),
        ("videos.jsonl", 2, _with(watch=1), "it is watch 1, where 2 should be"),
        ("videos.jsonl", 1, lambda line: b"null", "it is no JSON object"),
        ("videos.jsonl", 1, _with(compression=None), "line 1"),
    ],
)
def test_damage_names_file_and_line(
    run: Path, name: str, number: int, change: Any, says: str
) -> None:
    """What no interruption leaves is an error, for readers and for --resume, and stays as it is."""
    _spoil(run, name, number, change)
    before = (run / name).read_bytes()
    for attempt in (lambda: read_run(run), lambda: RunFolder(run, header(), resume=True)):
        with pytest.raises(RunFolderError, match="is damaged") as caught:
            attempt()
        assert f"'{run / name}' is damaged in line {number}: " in caught.value.message
        assert says in caught.value.message
    assert (run / name).read_bytes() == before


def test_more_samples_than_there_are(run: Path) -> None:
    """A run of six has no seventh."""
    with RunFolder(run, header(), resume=True) as again:
        extra = attrs.evolve(answered(samples()[4]), watch=2)
        for name in ("a", "b", "c"):
            again.add_sample(attrs.evolve(extra, id=name))
    with pytest.raises(RunFolderError, match=r"line 7: the run has 6 samples, no more"):
        read_run(run)


def test_a_sample_is_noted_once(run: Path) -> None:
    """Noting it again is refused before it is written."""
    before = (run / "samples.jsonl").read_bytes()
    with (
        RunFolder(run, header(), resume=True) as again,
        pytest.raises(RunFolderError, match="'v0-q1' is in"),
    ):
        again.add_sample(answered(samples()[1]))
    assert (run / "samples.jsonl").read_bytes() == before


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "holds samples, but its run.json is missing"),
        (b"", "is not JSON"),
        (b'{"format": "retake', "is not JSON"),
        (b"[]", "is no JSON object"),
        (b"{}", "its format is None, not retake.run-folder/2"),
        (b'{"format": "retake.run-folder/3"}', "newer retake: its format is retake.run-folder/3"),
        (b'{"format": "retake.run-folder/1"}', "is damaged"),
        (b'{"format": "retake.run-folder/2"}', "is damaged"),
    ],
)
def test_run_json(run: Path, content: bytes | None, says: str) -> None:
    """Missing, cut off, of something else, or of a later version."""
    path = run / "run.json"
    path.unlink() if content is None else path.write_bytes(content)
    for attempt in (lambda: read_run(run), lambda: RunFolder(run, header(), resume=True)):
        with pytest.raises(RunFolderError) as caught:
            attempt()
        assert says in caught.value.message
        assert str(run) in caught.value.message


def test_no_run(tmp_path: Path) -> None:
    """No folder, an empty one, or a file."""
    (tmp_path / "file").write_text("")
    for place, says in (("none", "There is no run"), ("", "is no run"), ("file", "is no run")):
        with pytest.raises(RunFolderError, match=says):
            read_run(tmp_path / place)


def test_a_folder_of_something_else(tmp_path: Path, run: Path) -> None:
    """Nothing is written among other things, over a run, or where there is no folder."""
    (tmp_path / "thesis.tex").write_text("\\begin")
    (tmp_path / "file").write_text("")
    (tmp_path / "empty").mkdir()
    for place, says in (
        (tmp_path, "holds other things (empty, file, run, ...)"),
        (tmp_path / "file", "is a file"),
        (tmp_path / "none" / "run", "there is no folder"),
        (run, "holds a run already, begun 2026-01-01"),
    ):
        with pytest.raises(UsageError) as caught:
            RunFolder(place, header())
        assert says in caught.value.message
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "empty",
        "file",
        "run",
        "thesis.tex",
    ]
    RunFolder(tmp_path / "empty", header()).close()


def test_killed_while_it_was_begun(tmp_path: Path) -> None:
    """What is left then is not in the way."""
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / ".lock").write_text("process 1 on here\n")
    (tmp_path / "run" / ".run-0a1b.part").write_text("{")
    for resume in (False, True):
        RunFolder(tmp_path / "run", header(), resume=resume).close()
        (tmp_path / "run" / "run.json").unlink()
        (tmp_path / "run" / "sessions.jsonl").unlink()


def test_a_folder_nobody_may_write() -> None:
    """The system's reason is given; in /proc not even root makes one."""
    with pytest.raises(UsageError, match=r"Cannot make the folder '/proc/run': \w+"):
        RunFolder(Path("/proc/run"), header())


@pytest.mark.parametrize("place", ["new", "there"])
def test_a_folder_that_is_read_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    """Found out before anything is made for the run."""
    (tmp_path / "there").mkdir()
    monkeypatch.setattr("os.access", lambda path, mode: False)
    with pytest.raises(UsageError, match="Nothing can be written in the folder"):
        check_place(tmp_path / place, resume=False)


def test_two_writers(run: Path) -> None:
    """The second is refused, and told which process is the first; readers are not."""
    with (
        RunFolder(run, header(), resume=True),
        pytest.raises(RunFolderError, match=f"by another process .process {os.getpid()} on"),
    ):
        RunFolder(run, header(), resume=True)
    RunFolder(run, header(), resume=True).close()


_HOLD = """
import sys, time
from pathlib import Path
from retake.evaluation.locking import FolderLock
lock = FolderLock(Path(sys.argv[1]))
print("held", flush=True)
time.sleep(100)
"""


def test_the_lock_of_a_dead_process(run: Path) -> None:
    """One that was killed holds nothing, though its file is there."""
    line = [sys.executable, "-c", _HOLD, str(run)]
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(RunFolderError, match=f"process {other.pid} on"):
            RunFolder(run, header(), resume=True)
        other.send_signal(signal.SIGKILL)
    assert (run / ".lock").exists()
    RunFolder(run, header(), resume=True).close()


def test_full_disk(tmp_path: Path) -> None:
    """A line that does not fit is not there at all, and what was before it is."""
    journal = Journal(tmp_path / "lines.jsonl")
    journal.append({"number": 1})
    before = journal.path.read_bytes()
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200, old[1]))
    try:
        with pytest.raises(RunFolderError, match=r"Cannot write .* File too large") as caught:
            journal.append({"text": "x" * 500})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
    assert "--resume" in (caught.value.hint or "")
    assert journal.path.read_bytes() == before
    journal.append({"number": 2})
    assert journal.read() == ([{"number": 1}, {"number": 2}], [])


def test_failures_stand_until_they_are_answered(run: Path) -> None:
    """Of a video the newest counts, and of it what is still unanswered."""
    left = [sample.id for sample in samples()[4:]]
    with RunFolder(run, header(), resume=True) as again:
        again.add_failure(Path("v1.mp4"), left, "first")
        again.add_failure(Path("v1.mp4"), left, "second")
        [failure] = read_run(run).failures
        assert (failure.reason, failure.samples, read_run(run).failed) == ("second", tuple(left), 2)
        again.add_sample(answered(samples()[4], 2))
        [failure] = read_run(run).failures
        assert failure.samples == (left[1],)
        again.add_sample(answered(samples()[5], 2))
    assert read_run(run).failures == ()
    assert read_run(run).complete


def test_a_video_that_changed(run: Path) -> None:
    """Answers about two videos are not mixed under one name."""
    with RunFolder(run, header(), resume=True) as again:
        again.add_video(Path("v0.mp4"), None, memory())
        with pytest.raises(RunFolderError, match="its content has changed"):
            again.add_video(Path("v0.mp4"), None, memory("c" * 64))
    assert len(read_run(run).videos) == 3
