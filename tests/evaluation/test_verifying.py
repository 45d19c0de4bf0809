"""Verifying a benchmark: every fault is found, nothing sound is suspected, nothing hangs."""

import os
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

import attrs
import pytest
from PIL import Image

from retake.core.benchmark import Benchmark, Count, Holding, Sample
from retake.core.errors import UsageError
from retake.evaluation.soundness import StoppedError, check
from retake.evaluation.verifying import Checked, Verification, verify
from tests.archives import cut, damage, make_tar, make_zip
from tests.miniatures.clips import clip
from tests.video.broken import make_corrupt


@attrs.frozen
class Files(Benchmark):
    """A benchmark that is little but its files."""

    root: str
    held: tuple[Holding, ...] = ()
    questions: int = 1
    published: int | None = None

    def samples(self) -> Sequence[Sample]:
        video = Path(self.root) / "a.mp4"
        return [Sample(str(n), video, "What?", "A", "one") for n in range(self.questions)]

    def counts(self) -> Mapping[str, Count]:
        found = super().counts()
        return {**found, "questions": attrs.evolve(found["questions"], published=self.published)}

    def mark(self, sample: Sample, answer: str) -> float:
        return 0.0

    def holdings(self) -> Sequence[Holding]:
        return self.held


def of(root: Path, *held: Holding) -> Files:
    return Files(str(root), held)


def videos(root: Path, *names: str, **given: float) -> Files:
    return of(root, *(Holding(name, root / name, "video", **given) for name in names))


def only(found: Verification) -> Checked:
    """The one file that was looked at."""
    assert len(found.checked) == 1
    return found.checked[0]


@pytest.mark.parametrize("deep", [False, True])
def test_sound(tmp_path: Path, deep: bool) -> None:
    """What is sound is found so, however deep one looks, with its size and length."""
    made = clip(tmp_path / "a.mp4", seconds=8)
    (tmp_path / "a.srt").write_text("1\n00:00:01,000 --> 00:00:02,000\nhello\n")
    (tmp_path / "a.json").write_text('{"any": "layout"}')
    (tmp_path / "a.jsonl").write_text('{"a": 1}\n')
    make_zip(tmp_path / "a.zip", {"x": b"1"})
    benchmark = of(
        tmp_path,
        Holding("a.mp4", tmp_path / "a.mp4", "video", seconds=8.5),
        Holding("a.srt", tmp_path / "a.srt", "subtitles"),
        Holding("a.json", tmp_path / "a.json", "annotations"),
        Holding("a.jsonl", tmp_path / "a.jsonl", "annotations"),
        Holding("a.zip", tmp_path / "a.zip", "archive"),
    )
    told: list[tuple[int, int]] = []
    found = verify(benchmark, deep=deep, progress=lambda *counts: told.append(counts))
    assert [(one.state, one.reason) for one in found.checked] == [("sound", "")] * 5
    assert (found.checked[0].bytes, found.checked[0].seconds) == (made.bytes, 8)
    assert found.is_complete
    assert not found.surplus
    assert told == [(number, 5) for number in range(1, 6)]


@pytest.mark.parametrize(
    ("name", "content", "what", "reason"),
    [
        ("a.mp4", b"", "video", r"is empty \(0 bytes\)"),
        ("a.mp4", b"\0" * 5000, "video", "is not a video that can be read"),
        ("a.mp4", b"<!DOCTYPE html><html>sign in</html>", "video", "is a web page, not a video"),
        ("a.mp4", b"version https://git-lfs.github.com/spec/v1\n", "video", "pointer of Git LFS"),
        ("a.srt", b"\xff\xfe\x00", "subtitles", "it is UTF-16"),
        ("a.json", b'[{"id": ', "annotations", "is no JSON at line 1"),
        ("a.jsonl", b'{"id": 1}\n{"id', "annotations", "is no JSON at line 2"),
        ("a.parquet", b"PAR1", "annotations", "is damaged"),
        ("a.zip", b"PK", "archive", "is damaged"),
        ("a.json", b"", "annotations", r"is empty \(0 bytes\)"),
    ],
)
def test_corrupt(tmp_path: Path, name: str, content: bytes, what: str, reason: str) -> None:
    """Every kind of file that is not what it should be is told with the reason."""
    (tmp_path / name).write_bytes(content)
    one = only(verify(of(tmp_path, Holding(name, tmp_path / name, what))))
    assert one.state == "corrupt"
    with pytest.raises(UsageError, match=reason):
        raise UsageError(one.reason)


def test_a_video_cut_off(tmp_path: Path) -> None:
    """A download that stopped, at whatever point, is corrupt."""
    content = clip(tmp_path / "a.mp4").path.read_bytes()
    for share in (0.1, 0.5, 0.9, 0.99):
        (tmp_path / "a.mp4").write_bytes(content[: int(len(content) * share)])
        assert only(verify(videos(tmp_path, "a.mp4"))).state == "corrupt"


def test_frames_damaged(tmp_path: Path) -> None:
    """Damage in the middle of a video is what a deep look is for."""
    made = clip(tmp_path / "made.mp4", seconds=16)
    make_corrupt(tmp_path / "a.mp4", made.path, [10])
    assert only(verify(videos(tmp_path, "a.mp4"))).state == "sound"
    one = only(verify(videos(tmp_path, "a.mp4"), deep=True))
    assert one.state == "corrupt"
    assert "of 32 frames" in one.reason
    assert "the first of them at 5.00 s" in one.reason


def test_missing(tmp_path: Path) -> None:
    """What is missing, with its folder or archive, is told; if not needed, it is no fault."""
    found = verify(videos(tmp_path, "a.mp4", "none/b.mp4", "none.zip/data/c.mp4"))
    assert [one.state for one in found.checked] == ["missing"] * 3
    assert str(tmp_path / "none.zip" / "data" / "c.mp4") in found.checked[2].reason
    assert not found.is_complete
    assert verify(videos(tmp_path, "a.mp4", needed=False)).is_complete


@pytest.mark.parametrize(
    ("said", "state"),
    [(None, "sound"), (9.9, "sound"), (10.2, "short"), (6.1, "sound"), (5, "long")],
)
def test_length(tmp_path: Path, said: float | None, state: str) -> None:
    """Two seconds, or a fiftieth, make no difference; more is told, and is no reason not to run."""
    clip(tmp_path / "a.mp4", seconds=8)
    found = verify(of(tmp_path, Holding("a", tmp_path / "a.mp4", "video", seconds=said)))
    assert only(found).state == state
    assert found.is_complete


def test_a_folder_of_pictures(tmp_path: Path) -> None:
    """A folder of numbered pictures is a video; with a gap, or something else in it, it is not."""
    folder = tmp_path / "abc"
    folder.mkdir()
    for number in range(4):
        Image.new("RGB", (16, 16)).save(folder / f"{number}.png")
    assert only(verify(videos(tmp_path, "abc", seconds=600))).state == "sound"
    (folder / "2.png").write_bytes(b"no picture")
    assert only(verify(videos(tmp_path, "abc"))).state == "sound"
    assert "cannot be decoded" in only(verify(videos(tmp_path, "abc"), deep=True)).reason
    (folder / "2.png").unlink()
    assert "numbered frames are missing" in only(verify(videos(tmp_path, "abc"))).reason


@pytest.mark.parametrize("parts", [(), ("v.tar.part.aa", "v.tar.part.ab")])
def test_in_archives(tmp_path: Path, parts: tuple[str, ...]) -> None:
    """Files in archives are seen; looked at deeply they are unpacked, and nothing is left."""
    movie = clip(tmp_path / "made.mp4").path
    files = {
        "data/a.mp4": movie.read_bytes(),
        "data/b.mp4": movie.read_bytes()[:-2000],
        "data/c.mp4": b"",
        "data/d.mp4": b"no video at all",
    }
    path = make_tar(tmp_path / "v.tar", files) if parts else make_zip(tmp_path / "v.zip", files)
    archive = cut(path, *parts)[0] if parts else path
    movie.unlink()
    names = [f"{archive.name}/data/{letter}.mp4" for letter in "abcde"]
    found = verify(videos(tmp_path, *names))
    states = [one.state for one in found.checked]
    assert states == ["sound", "sound", "corrupt", "corrupt", "missing"]
    assert "begins like no video" in found.checked[3].reason
    assert [one.opened for one in found.checked[:2]] == [False, False]
    deep = verify(videos(tmp_path, *names), deep=True)
    assert [one.state for one in deep.checked] == ["sound", *["corrupt"] * 3, "missing"]
    assert f"{archive.name}/data/b.mp4" in deep.checked[1].reason
    assert deep.checked[0].opened
    assert deep.checked[0].seconds == 8
    assert deep.checked[0].bytes == len(files["data/a.mp4"])


def test_damage_in_a_zip(tmp_path: Path) -> None:
    """A wrong check sum is found by a deep look at the video, and at the archive."""
    movie = clip(tmp_path / "made" / "made.mp4").path.read_bytes()
    path = make_zip(tmp_path / "v.zip", {"a.mp4": movie})
    damage(path, "a.mp4")
    for held in (
        Holding("a.mp4", path / "a.mp4", "video"),
        Holding("v.zip", path, "archive"),
    ):
        assert verify(of(tmp_path, held)).is_complete
        assert "is damaged" in only(verify(of(tmp_path, held), deep=True)).reason


def test_subtitles_in_a_zip_are_read(tmp_path: Path) -> None:
    good = b"1\n00:00:01,000 --> 00:00:02,000\nhello\n"
    path = make_zip(tmp_path / "s.zip", {"s/a.srt": good, "s/b.srt": b"hello"})
    held = [Holding(name, path / "s" / name, "subtitles") for name in ("a.srt", "b.srt")]
    found = verify(of(tmp_path, *held))
    assert [one.state for one in found.checked] == ["sound", "corrupt"]


def test_surplus_and_unreadable(tmp_path: Path) -> None:
    """What else is there is listed with its size; archives that cannot be read are told."""
    for name in ("a.mp4", "b.mp4"):
        clip(tmp_path / name)
    make_zip(tmp_path / "idle.zip", {"a.mp4": b"1"})
    (tmp_path / "cut.zip").write_bytes(b"PK")
    (tmp_path / "README.md").write_text("hello")
    found = verify(videos(tmp_path, "a.mp4"))
    names = {one.path.name: one.bytes for one in found.surplus}
    assert names == {
        "b.mp4": (tmp_path / "b.mp4").stat().st_size,
        "idle.zip": (tmp_path / "idle.zip").stat().st_size,
    }
    assert [path.name for path, _ in found.unreadable] == ["cut.zip"]
    assert found.is_complete


def test_a_file_named_twice_is_looked_at_once(tmp_path: Path) -> None:
    """And is needed where it is for anything."""
    path = tmp_path / "a.mp4"
    held = [Holding("a", path, "video", needed) for needed in (False, True, False)]
    found = verify(of(tmp_path, *held))
    assert only(found).holding.needed
    assert not found.is_complete


def test_a_benchmark_without_files(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is nothing to verify"):
        verify(of(tmp_path))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes of that kind")
@pytest.mark.parametrize("what", ["video", "annotations", "subtitles", "archive"])
@pytest.mark.parametrize("suffix", [".mp4", ".json", ".srt", ".zip"])
def test_a_pipe_is_not_waited_for(tmp_path: Path, what: str, suffix: str) -> None:
    """Reading a pipe could take for ever; it is refused unread."""
    path = tmp_path / f"pipe{suffix}"
    os.mkfifo(path)
    one = only(verify(of(tmp_path, Holding("pipe", path, what)), deep=True))
    assert one.state == "corrupt"
    assert "pipe" in one.reason


def test_a_deep_look_can_be_stopped(tmp_path: Path) -> None:
    """Once nobody wants it, decoding ends within a batch."""
    clip(tmp_path / "a.mp4")
    stop = threading.Event()
    stop.set()
    with pytest.raises(StoppedError):
        check(Holding("a", tmp_path / "a.mp4", "video"), deep=True, stop=stop)


def test_interrupted(tmp_path: Path) -> None:
    """Ctrl-C ends it, and what was not begun is not."""
    names = [f"{number}.mp4" for number in range(30)]
    for name in names:
        clip(tmp_path / name)
    told: list[int] = []

    def interrupt(done: int, _: int) -> None:
        told.append(done)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        verify(videos(tmp_path, *names), deep=True, progress=interrupt)
    assert told == [1]
    assert not [one for one in threading.enumerate() if one.name.startswith("retake-verify")]


@pytest.mark.parametrize("published", [None, 2, 900])
def test_how_much_there_is(tmp_path: Path, published: int | None) -> None:
    """Another number than was published is told, and is no reason not to run."""
    clip(tmp_path / "a.mp4")
    held = (Holding("a", tmp_path / "a.mp4", "video"),)
    found = verify(Files(str(tmp_path), held, questions=2, published=published))
    assert found.counts == {"questions": Count(2, published), "videos": Count(1)}
    assert list(found.not_as_published) == (["questions"] if published == 900 else [])
    assert found.is_complete


def test_no_questions(tmp_path: Path) -> None:
    """Annotations without any are as good as none."""
    (tmp_path / "a.json").write_text("[]")
    held = (Holding("a.json", tmp_path / "a.json", "annotations"),)
    found = verify(Files(str(tmp_path), held, questions=0))
    assert not found.is_complete
    assert only(found).state == "corrupt"
    assert "There are no questions in " in only(found).reason


def test_what_cannot_be_counted(tmp_path: Path) -> None:
    """A benchmark whose samples need what is missing is looked at all the same."""

    class Incomplete(Files):
        def samples(self) -> Sequence[Sample]:
            raise UsageError("There are no subtitles.")

    held = (Holding("a", tmp_path / "a.mp4", "video"),)
    found = verify(Incomplete(str(tmp_path), held))
    assert (found.counts, only(found).state) == ({}, "missing")


@pytest.mark.parametrize(
    ("text", "reason"),
    [("[" * 100_000 + "]" * 100_000, "nested too deeply"), (f"[{'9' * 5000}]", "of digits")],
)
@pytest.mark.parametrize("what", ["annotations", "subtitles"])
def test_json_that_python_does_not_read(tmp_path: Path, text: str, reason: str, what: str) -> None:
    path = tmp_path / "a.json"
    path.write_text(text)
    one = only(verify(of(tmp_path, Holding("a", path, what))))
    assert one.state == "corrupt"
    assert reason in one.reason
