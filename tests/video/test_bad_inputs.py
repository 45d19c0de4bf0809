"""What is no video: each is a clear error that names the file, and none of them hangs."""

import os

import pytest

from retake.core.errors import MissingExtraError, UsageError, VideoError
from retake.video import open_video
from tests.video import broken
from tests.video.make import picture


def playlist(path):
    """A list that would send FFmpeg to the network."""
    path.write_text("#EXTM3U\n#EXTINF:10,\nhttp://localhost:9/a.ts\n#EXT-X-ENDLIST\n")
    return path


def concat(path):
    """A list that would send FFmpeg to other files."""
    path.write_text("ffconcat version 1.0\nfile /etc/hostname\n")
    return path


@pytest.mark.parametrize(
    ("name", "make", "words"),
    [
        ("empty.mp4", broken.make_empty, "is empty \\(0 bytes\\)"),
        ("text.mp4", broken.make_text, "is not a video that can be read"),
        ("text.txt", broken.make_text, "is not a video: its contents look like 'tty'"),
        ("noise.mp4", broken.make_noise, "is not a video that can be read"),
        ("noise.avi", broken.make_noise, "is not a video that can be read"),
        ("sound.mp3", broken.make_audio_only, "has no video in it, only audio"),
        ("sound.m4a", broken.make_audio_only, "has no video in it, only audio"),
        ("cover.mp3", broken.make_audio_with_cover, "only audio and a cover picture"),
        ("cover.mp4", broken.make_audio_with_cover, "only audio and a cover picture"),
        ("pipe.mp4", broken.make_fifo, "is a named pipe, not a video file"),
        ("missing.mp4", lambda path: path, "No such video"),
        ("list.m3u8", playlist, "is not a video"),
        ("list.mp4", concat, "is not a video"),
        ("a.png", lambda path: broken.write_image(path, picture(1, 64, 64)), "is a picture"),
    ],
)
@pytest.mark.parametrize("reader", ["auto", "decord", "pyav"])
def test_not_a_video(tmp_path, name, make, words, reader):
    """The same error whichever reader was asked for."""
    path = make(tmp_path / name)
    with pytest.raises(VideoError, match=words) as caught:
        open_video(path, reader=reader)
    assert name in caught.value.message


def test_a_picture_under_a_videos_name(tmp_path):
    """Contents decide, not the name."""
    path = broken.write_image(tmp_path / "a.png", picture(1, 64, 64)).rename(tmp_path / "a.mp4")
    with pytest.raises(VideoError, match="its contents look like 'png_pipe'"):
        open_video(path)


def test_devices():
    """A device is refused before it is read, since reading one may never end."""
    with pytest.raises(VideoError, match="/dev/zero is a device"):
        open_video("/dev/zero")


def test_missing_file_names_its_neighbour(video):
    """A wrong suffix is a common slip."""
    path = video("plain.mp4")
    with pytest.raises(VideoError, match=r"In the same folder there is: plain\.mp4"):
        open_video(path.with_suffix(".mkv"))
    with pytest.raises(VideoError, match="does not exist either"):
        open_video(path.parent / "nowhere" / "a.mp4")


def test_no_permission(video, monkeypatch):
    """Said in words, with the command that allows it; root, who may read all, is pretended away."""
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(VideoError, match=r"You may not read .*plain\.mp4"):
        open_video(video("plain.mp4"))


def test_raw_stream_without_times(video):
    """Frames without times cannot be sampled in time; the command that mends it is given."""
    with pytest.raises(VideoError, match="does not say when its frames are shown"):
        open_video(video("raw.h264"))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"reader": "opencv"}, "Unknown reader 'opencv'"),
        ({"on_bad_frame": "skip"}, "Unknown on_bad_frame 'skip'"),
        ({"reader": "frames"}, "is for a folder of pictures"),
        ({"folder_fps": 2.0}, "folder_fps is for a folder of pictures"),
    ],
)
def test_wrong_options(video, options, words):
    """Options that do not exist, or do not fit a file."""
    with pytest.raises(UsageError, match=words):
        open_video(video("plain.mp4"), **options)


def test_decord_not_installed(video, monkeypatch):
    """Asked for by name it is an error that says how to install it; nothing else misses it."""
    monkeypatch.setattr("retake.video.opening.decord_site", lambda: None)
    with pytest.raises(MissingExtraError, match=r"retake\[decord\]"):
        open_video(video("plain.mp4"), reader="decord")
    with open_video(video("plain.mp4")) as opened:
        assert opened.info.reader == "pyav"
        assert opened.notes == []


@pytest.mark.parametrize(
    ("name", "options", "why"),
    [
        ("stream.ts", {}, "mpegts"),
        ("hevc.mp4", {"codec": "libx265"}, "open groups of pictures"),
        ("mirrored.mp4", {"flip": True}, "does not mirror"),
    ],
)
def test_decord_by_name_where_it_would_be_wrong(video, name, options, why):
    """Never wrong frames in silence, and never another reader than the one named."""
    with pytest.raises(VideoError, match=why) as caught:
        open_video(video(name, **options), reader="decord")
    assert "reader='pyav'" in str(caught.value)
