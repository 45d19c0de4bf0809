"""Finding videos: whatever they are called, wherever they lie, and in which order of preference."""

import os
from pathlib import Path

import pytest

from retake.core.archives import read_bytes
from retake.core.errors import UsageError
from retake.datasets.files import VideoFinder
from retake.datasets.files.listing import _PEEK
from tests.archives import cut, make_tar, make_zip


def put(root: Path, *names: str) -> None:
    """Files that hold their own names."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)


def found(root: Path, name: str, *places: str) -> str | None:
    path = VideoFinder(root, places or ("videos", "data")).find(name)
    return None if path is None else path.relative_to(root).as_posix()


@pytest.mark.parametrize("suffix", [".mp4", ".MP4", ".mkv", ".webm", ".avi", ".mov"])
def test_any_suffix(tmp_path: Path, suffix: str) -> None:
    """A video is found by its stem, by its name, and by that with another suffix."""
    put(tmp_path, f"data/abc{suffix}", "data/abc.srt", "data/abcd.mp4")
    for name in ("abc", f"abc{suffix}", "abc.mp4", "abc.mkv", f"data/abc{suffix}", "data/abc"):
        assert found(tmp_path, name) == f"data/abc{suffix}"


def test_nothing_but_videos(tmp_path: Path) -> None:
    """Other files, hidden ones and folders called like videos are none."""
    put(tmp_path, "abc.srt", "abc.txt", ".hidden/abc.mp4", "._abc.mp4", "__MACOSX/abc.mp4")
    put(tmp_path, "abc.mp4/readme")
    (tmp_path / "dangling.mp4").symlink_to(tmp_path / "none")
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe.mp4")
    for name in ("abc", "pipe", "dangling", "readme"):
        assert found(tmp_path, name) is None


def test_dots_dashes_and_letters_in_stems(tmp_path: Path) -> None:
    """Names as on YouTube, and stems with dots, are taken as they are; case counts."""
    put(tmp_path, "-K_x.mp4", "AbC.mp4", "abc.mp4", "v1.2.mp4", "v1.mp4")
    assert found(tmp_path, "-K_x") == "-K_x.mp4"
    assert found(tmp_path, "AbC") == "AbC.mp4"
    assert found(tmp_path, "abc") == "abc.mp4"
    assert found(tmp_path, "v1.2") == "v1.2.mp4"
    assert found(tmp_path, "v1") == "v1.mp4"
    assert found(tmp_path, "ABC") is None


def test_folders_in_a_name_must_fit(tmp_path: Path) -> None:
    """MLVU's tasks have folders: one task's video is never taken for another's."""
    put(tmp_path, "video/1_plotQA/1.mp4", "video/2_needle/1.mp4", "video/2_needle/2.mp4")
    assert found(tmp_path, "2_needle/1.mp4") == "video/2_needle/1.mp4"
    assert found(tmp_path, "1_plotQA/1") == "video/1_plotQA/1.mp4"
    assert found(tmp_path, "1_plotQA/2.mp4") is None
    assert found(tmp_path, "needle/1.mp4") is None


def test_an_archive(tmp_path: Path) -> None:
    """Video-MME's zips left zipped: paths lead into them, and can be read."""
    make_zip(tmp_path / "videos_chunked_01.zip", {"data/a.mp4": b"a", "data/__MACOSX/b.mp4": b""})
    make_zip(tmp_path / "videos_chunked_02.zip", {"data/b.MP4": b"b", "data/": b""})
    assert found(tmp_path, "a") == "videos_chunked_01.zip/data/a.mp4"
    path = VideoFinder(tmp_path).find("data/b.mp4")
    assert path == tmp_path / "videos_chunked_02.zip" / "data" / "b.MP4"
    assert read_bytes(path) == b"b"


def test_archives_in_parts(tmp_path: Path) -> None:
    """LVBench's zip and LongVideoBench's tar in parts; a part is no archive of its own."""
    path = make_zip(tmp_path / "all_videos_split.zip", {"all_videos/a.mp4": b"a" * 999})
    cut(path, "all_videos_split.zip.001", "all_videos_split.zip.002")
    path = make_tar(tmp_path / "videos.tar", {"./videos/b.mp4": b"b" * 999})
    cut(path, *(f"videos.tar.part.a{letter}" for letter in "abc"))
    finder = VideoFinder(tmp_path)
    assert read_bytes(finder.find("a") or tmp_path) == b"a" * 999
    assert read_bytes(finder.find("videos/b.mp4") or tmp_path) == b"b" * 999
    assert [len(parts) for parts in finder.listing.archives.values()] == [2, 3]
    assert not finder.listing.unreadable


def test_a_folder_of_pictures(tmp_path: Path) -> None:
    """As published ReTaKe unpacks videos; of each folder only a few names are read."""
    put(tmp_path, *(f"data_25fps/abc.d/frame_{number:05}.jpg" for number in range(_PEEK + 4)))
    put(tmp_path, "data_25fps/one/1.jpg")
    make_zip(tmp_path / "v.zip", {f"v/zipped/{number}.jpg": b"1" for number in range(3)})
    assert found(tmp_path, "abc.d") == "data_25fps/abc.d"
    assert found(tmp_path, "abc.d.mp4") == "data_25fps/abc.d"
    assert found(tmp_path, "one.mp4") == "data_25fps/one"
    assert found(tmp_path, "zipped.mp4") == "v.zip/v/zipped"
    assert found(tmp_path, "v/zipped.mp4") == "v.zip/v/zipped"


def test_pictures_beside_videos_are_no_video(tmp_path: Path) -> None:
    """A folder that holds anything else is a folder like any other."""
    put(tmp_path, "videos/thumb.jpg", "videos/abc.mp4", "videos/deep/1.jpg", "videos/deep/x.mp4")
    assert found(tmp_path, "videos") is None
    assert found(tmp_path, "deep") is None
    assert found(tmp_path, "x") == "videos/deep/x.mp4"


def test_order_of_preference(tmp_path: Path) -> None:
    """A file, a folder of pictures, an archive; then the name, then the place."""
    make_zip(tmp_path / "a.zip", {"data/abc.mp4": b"1"})
    make_zip(tmp_path / "b.zip", {"videos/abc.mp4": b"1", "videos/abc.mkv": b"1"})
    assert found(tmp_path, "abc") == "b.zip/videos/abc.mkv"
    assert found(tmp_path, "abc.mp4") == "b.zip/videos/abc.mp4"
    assert found(tmp_path, "abc.mp4", "data", "videos") == "a.zip/data/abc.mp4"
    put(tmp_path, "frames/abc/1.jpg", "frames/abc/2.jpg")
    assert found(tmp_path, "abc.mp4") == "frames/abc"
    put(tmp_path, "else/abc.avi")
    assert found(tmp_path, "abc.mp4") == "else/abc.avi"
    put(tmp_path, "data/abc.mkv")
    assert found(tmp_path, "abc.mp4") == "data/abc.mkv"
    put(tmp_path, "videos/abc.mkv", "else/abc.MP4")
    assert found(tmp_path, "abc.mp4") == "else/abc.MP4"
    assert found(tmp_path, "abc") == "videos/abc.mkv"


def test_links_are_followed_but_not_round(tmp_path: Path) -> None:
    """A hub's cache is made of links; a link to a folder above does not make it endless."""
    put(tmp_path, "blobs/123")
    (tmp_path / "snap").mkdir()
    (tmp_path / "snap" / "abc.mp4").symlink_to(tmp_path / "blobs" / "123")
    (tmp_path / "snap" / "loop").symlink_to(tmp_path)
    assert found(tmp_path, "abc") == "snap/abc.mp4"
    assert len(VideoFinder(tmp_path).listing.entries) == 1


def test_broken_archives_do_not_stand_in_the_way(tmp_path: Path) -> None:
    """They are told where a video is missing; everything else is found."""
    put(tmp_path, "data/abc.mp4")
    (tmp_path / "v_02.zip").write_bytes(b"PK\x03\x04 and no more")
    make_tar(tmp_path / "t.tar.gz", {"abd.mp4": b"1"}, "w:gz")
    finder = VideoFinder(tmp_path, ("data",))
    assert finder.find("abc") == tmp_path / "data" / "abc.mp4"
    assert finder.find("abd") is None
    assert finder.expected("abd.mp4") == tmp_path / "data" / "abd.mp4"
    advice = finder.advice("abd.mp4")
    for words in ("1 such files were found", "Near it: abc", "v_02.zip is damaged", "tar -xzf"):
        assert words in advice


def test_a_forbidden_folder_does_not_stand_in_the_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that the system keeps to itself, such as lost+found, is told where one is missing."""
    put(tmp_path, "data/abc.mp4", "lost+found/x.mp4")
    scan = os.scandir

    def refuse(path: Path) -> object:
        if path.name == "lost+found":
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    finder = VideoFinder(tmp_path)
    assert finder.find("abc") == tmp_path / "data" / "abc.mp4"
    assert "lost+found': Permission denied" in finder.advice("x")


def test_no_such_root(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not exist"):
        VideoFinder(tmp_path / "none").find("a")
    put(tmp_path, "file")
    with pytest.raises(UsageError, match="is a file, not a folder"):
        VideoFinder(tmp_path / "file").find("a")


def test_surplus(tmp_path: Path) -> None:
    """What nobody asked for: loose files, and archives of which nothing is wanted as a whole."""
    put(tmp_path, "data/a.mp4", "data/b.mp4", "readme.md")
    make_zip(tmp_path / "used.zip", {"c.mp4": b"1", "d.mp4": b"1"})
    make_zip(tmp_path / "idle.zip", {"a.mp4": b"1", "b.mp4": b"1"})
    make_zip(tmp_path / "subtitle.zip", {"a.srt": b"1"})
    finder = VideoFinder(tmp_path)
    known = [path for name in "ac" if (path := finder.find(name))]
    surplus = [path.relative_to(tmp_path).as_posix() for path in finder.surplus(known)]
    assert surplus == ["data/b.mp4", "idle.zip", "subtitle.zip", "used.zip/d.mp4"]
    assert tmp_path / "subtitle.zip" not in finder.surplus([*known, tmp_path / "subtitle.zip"])


def test_other_kinds_of_file(tmp_path: Path) -> None:
    """Subtitles are found as videos are."""
    put(tmp_path, "subtitle/a.srt", "data/a.mp4", "pictures/a/1.jpg")
    make_zip(tmp_path / "subtitle.zip", {"subtitle/a.srt": b"1", "subtitle/b.SRT": b"2"})
    finder = VideoFinder(tmp_path, ("subtitle",), suffixes=(".srt",))
    assert finder.find("a") == tmp_path / "subtitle" / "a.srt"
    assert finder.find("b.srt") == tmp_path / "subtitle.zip" / "subtitle" / "b.SRT"
    assert finder.find("c") is None


def test_thousands_of_files_are_listed_once(tmp_path: Path) -> None:
    """Every question after the first is answered from memory, the files being gone or not."""
    for number in range(3000):
        (tmp_path / f"{number}.mp4").touch()
    finder = VideoFinder(tmp_path)
    assert finder.find("17") == tmp_path / "17.mp4"
    for path in tmp_path.iterdir():
        path.unlink()
    assert all(finder.find(f"{number}.mp4") for number in range(3000))
