"""Sound videos of every kind: the right frames, upright, at the right times, from both readers."""

import numpy as np
import pytest

from retake.core.errors import UsageError, VideoError
from retake.video import open_video, readers
from tests.video.make import make_long, uneven_times

X265_OPEN = "log-level=none:open-gop=1:keyint=12:min-keyint=12:bframes=4"
X264_OPEN = "open-gop=1:bframes=3:keyint=12:min-keyint=12:scenecut=0"

# name, options, mean and greatest difference that the readers may show in 8-bit levels
BOTH = [
    ("plain.mp4", {}, 0, 0),
    ("plain.mkv", {}, 0, 0),
    ("mpeg4.avi", {"codec": "mpeg4"}, 0, 0),
    ("mjpeg.avi", {"codec": "mjpeg", "pix_fmt": "yuvj420p"}, 0, 0),
    ("vp9.webm", {"codec": "libvpx-vp9"}, 0, 0),
    ("fragments.mp4", {"container": {"movflags": "frag_keyframe+empty_moov"}}, 0, 0),
    ("rotated.mp4", {"rotate": 90}, 0, 0),
    ("rotated.mp4", {"rotate": 180}, 0, 0),
    ("rotated.mp4", {"rotate": 270}, 0, 0),
    ("vfr.mp4", {"vfr": True}, 0, 0),
    ("vfr.mkv", {"vfr": True}, 0, 0),
    ("odd.mp4", {"size": (97, 55), "pix_fmt": "yuv444p"}, 0, 0),
    ("one.mp4", {"frames": 1}, 0, 0),
    ("late.mp4", {"first": 2.5}, 0, 0),
    ("sound.mp4", {"audio": True}, 0, 0),
    ("pyramid.mp4", {"options": {"crf": "16", "x264-params": "bframes=8:keyint=24"}}, 0, 0),
    ("full.mp4", {"pix_fmt": "yuvj420p"}, 0, 0),
    ("bt709.mp4", {"colorspace": 1, "color_range": 1}, 0, 0),
    ("ten_bit.mp4", {"pix_fmt": "yuv420p10le"}, 1.0, 20),
    ("alpha.webm", {"codec": "libvpx-vp9", "pix_fmt": "yuva420p", "frames": 20}, 0, 0),
]

# files of which decord 0.6 gives wrong frames or none, and the word in the reason
PYAV_ONLY = [
    ("open.mp4", {"options": {"crf": "16", "x264-params": X264_OPEN}}, "open groups"),
    ("hevc.mp4", {"codec": "libx265"}, "open groups"),
    (
        "open.mkv",
        {"codec": "libx265", "options": {"crf": "16", "x265-params": X265_OPEN}},
        "open groups",
    ),
    ("stream.ts", {}, "mpegts"),
    ("flash.flv", {}, "flv"),
    ("moving.gif", {"codec": "gif", "pix_fmt": "rgb8"}, "gif"),
    ("av1.mp4", {"codec": "libsvtav1", "options": {"preset": "12", "crf": "20"}}, "no decoder"),
    ("mirrored.mp4", {"flip": True}, "mirror"),
    ("mirrored.mp4", {"flip": True, "rotate": 90}, "mirror"),
]

FILES = [case[:2] for case in (*BOTH, *PYAV_ONLY)]


def ids(case):
    """A readable name for a case."""
    return case if isinstance(case, str) else None


@pytest.mark.parametrize(("name", "options"), FILES, ids=ids)
def test_every_frame_is_the_one_asked_for(video, numbers, name, options):
    """All frames in a row, then twelve random handfuls."""
    rng = np.random.default_rng(0)
    with open_video(video(name, **options)) as opened:
        count = opened.info.frame_count
        assert options.get("frames", 48) == count
        assert [(index, index) for index in range(count)] == numbers(opened)
        for _ in range(12):
            some = np.sort(rng.choice(count, min(4, count), replace=False))
            assert [(index, index) for index in some] == numbers(opened, some)


@pytest.mark.parametrize(("name", "options", "mean", "most"), BOTH, ids=ids)
def test_readers_agree(video, name, options, mean, most):
    """decord and PyAV give the same frames at the same times, within the stated difference."""
    path = video(name, **options)
    with open_video(path, reader="decord") as one, open_video(path, reader="pyav") as other:
        np.testing.assert_array_equal(one.timestamps, other.timestamps)
        some = range(0, one.info.frame_count, 5)
        for left, right in zip(one.read(some), other.read(some), strict=True):
            difference = (left.frames.int() - right.frames.int()).abs()
            assert difference.float().mean() <= mean
            assert difference.max() <= most
        assert (one.info.reader, other.info.reader) == ("decord", "pyav")


@pytest.mark.parametrize(("name", "options", "why"), PYAV_ONLY, ids=ids)
def test_decord_is_refused_where_it_would_be_wrong(video, name, options, why):
    """With the reason; auto reads the file, as it reads every file, with PyAV."""
    path = video(name, **options)
    with pytest.raises(VideoError, match=why):
        open_video(path, reader="decord")
    with open_video(path) as opened:
        assert opened.info.reader == "pyav"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, (192, 108, 0)),
        ({"rotate": 90}, (192, 108, 90)),
        ({"rotate": 180}, (192, 108, 180)),
        ({"rotate": 270}, (192, 108, 270)),
        ({"size": (97, 55), "pix_fmt": "yuv444p"}, (97, 55, 0)),
    ],
)
def test_size_is_that_of_upright_frames(video, options, expected):
    """Width and height are as shown, and frames have them."""
    with open_video(video("size.mp4", frames=3, **options), reader="pyav") as opened:
        info = opened.info
        assert expected == (info.width, info.height, info.rotation)
        (batch,) = opened.read([0, 2])
        assert (2, info.height, info.width, 3) == tuple(batch.frames.shape)


@pytest.mark.parametrize("name", ["vfr.mp4", "vfr.mkv"])
def test_variable_rate_times(video, name):
    """Times are the container's own, to its clock's precision."""
    with open_video(video(name, vfr=True)) as opened:
        np.testing.assert_allclose(opened.timestamps, uneven_times(48, 24), atol=1e-3)
        assert opened.info.variable_rate
        assert pytest.approx(opened.info.duration, abs=2e-3) == 4.0
        (batch,) = opened.read([10, 20, 40])
        np.testing.assert_array_equal(batch.timestamps, opened.timestamps[[10, 20, 40]])


def test_start_offset_and_trimmed_start(video, numbers):
    """Times count from the first frame shown, also where an edit list hides those before it."""
    with open_video(video("late.mp4", first=2.5)) as late:
        assert (
            late.timestamps[0],
            late.info.frame_count,
            late.info.variable_rate,
        ) == (0.0, 48, False)
    with open_video(video("trimmed.mp4", first=-0.3, gop=24)) as trimmed:
        shown = [after for _, after in numbers(trimmed)]
        assert list(range(8, 48)) == shown
        assert trimmed.timestamps[0] == 0.0


def test_batches_are_bounded(video, monkeypatch):
    """A batch holds at most batch_size frames, and fewer where they are large."""
    with open_video(video("plain.mp4"), reader="pyav") as opened:
        assert [len(batch) for batch in opened.read(range(48), batch_size=20)] == [20, 20, 8]
        monkeypatch.setattr("retake.video.base.BATCH_BYTES", 5 * 192 * 108 * 3)
        assert [len(batch) for batch in opened.read(range(12))] == [5, 5, 2]
        assert list(opened.read([])) == []


@pytest.mark.parametrize("reader", ["decord", "pyav"])
def test_wrong_indices(video, reader):
    """Indices out of range or order are refused at the call, before anything is decoded."""
    opened = open_video(video("plain.mp4"), reader=reader)
    for indices, words in [
        ([48], "Frame 48 of .* does not exist: it has frames 0-47"),
        ([-1], "Frame -1"),
        ([3, 3], "strictly ascending, got 3 then 3"),
        ([5, 2], "got 5 then 2"),
    ]:
        with pytest.raises(UsageError, match=words):
            opened.read(indices)
    with pytest.raises(UsageError, match="batch_size must be at least 1"):
        opened.read([0], batch_size=0)
    opened.close()
    opened.close()
    with pytest.raises(UsageError, match="is closed"):
        opened.read([0])


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_an_hour_opens_in_seconds(video, tmp_path, numbers, suffix):
    """108 000 frames are tabled, not decoded, and any of them is found."""
    source = video("minute.mp4", frames=300, fps=30, size=(96, 54), gop=60)
    with open_video(make_long(tmp_path / f"hour{suffix}", source, 360)) as hour:
        assert hour.info.frame_count == 108_000
        assert pytest.approx(hour.info.duration, abs=0.05) == 3600.0
        some = [0, 59, 60, 54_321, 107_999]
        assert [(index, index % 300) for index in some] == numbers(hour, some)


def test_names_that_mean_something_to_ffmpeg(tmp_path, video, numbers):
    """Colons, percent signs and letters of any alphabet are only a name."""
    path = tmp_path / "concat:a%02d 影.mp4"
    path.write_bytes(video("plain.mp4").read_bytes())
    with open_video(path) as opened:
        assert numbers(opened, [7]) == [(7, 7)]


def test_readers_on_this_machine():
    """The doctor's list names both readers, and PyAV always works."""
    found = {status.name: status for status in readers()}
    assert list(found) == ["decord", "pyav"]
    assert found["pyav"].works
    assert found["decord"].works == (found["decord"].reason == "")
