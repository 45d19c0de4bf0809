"""The background hash: right, told of changes, and gone when it is not wanted."""

import hashlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from retake.core.errors import VideoError
from retake.core.memory import Source
from retake.video import source
from retake.video.source import SourceDigest
from tests.video.broken import make_frames_folder


@pytest.fixture
def film(tmp_path: Path) -> Path:
    """A file of several pieces that is no whole number of them."""
    path = tmp_path / "film.mp4"
    path.write_bytes(os.urandom(1000) * 9_001)
    return path


def test_hash_of_a_file(film: Path) -> None:
    """As hashlib has it, however often it is asked for."""
    expected = hashlib.sha256(film.read_bytes()).hexdigest()
    with SourceDigest(film) as digest:
        assert digest.result() == Source(str(film), 9_001_000, expected)
        assert digest.result() == digest.result()


def test_hash_of_a_folder_is_that_of_its_listing(tmp_path: Path) -> None:
    """Pictures in the order of their numbers, as sha256sum lists them."""
    folder = make_frames_folder(tmp_path / "frames", numbers=range(8, 12))
    (folder / "notes.txt").write_text("not a picture")
    names = [f"frame_{number}.png" for number in range(8, 12)]
    contents = [(folder / name).read_bytes() for name in names]
    listing = "".join(
        f"{hashlib.sha256(content).hexdigest()}  {name}\n"
        for name, content in zip(names, contents, strict=True)
    )
    with SourceDigest(folder) as digest:
        found = digest.result()
    assert found.sha256 == hashlib.sha256(listing.encode()).hexdigest()
    assert found.bytes == sum(map(len, contents))


def test_folder_with_pictures_swapped_is_another(tmp_path: Path) -> None:
    """Names count: the same pictures in another order are another video."""
    folder = make_frames_folder(tmp_path / "frames", numbers=range(3))
    before = SourceDigest(folder).result()
    one, two = folder / "frame_0.png", folder / "frame_1.png"
    first, second = one.read_bytes(), two.read_bytes()
    one.write_bytes(second)
    two.write_bytes(first)
    after = SourceDigest(folder).result()
    assert (before.bytes, before.path) == (after.bytes, after.path)
    assert before.sha256 != after.sha256


@pytest.mark.parametrize("change", ["append", "touch", "truncate"])
def test_change_after_hashing_is_found(film: Path, change: str) -> None:
    """The file must be the same when watching ends, not only when hashing does."""
    digest = SourceDigest(film)
    digest.result()
    if change == "append":
        with film.open("ab") as file:
            file.write(b"more")
    elif change == "truncate":
        os.truncate(film, 5)
    else:
        os.utime(film, ns=(0, film.stat().st_mtime_ns + 1))
    with pytest.raises(VideoError, match=r"film\.mp4 changed while it was watched"):
        digest.result()


def test_change_of_a_folder_is_found(tmp_path: Path) -> None:
    """Also a picture that comes to it."""
    folder = make_frames_folder(tmp_path / "frames", numbers=range(3))
    digest = SourceDigest(folder)
    make_frames_folder(folder, numbers=[3])
    with pytest.raises(VideoError, match="changed while it was watched"):
        digest.result()


def test_missing_and_vanished_files(film: Path) -> None:
    """One error that names the file."""
    digest = SourceDigest(film)
    digest.result()
    film.unlink()
    for act in (digest.result, lambda: SourceDigest(film)):
        with pytest.raises(VideoError, match=r"film\.mp4 cannot be read: No such file"):
            act()


def test_file_that_cannot_be_read_through(film: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error of the thread is the result's error."""

    def failing(_: Path) -> Iterator[memoryview]:
        yield memoryview(b"start")
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(source, "_pieces", failing)
    with pytest.raises(VideoError, match=r"film\.mp4 .*Input/output error"):
        SourceDigest(film).result()


def test_cancelled_thread_ends(film: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the piece it is at; nothing stays behind."""
    begun = threading.Event()

    def endless(_: Path) -> Iterator[memoryview]:
        while True:
            begun.set()
            yield memoryview(b"piece")

    monkeypatch.setattr(source, "_pieces", endless)
    with SourceDigest(film):
        assert begun.wait(10)
        assert "retake-hash" in [thread.name for thread in threading.enumerate()]
    assert "retake-hash" not in [thread.name for thread in threading.enumerate()]
