"""Archives read in place: whole or in parts, and everything that can be wrong with them."""

import contextlib
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retake.core.archives import archive_name, open_archive, parts_of, place_in, read_bytes
from retake.core.archives.joined import JoinedFile
from retake.core.errors import VideoError
from tests.archives import change_method, cut, damage, encrypt, make_tar, make_zip

FILES = {"data/a.mp4": b"a" * 5000, "data/b.mp4": bytes(range(256)) * 40, "read.me": b""}


@pytest.mark.parametrize(
    ("name", "kind", "whole", "number"),
    [
        ("videos_chunked_01.zip", "zip", "videos_chunked_01.zip", None),
        ("all_videos_split.zip.001", "zip", "all_videos_split.zip", 1),
        ("videos.tar", "tar", "videos.tar", None),
        ("videos.tar.part.aa", "tar", "videos.tar", 0),
        ("videos.tar.part.az", "tar", "videos.tar", 25),
        ("videos.tar.part.ba", "tar", "videos.tar", 26),
        ("chunked_videos.tar.partab", "tar", "chunked_videos.tar", 1),
        ("test_video.tar.gz.part-aa", "compressed tar", "test_video.tar.gz", 0),
        ("test_video.tar.gz.part-b", "compressed tar", "test_video.tar.gz", 1),
        ("a.tar.gz", "compressed tar", "a.tar.gz", None),
        ("a.tar.bz2", "compressed tar", "a.tar.bz2", None),
        ("a.tar.xz", "compressed tar", "a.tar.xz", None),
        ("a.TGZ", "compressed tar", "a.TGZ", None),
        ("A.ZIP", "zip", "A.ZIP", None),
        ("a.tar.ab", "tar", "a.tar", 1),
    ],
)
def test_names(name: str, kind: str, whole: str, number: int | None) -> None:
    """Names under which benchmarks are published are known for what they are."""
    found = archive_name(name)
    assert found is not None
    assert (found.kind, found.whole, found.number) == (kind, whole, number)


@pytest.mark.parametrize("name", ["a.mp4", "zip", ".zip", "a.zip.md5", "a.zipped", "a.tar.gz.md5"])
def test_other_names(name: str) -> None:
    """Other files are no archives."""
    assert archive_name(name) is None


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA])
@pytest.mark.parametrize("parts", [(), ("v.zip.001", "v.zip.002", "v.zip.003")])
def test_zip(tmp_path: Path, method: int, parts: tuple[str, ...]) -> None:
    """Every file of a zip comes out as it went in, from one file or several."""
    path = make_zip(tmp_path / "v.zip", FILES, method)
    first = cut(path, *parts)[0] if parts else path
    with open_archive(first) as archive:
        assert {name: b"".join(archive.pieces(name, 777)) for name in archive.members} == FILES
        assert archive.members["data/a.mp4"].bytes == 5000


@pytest.mark.parametrize("prefix", ["", "./"])
@pytest.mark.parametrize("parts", [(), ("v.tar.part.aa", "v.tar.part.ab")])
def test_tar(tmp_path: Path, prefix: str, parts: tuple[str, ...]) -> None:
    """Every file of a tar comes out as it went in, from one file or several."""
    path = make_tar(tmp_path / "v.tar", {f"{prefix}{name}": FILES[name] for name in FILES})
    first = cut(path, *parts)[0] if parts else path
    with open_archive(first) as archive:
        assert {name: b"".join(archive.pieces(name, 777)) for name in archive.members} == FILES


def test_a_changed_tar_is_listed_anew(tmp_path: Path) -> None:
    """What was listed of a tar is forgotten when the file changes."""
    path = make_tar(tmp_path / "v.tar", {"a": b"1"})
    assert read_bytes(path / "a") == b"1"
    make_tar(path, {"b": b"22", "a": b"3" * 20000})
    assert read_bytes(path / "a") == b"3" * 20000


def test_names_that_lead_out_are_left_out(tmp_path: Path) -> None:
    """A name such as "../a" is as if it were not there."""
    names = {"../up": b"1", "/root": b"2", "a/../../up": b"3", "fine..mp4": b"4"}
    for path in (make_zip(tmp_path / "a.zip", names), make_tar(tmp_path / "a.tar", names)):
        with open_archive(path) as archive:
            assert list(archive.members) == ["fine..mp4"]


def test_links_in_a_tar_are_left_out(tmp_path: Path) -> None:
    """A tar's links are no files."""
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        info = tarfile.TarInfo("link")
        info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(info)
    with open_archive(tmp_path / "a.tar") as opened:
        assert not opened.members


def test_a_missing_file_is_told_by_its_neighbours(tmp_path: Path) -> None:
    """Who asks for what is not there is told what is."""
    path = make_zip(tmp_path / "v.zip", FILES)
    with open_archive(path) as archive:
        with pytest.raises(VideoError, match=r"There is no 'data/c.mp4'") as caught:
            archive.member("data/c.mp4")
        assert "Near it: data/" in str(caught.value)
        with pytest.raises(VideoError, match=r"It holds 3 files, such as: data/a.mp4"):
            archive.member("zzzzzzzzzzzz")


def test_encrypted(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "v.zip", {"a": b"abc"})
    encrypt(path)
    with pytest.raises(VideoError, match=r"'a' in .*v.zip is encrypted"):
        read_bytes(path / "a")


def test_unknown_compression(tmp_path: Path) -> None:
    """Deflate64, which Windows uses for large files, is named and what to do about it."""
    path = make_zip(tmp_path / "v.zip", {"a": b"abc"})
    change_method(path, 9)
    with pytest.raises(VideoError, match="method 9; it reads stored, deflate") as caught:
        read_bytes(path / "a")
    assert "7-Zip" in str(caught.value)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_damaged_content(tmp_path: Path, method: int) -> None:
    """A changed byte of a file is found when it is read, the other files are sound."""
    path = make_zip(tmp_path / "v.zip", FILES, method)
    damage(path, "data/b.mp4")
    with pytest.raises(VideoError, match=r"'data/b.mp4' in .*v.zip is damaged"):
        read_bytes(path / "data/b.mp4")
    assert read_bytes(path / "data/a.mp4") == FILES["data/a.mp4"]


@pytest.mark.parametrize("make", [make_zip, make_tar])
@pytest.mark.parametrize("share", [0.3, 0.7])
def test_cut_off(tmp_path: Path, make: object, share: float) -> None:
    """An archive whose download stopped is an error, not a shorter archive."""
    path = make_zip(tmp_path / "v.zip", FILES) if make is make_zip else None
    path = path or make_tar(tmp_path / "v.tar", {name: FILES[name] for name in FILES})
    content = path.read_bytes()
    body = max(len(content) - 10240, 5000) if path.suffix == ".tar" else len(content)
    path.write_bytes(content[: int(body * share)])
    with pytest.raises(VideoError, match=r"is damaged"):
        open_archive(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"is empty \(0 bytes\)"),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
            "pointer of Git LFS",
        ),
        (b"\n<!DOCTYPE html><html>Sign in</html>", "is a web page, not an archive"),
        (b"\0" * 99, "is damaged"),
        (b"\x1f\x8b\x08" + b"\0" * 600, "is damaged"),
    ],
)
@pytest.mark.parametrize("name", ["v.zip", "v.tar"])
def test_no_archive_at_all(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    """What else may lie under an archive's name is said."""
    (tmp_path / name).write_bytes(content)
    with pytest.raises(VideoError, match=message):
        open_archive(tmp_path / name)


def test_compressed_tar(tmp_path: Path) -> None:
    """A tar compressed as a whole is refused with the command that unpacks it."""
    path = make_tar(tmp_path / "t.tar.gz", FILES, "w:gz")
    cut(path, "t.tar.gz.part-aa", "t.tar.gz.part-ab")
    with pytest.raises(VideoError, match="is compressed as a whole") as caught:
        open_archive(tmp_path / "t.tar.gz.part-aa")
    assert f"cat '{tmp_path}/t.tar.gz.part-'* | tar -xzf - -C {tmp_path}" in str(caught.value)


@pytest.mark.parametrize(
    ("lost", "message"),
    [
        ("v.zip.002", r"parts between v.zip.001 and v.zip.003 are missing"),
        ("v.zip.001", r"Parts of .*v.zip before v.zip.002 are missing"),
        ("v.zip.004", r"is damaged"),
    ],
)
def test_missing_parts(tmp_path: Path, lost: str, message: str) -> None:
    """A part that was not fetched is named where its number shows it."""
    cut(make_zip(tmp_path / "v.zip", FILES), *(f"v.zip.00{number}" for number in range(1, 5)))
    (tmp_path / lost).unlink()
    first = min(tmp_path.iterdir())
    with pytest.raises(VideoError, match=message):
        open_archive(first)


def test_parts_of_others_do_not_count(tmp_path: Path) -> None:
    """Only what has the same name belongs together."""
    for name in ("a.zip.001", "a.zip.002", "b.zip.003", "a.zip", "a.zip.part3"):
        (tmp_path / name).touch()
    assert [part.name for part in parts_of(tmp_path / "a.zip.001")] == ["a.zip.001", "a.zip.002"]
    assert parts_of(tmp_path / "a.zip") == [tmp_path / "a.zip"]


def test_places(tmp_path: Path) -> None:
    """A path leads into an archive only where nothing lies under that path itself."""
    path = make_zip(tmp_path / "v.zip", FILES)
    place = place_in(path / "data" / "a.mp4")
    assert place is not None
    assert (place.archive, place.name) == (path, "data/a.mp4")
    assert place_in(path) is None
    assert place_in(tmp_path / "none.mp4") is None
    (tmp_path / "folder.zip").mkdir()
    (tmp_path / "folder.zip" / "a.mp4").touch()
    assert place_in(tmp_path / "folder.zip" / "a.mp4") is None
    assert place_in(tmp_path / "folder.zip" / "b.mp4") is None


def test_places_that_are_none(tmp_path: Path) -> None:
    """A path through a file that is no archive, or through an archive that is not there."""
    (tmp_path / "a.mp4").write_bytes(b"1")
    with pytest.raises(VideoError, match="is a file, and no zip or tar archive"):
        place_in(tmp_path / "a.mp4" / "b")
    with pytest.raises(VideoError, match=r"There is no archive .*none.zip, in which 'data/a.mp4'"):
        place_in(tmp_path / "none.zip" / "data" / "a.mp4")


@given(
    st.lists(st.binary(max_size=40), min_size=1, max_size=5),
    st.lists(st.tuples(st.integers(0, 250), st.integers(0, 60)), max_size=8),
)
@settings(max_examples=100, deadline=None)
def test_joined(parts: list[bytes], reads: list[tuple[int, int]]) -> None:
    """Reading anywhere in parts is reading there in the whole."""
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / str(number) for number in range(len(parts))]
        for path, part in zip(paths, parts, strict=True):
            path.write_bytes(part)
        whole = b"".join(parts)
        with JoinedFile(paths) as joined:
            assert joined.read() == whole
            for place, count in reads:
                assert joined.seek(place) == place
                found = b""
                while len(found) < count and (piece := joined.read(count - len(found))):
                    found += piece
                assert found == whole[place : place + count]
                assert joined.tell() == max(place, min(len(whole), place + count))


@pytest.mark.parametrize(("make", "name"), [(make_zip, "v.zip"), (make_tar, "v.tar")])
def test_any_damage(
    tmp_path: Path, make: Callable[[Path, dict[str, bytes]], Path], name: str
) -> None:
    """However an archive is damaged, it is listed and read, or a VideoError says what is wrong."""
    sound = make(tmp_path / name, {"data/a.mp4": b"abc" * 9, "b": b"1"}).read_bytes()

    @given(st.integers(0, len(sound) - 1), st.integers(0, 30), st.binary(max_size=12))
    @settings(max_examples=300, deadline=None)
    def holds(place: int, lost: int, put: bytes) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / name
            path.write_bytes(sound[:place] + put + sound[place + lost :])
            with contextlib.suppress(VideoError), open_archive(path) as archive:
                for member in archive.members:
                    with contextlib.suppress(VideoError):
                        for _ in archive.pieces(member):
                            pass

    holds()
