"""A folder of numbered pictures, read as a video."""

import numpy as np
import pytest

from retake.core.errors import UsageError, VideoError
from retake.video import open_video
from tests.video.broken import make_frames_folder, write_image
from tests.video.make import picture


@pytest.mark.parametrize(
    ("suffix", "pad", "prefix"),
    [(".png", 0, "frame_"), (".jpg", 6, ""), (".png", 4, "clip2_"), (".jpeg", 0, "img-")],
)
def test_natural_order(tmp_path, numbers, suffix, pad, prefix):
    """Numbers order the pictures, not letters: 2 comes before 10."""
    folder = make_frames_folder(tmp_path / "clip", suffix=suffix, pad=pad, prefix=prefix)
    (folder / "notes.txt").write_text("not a picture")
    with open_video(folder, folder_fps=4) as opened:
        assert [(index, index) for index in range(12)] == numbers(opened)
        np.testing.assert_allclose(opened.timestamps, np.arange(12) / 4)
        info = opened.info
        assert (
            info.codec,
            info.reader,
            info.frame_count,
            info.fps,
            info.duration,
        ) == ("frames", "frames", 12, 4.0, 3.0)


def test_png_is_exact(tmp_path):
    """A lossless picture arrives to the bit."""
    folder = make_frames_folder(tmp_path / "clip", numbers=[7], size=(33, 21))
    with open_video(folder, folder_fps=1) as opened:
        (batch,) = opened.read([0])
        np.testing.assert_array_equal(batch.frames[0].numpy(), picture(7, 33, 21))


def test_rate_must_be_stated(tmp_path):
    """Pictures do not say how fast they are shown."""
    folder = make_frames_folder(tmp_path / "clip")
    with pytest.raises(UsageError, match=r"folder_fps=2\.0"):
        open_video(folder)
    for wrong in (0, -1.0, float("nan")):
        with pytest.raises(UsageError, match="folder_fps must be a number above 0"):
            open_video(folder, folder_fps=wrong)
    with pytest.raises(UsageError, match="is a folder, which reader='decord' cannot read"):
        open_video(folder, reader="decord", folder_fps=1)


def test_gaps_and_doubles(tmp_path):
    """A missing number would shift every later time; two of one number have no order."""
    folder = make_frames_folder(tmp_path / "gap", numbers=[1, 2, 5, 6, 9])
    with pytest.raises(VideoError, match=r"4 of its numbered frames are missing \(3, 4, 7, 8\)"):
        open_video(folder, folder_fps=1)
    folder = make_frames_folder(tmp_path / "double", numbers=[1, 2])
    make_frames_folder(folder, numbers=[2], pad=3)
    with pytest.raises(VideoError, match="have the same number, 2"):
        open_video(folder, folder_fps=1)


def test_nothing_to_read(tmp_path):
    """An empty folder, and a picture without a number."""
    with pytest.raises(VideoError, match="holds no numbered picture"):
        open_video(tmp_path, folder_fps=1)
    write_image(tmp_path / "cover.png", picture(0, 32, 32))
    with pytest.raises(VideoError, match="has no number in its name"):
        open_video(tmp_path, folder_fps=1)


def test_mixed_sizes(tmp_path, numbers):
    """All pictures are of one size, or it is said which is not."""
    folder = make_frames_folder(tmp_path / "clip", numbers=range(3))
    make_frames_folder(folder, numbers=[3], size=(64, 48))
    with (
        open_video(folder, folder_fps=1) as opened,
        pytest.raises(VideoError, match=r"frame_3\.png is 64x48, but frame_0\.png is 96x54"),
    ):
        numbers(opened)


def test_unreadable_picture(tmp_path, numbers):
    """One bad picture is an error with its name, or reported and left out."""
    folder = make_frames_folder(tmp_path / "clip", numbers=range(4))
    (folder / "frame_2.png").write_bytes(b"not a picture at all")
    with open_video(folder, folder_fps=1) as opened, pytest.raises(VideoError, match="frame_2"):
        numbers(opened)
    with open_video(folder, folder_fps=1, on_bad_frame="report") as opened:
        assert numbers(opened) == [(0, 0), (1, 1), (3, 3)]
        assert [frame.index for frame in opened.bad_frames] == [2]
