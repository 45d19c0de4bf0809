"""Going on or seeking: chosen by what each costs, and nothing but the cost depends on it."""

import itertools

import numpy as np
import pytest
import torch

from retake.core.errors import UsageError
from retake.core.frames import FrameBatch
from retake.video import open_video
from retake.video.pace import Pace
from tests.video import broken
from tests.video.test_damage import DAMAGE, FAST
from tests.video.test_readers import X264_OPEN, X265_OPEN

REFRESH = "intra-refresh=1:keyint=24:scenecut=0"
KINDS = [
    ("plain.mp4", {}),
    ("pyramid.mp4", {"options": {"crf": "16", "x264-params": "bframes=8:keyint=24"}}),
    ("open.mp4", {"options": {"crf": "16", "x264-params": X264_OPEN}}),
    ("open.mkv", {"codec": "libx265", "options": {"x265-params": X265_OPEN}}),
    ("refresh.mp4", {"options": {"crf": "16", "x264-params": REFRESH}}),
    ("vp9.webm", {"codec": "libvpx-vp9"}),
    ("av1.mp4", {"codec": "libsvtav1", "options": {"preset": "12", "crf": "20"}}),
    ("mpeg4.avi", {"codec": "mpeg4"}),
    ("mjpeg.avi", {"codec": "mjpeg", "pix_fmt": "yuvj420p"}),
    ("stream.ts", {}),
]
ASKED = [range(120), range(1, 120, 2), range(0, 120, 13), [3, 11, 12, 47, 48, 49, 90, 119]]
TURNS = itertools.cycle([True, False, False])
CHOICES = {
    "go on": lambda self, frames: False,
    "seek": lambda self, frames: frames > 0,
    "now this, now that": lambda self, frames: next(TURNS),
}


@pytest.fixture(params=["go on", "seek", "now this, now that"])
def choice(request, monkeypatch):
    """Take the measured choice away, and make it."""
    return lambda: monkeypatch.setattr(Pace, "seeking_pays", CHOICES[request.param])


def outcome(path, asked, threads=2):
    """All frames, their numbers and what was called bad."""
    with open_video(path, reader="pyav", on_bad_frame="report", threads=threads) as opened:
        batches = list(opened.read(asked))
        joined = FrameBatch.joined(batches) if batches else None
        return joined, {(bad.index, bad.reason) for bad in opened.bad_frames}


def same(one, other):
    """To the bit, and in the same words."""
    assert one[1] == other[1]
    np.testing.assert_array_equal(one[0].indices, other[0].indices)
    assert torch.equal(one[0].frames, other[0].frames)


@pytest.mark.parametrize(("name", "options"), KINDS, ids=[name for name, _ in KINDS])
def test_the_frames_do_not_depend_on_the_choice(video, choice, name, options):
    """Every kind of file, densely and sparsely read; and none of its frames is bad."""
    path = video(name, frames=120, **options)
    expected, _ = outcome(path, range(120))
    assert expected.indices.tolist() == list(range(120))
    choice()
    for asked in ASKED:
        got, bad = outcome(path, asked)
        assert bad == set()
        assert got.indices.tolist() == list(asked)
        assert torch.equal(got.frames, expected.frames[list(asked)])


@pytest.mark.parametrize(
    ("what", "make", "packets", "lost"), DAMAGE, ids=lambda case: str(case)[:20]
)
def test_what_is_bad_does_not_depend_on_the_choice(
    video, tmp_path, choice, what, make, packets, lost
):
    """A damaged file gives the same frames and the same reasons."""
    path = make(tmp_path / "damaged.mp4", video("fast.mp4", **FAST), packets)
    expected = [outcome(path, asked) for asked in ASKED]
    choice()
    for asked, before in zip(ASKED, expected, strict=True):
        same(before, outcome(path, asked))
        same(before, outcome(path, asked, threads=1))


@pytest.mark.parametrize("packets", [[10, 30, 55, 80, 100], [0, 12, 24, 36], [11, 23, 24, 71]])
@pytest.mark.parametrize("make", [broken.make_corrupt, broken.make_zeroed])
def test_much_damage(video, tmp_path, choice, make, packets):
    """Damage in many places at once, some of it next to key frames."""
    path = make(tmp_path / "damaged.mp4", video("fast.mp4", **FAST), packets)
    expected = [outcome(path, asked) for asked in ASKED]
    assert all(bad for _, bad in expected[:2])
    choice()
    for asked, before in zip(ASKED, expected, strict=True):
        same(before, outcome(path, asked))


def test_frames_that_refresh_bit_by_bit(video, numbers):
    """A key frame that is no whole picture: sound frames behind it are not called bad."""
    path = video("refresh.mp4", frames=120, options={"crf": "16", "x264-params": REFRESH})
    for asked in ([60], [60, 61, 110], [30, 59, 90, 119]):
        with open_video(path, reader="pyav") as opened:
            assert numbers(opened, asked) == [(index, index) for index in asked]


def measured(frame, start):
    """A pace that has seen frames and starts of so many seconds, the first of them slower."""
    pace = Pace()
    pace.started(10 * start)
    for _ in range(2):
        pace.started(start)
    for _ in range(50):
        pace.went_on(frame)
    return pace


def test_the_cheaper_way_is_taken():
    """Frames to decode in vain against one start."""
    pace = measured(frame=0.001, start=0.02)
    assert [pace.seeking_pays(frames) for frames in (0, 1, 19, 21, 1000)] == [
        False,
        False,
        False,
        True,
        True,
    ]


def test_what_is_not_known_is_tried():
    """A few starts are seen before they are judged, then a few frames are decoded on."""
    pace = Pace()
    assert not pace.seeking_pays(0)
    assert pace.seeking_pays(1)
    for _ in range(3):
        pace.started(0.01)
    assert not pace.seeking_pays(8)
    assert pace.seeking_pays(9)
    pace.went_on(0.001)
    assert not pace.seeking_pays(9)
    assert pace.seeking_pays(11)


def test_a_change_of_pace_is_noticed():
    """What was measured long ago counts for little."""
    pace = measured(frame=0.001, start=0.02)
    for _ in range(500):
        pace.went_on(0.0001)
    assert not pace.seeking_pays(100)
    for _ in range(3):
        pace.started(0.001)
    assert pace.seeking_pays(100)


@pytest.mark.parametrize("reader", ["decord", "pyav"])
@pytest.mark.parametrize("threads", [1, 2, 5])
def test_threads(video, numbers, reader, threads):
    """Any number of them gives the same frames."""
    with open_video(video("plain.mp4"), reader=reader, threads=threads) as opened:
        assert numbers(opened) == [(index, index) for index in range(48)]


@pytest.mark.parametrize("threads", [0, -1])
def test_no_threads(video, threads):
    """One at least."""
    with pytest.raises(UsageError, match=f"threads must be at least 1, got {threads}"):
        open_video(video("plain.mp4"), threads=threads)
