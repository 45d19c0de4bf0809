"""Videos in archives: unpacked one at a time, and gone afterwards however that comes about."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from retake.core.errors import VideoError
from retake.video import open_video, scratch, unpacked
from retake.video.folder import numbered_pictures
from tests.archives import cut, damage, encrypt, make_tar, make_zip
from tests.miniatures.clips import clip


@pytest.fixture
def room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary files go, empty before and to be empty afterwards."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    scratch._sweep.cache_clear()
    return folder


@pytest.fixture
def movie(tmp_path: Path) -> bytes:
    """A small mp4."""
    return clip(tmp_path / "made" / "movie.mp4").path.read_bytes()


@pytest.fixture
def packed(tmp_path: Path, movie: bytes) -> Path:
    """A zip with a video in a folder."""
    return make_zip(tmp_path / "videos_chunked_01.zip", {"data/abc.mp4": movie, "data/b.mkv": b"1"})


def test_a_plain_path_is_given_back(tmp_path: Path, room: Path) -> None:
    """What is no archive's is not touched, be it there or not."""
    for path in (clip(tmp_path / "a.mp4").path, tmp_path, tmp_path / "none.mp4"):
        with unpacked(path) as real:
            assert real == path
            assert not any(room.iterdir())


def test_from_a_zip(packed: Path, room: Path, movie: bytes) -> None:
    """The file is there for as long as the block lasts, and can be opened as a video."""
    with unpacked(packed / "data" / "abc.mp4") as real:
        assert real.read_bytes() == movie
        assert real.suffix == ".mp4"
        assert room in real.parents
        with open_video(real) as video:
            assert video.info.frame_count == 16
    assert not any(room.iterdir())


def test_from_parts_of_a_tar(tmp_path: Path, room: Path, movie: bytes) -> None:
    """LongVideoBench's videos are read where they are, from parts of one tar."""
    path = make_tar(tmp_path / "videos.tar", {"videos/a.mp4": b"1" * 700, "videos/b.mp4": movie})
    first, *_ = cut(path, "videos.tar.part.aa", "videos.tar.part.ab", "videos.tar.part.ac")
    with unpacked(first / "videos" / "b.mp4") as real:
        assert real.read_bytes() == movie
    assert not any(room.iterdir())


def test_a_folder_of_pictures(tmp_path: Path, room: Path) -> None:
    """A folder in an archive is unpacked as one, with the pictures that lie in it itself."""
    names = [f"data_25fps/abc/{number}.jpg" for number in (2, 10, 1)]
    other = ["data_25fps/abc/deeper/3.jpg", "data_25fps/abc/notes.txt", "data_25fps/abcd/4.jpg"]
    path = make_zip(tmp_path / "v.zip", {name: name.encode() for name in [*names, *other]})
    with unpacked(path / "data_25fps" / "abc") as real:
        assert [file.read_bytes().decode() for file in sorted(real.glob("*.jpg"))] == sorted(names)
    assert not any(room.iterdir())


def test_one_picture_is_a_folder_too(tmp_path: Path, room: Path) -> None:
    """A folder of one picture is yielded as a folder, not as its picture."""
    path = make_zip(tmp_path / "v.zip", {"abc/1.jpg": b"1"})
    with unpacked(path / "abc") as real:
        assert numbered_pictures(real) == [real / "1.jpg"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_gone_after_an_error(packed: Path, room: Path, error: type[BaseException]) -> None:
    """Whatever ends the block, nothing is left."""

    def read() -> None:
        with unpacked(packed / "data" / "abc.mp4") as real:
            assert real.exists()
            raise error

    with pytest.raises(error):
        read()
    assert not any(room.iterdir())


def test_errors_name_the_path_in_the_archive(packed: Path, room: Path) -> None:
    """Nobody knows a temporary file that was removed; messages are about what was asked for."""
    with (
        pytest.raises(VideoError, match=r"videos_chunked_01.zip/data/b.mkv is not a video") as told,
        unpacked(packed / "data" / "b.mkv") as real,
    ):
        open_video(real)
    assert str(room) not in str(told.value)


def test_missing(packed: Path, room: Path) -> None:
    with (
        pytest.raises(VideoError, match=r"There is no 'data/abd.mp4'.*\n.*data/abc.mp4"),
        unpacked(packed / "data" / "abd.mp4"),
    ):
        pytest.fail("nothing was to be unpacked")
    assert not any(room.iterdir())


def test_damaged_and_encrypted(packed: Path, room: Path) -> None:
    """What cannot be unpacked rightly is an error and leaves nothing."""
    damage(packed, "data/abc.mp4")
    with (
        pytest.raises(VideoError, match=r"'data/abc.mp4' in .* is damaged"),
        unpacked(packed / "data" / "abc.mp4"),
    ):
        pytest.fail("a damaged file was unpacked")
    assert not any(room.iterdir())
    encrypt(packed)
    with pytest.raises(VideoError, match="is encrypted"), unpacked(packed / "data" / "abc.mp4"):
        pytest.fail("an encrypted file was unpacked")
    assert not any(room.iterdir())


def test_no_room(packed: Path, room: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is no room, nothing is written, and the message says how much it takes."""
    usage = shutil.disk_usage(room)._replace(free=3)
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage)
    with (
        pytest.raises(VideoError, match=r"No room to unpack .*abc.mp4: it takes 0\.. MiB, and"),
        unpacked(packed / "data" / "abc.mp4"),
    ):
        pytest.fail("there was no room")
    assert not any(room.iterdir())


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_the_disk_fills_up(packed: Path, room: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Room that goes while it is unpacked is an error in words, and what was written is removed."""
    opened = Path.open

    def full(path: Path, mode: str = "r", buffering: int = -1) -> object:
        real, mode = (Path("/dev/full"), "wb") if mode == "xb" else (path, mode)
        return opened(real, mode, buffering)

    monkeypatch.setattr(Path, "open", full)
    with (
        pytest.raises(VideoError, match=r"Cannot unpack 'data/abc.mp4' from .*No space left"),
        unpacked(packed / "data" / "abc.mp4"),
    ):
        pytest.fail("there was no room")
    assert not any(room.iterdir())


def test_tmpdir_must_be_a_folder(packed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A TMPDIR that will not do is not silently replaced by another folder."""
    monkeypatch.setenv("TMPDIR", "/none/at/all")
    with (
        pytest.raises(VideoError, match="TMPDIR is '/none/at/all', which is no folder"),
        unpacked(packed / "data" / "abc.mp4"),
    ):
        pytest.fail("it was unpacked elsewhere")


def test_names_lead_nowhere(tmp_path: Path, room: Path) -> None:
    """An archive whose names lead out of it writes nothing anywhere."""
    path = make_zip(tmp_path / "v.zip", {"../../evil.mp4": b"1", "/evil.mp4": b"2"})
    for name in ("../../evil.mp4", "evil.mp4"):
        with pytest.raises(VideoError), unpacked(Path(f"{path}/{name}")):
            pytest.fail("it was unpacked")
    assert not list(tmp_path.rglob("evil*"))


@pytest.mark.skipif(os.name == "nt", reason="Windows frees nothing that a process holds")
def test_what_a_killed_process_left_is_swept(packed: Path, room: Path, movie: bytes) -> None:
    """What kill -9 leaves is removed by the next process; what is in use is not."""
    code = (
        "import sys, time\nfrom retake.video import unpacked\n"
        "with unpacked(sys.argv[1]) as real:\n print(real, flush=True)\n time.sleep(120)\n"
    )
    words = [sys.executable, "-c", code, str(packed / "data" / "abc.mp4")]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        real = Path(process.stdout.readline().strip())
        with unpacked(packed / "data" / "b.mkv"):
            assert real.read_bytes() == movie
        process.send_signal(signal.SIGKILL)
    assert real.exists()
    scratch._sweep.cache_clear()
    with unpacked(packed / "data" / "b.mkv"):
        assert not real.exists()
    assert not any(room.iterdir())


@pytest.mark.skipif(os.name == "nt", reason="there are no signals of this kind")
def test_interrupted_while_unpacking(tmp_path: Path, room: Path) -> None:
    """Ctrl-C in the middle of a large file leaves nothing."""
    path = make_zip(tmp_path / "v.zip", {"a.mp4": bytes(200 * 2**20)})
    code = "import sys\nfrom retake.video import unpacked\nprint(1, flush=True)\n"
    code += "with unpacked(sys.argv[1]) as real:\n print('whole', flush=True)\n"
    words = [sys.executable, "-c", code, str(path / "a.mp4")]
    pipe = subprocess.PIPE
    with subprocess.Popen(words, stdout=pipe, stderr=pipe, text=True) as process:
        until = time.monotonic() + 120
        while time.monotonic() < until:
            if any(file.stat().st_size for file in room.glob("*/video.mp4")):
                break
            time.sleep(0.005)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert "KeyboardInterrupt" in err
    assert "whole" not in out
    assert not any(room.iterdir())


def test_no_tmpdir(packed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without TMPDIR the system's own folder is taken."""
    monkeypatch.delenv("TMPDIR", raising=False)
    monkeypatch.setattr(tempfile, "tempdir", None)
    with unpacked(packed / "data" / "abc.mp4") as real:
        assert Path(tempfile.gettempdir()) in real.parents
