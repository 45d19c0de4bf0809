"""The table of a file's frames: looked up quickly, and the same as looked up slowly."""

import numpy as np
import pytest

from retake.video.index import read_index
from tests.video.make import make_long
from tests.video.test_readers import X264_OPEN

KINDS = [
    ("plain.mp4", {}),
    ("trimmed.mp4", {"first": -0.3, "gop": 24}),
    ("open.mp4", {"options": {"crf": "16", "x264-params": X264_OPEN}}),
    ("hevc.mkv", {"codec": "libx265"}),
    ("hidden.webm", {"codec": "libvpx", "options": {"auto-alt-ref": "1", "lag-in-frames": "16"}}),
    ("mjpeg.avi", {"codec": "mjpeg", "pix_fmt": "yuvj420p"}),
    ("stream.ts", {}),
    ("sound.mkv", {"audio": True}),
]


@pytest.mark.parametrize(("name", "options"), KINDS, ids=[name for name, _ in KINDS])
def test_look_ups(video, name, options):
    """Places and entry points as their definitions have them, for every packet and frame."""
    index = read_index(video(name, **options))
    for pts in index.packet_pts:
        assert index.place_at(int(pts)) == np.flatnonzero(index.packet_pts == pts)[0]
    missing = int(index.packet_pts.max()) + 1
    assert index.place_at(missing) is None
    assert index.place_at(int(index.packet_pts.min()) - 1) is None
    for frame, place in enumerate(index.order):
        fit = [
            int(key)
            for key in index.keys
            if key <= place and index.packet_pts[key] <= index.pts[frame]
        ]
        before = [int(key) for key in index.keys if fit and key < fit[-1]]
        assert index.entry_point(frame) == (fit[-1] if fit else 0)
        assert index.entry_point(frame, lead=1) == (before[-1] if before else 0)
    assert (np.diff(index.pts) > 0).all()
    np.testing.assert_array_equal(index.packet_pts[index.order], index.pts)


def test_a_table_is_small(video, tmp_path):
    """Some tens of bytes a frame: a day of video has millions of them."""
    source = video("minute.mp4", frames=300, fps=30, size=(96, 54), gop=60)
    index = read_index(make_long(tmp_path / "hour.mp4", source, 360))
    arrays = [index.pts, index.order, index.by_time, index.keys, index.packet_pts, index.times]
    held = {id(array.base if array.base is not None else array): array for array in arrays}
    assert sum(array.nbytes for array in held.values()) <= 48 * len(index.pts)
