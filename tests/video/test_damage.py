"""Damaged and cut files: no frame is dropped, patched up or taken for another in silence."""

import pytest

from retake.core.errors import VideoError
from retake.video import open_video
from tests.video import broken

FAST = {"frames": 120, "container": {"movflags": "faststart"}}

# stored packets that are damaged, and the frames that can then not be had: those whose data
# it is, and those decoded after it up to the next key frame (a key frame every 12)
DAMAGE = [
    ("a reference frame", broken.make_corrupt, [50], range(50, 60)),
    ("another one", broken.make_corrupt, [53], range(53, 60)),
    ("a key frame", broken.make_corrupt, [48], range(48, 60)),
    ("two frames of zeros", broken.make_zeroed, [50, 51], range(50, 60)),
    ("the very first frame", broken.make_zeroed, [0], range(12)),
    ("the last frame stored", broken.make_zeroed, [119], range(118, 119)),
]


@pytest.mark.parametrize("reader", ["auto", "pyav"])
@pytest.mark.parametrize(
    ("what", "make", "packets", "lost"), DAMAGE, ids=lambda case: str(case)[:20]
)
def test_damaged_frames_are_reported(video, numbers, tmp_path, reader, what, make, packets, lost):
    """Every sound frame is right, every other is listed, in whatever order they are read."""
    path = make(tmp_path / "damaged.mp4", video("fast.mp4", **FAST), packets)
    with open_video(path, reader=reader, on_bad_frame="report") as opened:
        for asked in (range(120), range(3, 120, 7), [lost[0]], sorted({0, lost[0], 119})):
            got = numbers(opened, asked)
            bad = {frame.index for frame in opened.bad_frames}
            assert all(number == index for index, number in got), what
            assert set(asked) - bad == {index for index, _ in got}
        assert bad <= set(lost)
        assert lost[0] in bad
        assert lost[0] / 24 == pytest.approx(
            next(frame.timestamp for frame in opened.bad_frames if frame.index == lost[0])
        )


@pytest.mark.parametrize("reader", ["auto", "pyav"])
@pytest.mark.parametrize(
    ("what", "make", "packets", "lost"), DAMAGE, ids=lambda case: str(case)[:20]
)
def test_damaged_frame_is_an_error(video, numbers, tmp_path, reader, what, make, packets, lost):
    """By default the first frame that cannot be had raises, with its number and its time."""
    path = make(tmp_path / "damaged.mp4", video("fast.mp4", **FAST), packets)
    with open_video(path, reader=reader) as opened:
        words = rf"Frame {lost[0]} of 120 \(at {lost[0] / 24:.2f} s\) of .*damaged\.mp4"
        with pytest.raises(VideoError, match=words) as caught:
            numbers(opened)
        assert "on_bad_frame='report'" in str(caught.value), what


@pytest.mark.parametrize(
    ("what", "make", "packets", "lost"), DAMAGE, ids=lambda case: str(case)[:20]
)
def test_decord_by_name_gives_no_damaged_frame(video, numbers, tmp_path, what, make, packets, lost):
    """It gives sound frames or an error that names the file; never a frame patched up."""
    path = make(tmp_path / "damaged.mp4", video("fast.mp4", **FAST), packets)
    with (
        pytest.raises(VideoError, match=r"damaged\.mp4") as caught,
        open_video(path, reader="decord") as opened,
    ):
        numbers(opened)
    assert "decord" in str(caught.value) or f"Frame {lost[0]} of" in str(caught.value), what


@pytest.mark.parametrize("reader", ["auto", "pyav"])
def test_sound_frames_of_a_damaged_file(video, numbers, tmp_path, reader):
    """Damage elsewhere does not concern those who do not ask for it."""
    path = broken.make_zeroed(tmp_path / "damaged.mp4", video("fast.mp4", **FAST), [50, 51])
    with open_video(path, reader=reader) as opened:
        assert [(index, index) for index in (3, 40, 70)] == numbers(opened, [3, 40, 70])


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("cut.mp4", FAST, r"frames 0-\d+ of 120 \(\d\.\d\d s of 5\.00 s\) could be read"),
        ("cut.mkv", {"frames": 120}, r"frames 0-\d+ \(\d\.\d\d s of 5\.00 s\) could be read"),
        ("cut.webm", {"codec": "libvpx-vp9"}, r"frames 0-\d+ \(\d\.\d\d s of 2\.00 s\)"),
        ("cut.avi", {"codec": "mpeg4", "frames": 120}, r"frames 0-\d+ \(\d\.\d\d s"),
    ],
)
@pytest.mark.parametrize("reader", ["auto", "decord", "pyav"])
def test_cut_short(video, numbers, tmp_path, name, options, words, reader):
    """A file that ends too soon says how much of it there is, and gives it when asked to."""
    path = broken.make_truncated(tmp_path / name, video(f"whole{name[3:]}", **options), 0.5)
    with pytest.raises(VideoError, match=f"is cut short .*{words}"):
        open_video(path, reader=reader)
    if reader == "decord":
        return
    with open_video(path, reader=reader, on_bad_frame="report") as opened:
        count = opened.info.frame_count
        assert 10 < count < options.get("frames", 48)
        # The cut may fall between frames that are shown before one that is stored before them.
        shown = [round(time * 24) for time in opened.timestamps]
        assert list(enumerate(shown)) == numbers(opened)
        assert opened.bad_frames == []
        assert "is cut short" in " ".join(opened.notes)


def test_cut_before_the_index(video, tmp_path):
    """An mp4 without its index holds nothing that can be read."""
    path = broken.make_headless(tmp_path / "headless.mp4", video("plain.mp4"))
    with pytest.raises(VideoError, match="is not a video that can be read") as caught:
        open_video(path)
    assert "cut before its index was written" in str(caught.value)


def test_cut_transport_stream(video, numbers, tmp_path):
    """A stream that promises nothing is read to its end, whose half frame is a bad one."""
    path = broken.make_truncated(tmp_path / "cut.ts", video("whole.ts", frames=120), 0.5)
    with open_video(path, on_bad_frame="report") as opened:
        got = numbers(opened)
        assert [(index, index) for index, _ in got] == got
        assert len(got) + len(opened.bad_frames) == opened.info.frame_count


def _stream(source, folder):
    """A stream that ends within a frame."""
    return broken.make_truncated(folder / "cut.ts", source, 0.5)


def _packets(source, folder):
    """Some packets whose latter half is gone, key frames not among them."""
    data = bytearray(source.read_bytes())
    packets = broken.packets_of(source)
    for place in (7, 31, 52, 53, 88):
        _, begin, size = packets[place]
        data[begin + size // 2 : begin + size] = bytes(size - size // 2)
    path = folder / "hurt.mkv"
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    ("name", "spoil"), [("whole.ts", _stream), ("whole.mkv", _packets)], ids=["cut", "hurt"]
)
def test_threads_agree_about_damage(video, tmp_path, name, spoil):
    """However many decode, and however often: which frames are bad, why, and what the others show.

    A decoder of several threads may hand out a patched-up frame before it knows that it is one.
    """
    path = spoil(video(name, frames=120), tmp_path)

    def read(threads):
        with open_video(path, reader="pyav", on_bad_frame="report", threads=threads) as opened:
            frames = [
                (int(index), frame.numpy().tobytes())
                for batch in opened.read(range(opened.info.frame_count))
                for index, frame in zip(batch.indices, batch.frames, strict=True)
            ]
            return frames, opened.bad_frames

    alone = read(1)
    assert alone[1]
    for threads in (*[2] * 20, 8, 8):
        assert read(threads) == alone


def test_long_gap_is_noted(video, tmp_path):
    """Frames that damage to the container took away leave a gap, which is told."""
    source = video("whole.mkv", frames=120)
    data = bytearray(source.read_bytes())
    placed = broken.packets_of(source)
    begin, end = placed[30][1], placed[60][1]
    data[begin:end] = bytes(end - begin)
    path = tmp_path / "gap.mkv"
    path.write_bytes(data)
    with open_video(path, on_bad_frame="report") as opened:
        assert opened.info.frame_count < 120
        assert "No frame is stored between" in " ".join(opened.notes)
