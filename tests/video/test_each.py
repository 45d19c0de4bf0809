"""A change applied to every frame as it is decoded, and what a batch then holds."""

import weakref

import pytest
import torch

from retake.core.errors import UsageError
from retake.video import open_video
from tests.video.broken import make_frames_folder


def halved(frame):
    """Every other pixel: a view, which must not keep the frame of full size alive."""
    return frame[:, ::2, ::2]


def top(frame):
    """The upper rows: a view that is contiguous."""
    return frame[:, :10]


def negative(frame):
    """Another tensor of the same size."""
    return 255 - frame


@pytest.mark.parametrize("size", [(192, 108), (98, 54), (97, 55)])
@pytest.mark.parametrize("reader", ["decord", "pyav"])
@pytest.mark.parametrize("each", [halved, top, negative])
def test_each_changes_every_frame(video, reader, each, size):
    """The same as reading first and changing then, for every reader."""
    path = video("plain.mp4", size=size, pix_fmt="yuv444p")
    with open_video(path, reader=reader) as opened:
        (plain,) = opened.read(range(0, 48, 5))
        (changed,) = opened.read(range(0, 48, 5), each=each)
        assert torch.equal(each(plain.frames), changed.frames)
        assert plain.indices.tolist() == changed.indices.tolist()
        assert opened.info.reader == reader


def test_each_on_a_folder(tmp_path):
    """Pictures too."""
    with open_video(make_frames_folder(tmp_path / "clip"), folder_fps=1) as opened:
        (plain,) = opened.read(range(12))
        (changed,) = opened.read(range(12), each=halved)
        assert torch.equal(halved(plain.frames), changed.frames)


@pytest.mark.parametrize("reader", ["decord", "pyav"])
def test_frames_of_full_size_are_not_gathered(video, reader):
    """When a frame arrives, at most the one before it is still whole."""
    whole: list[weakref.ref] = []
    most = 0

    def watch(frame):
        nonlocal most
        whole.append(weakref.ref(frame.untyped_storage()))
        most = max(most, sum(alive() is not None for alive in whole))
        return halved(frame)

    with open_video(video("plain.mp4"), reader=reader) as opened:
        assert [len(batch) for batch in opened.read(range(40), batch_size=20, each=watch)] == [
            20,
            20,
        ]
    assert len(whole) >= 40
    assert most <= 2


def test_the_byte_limit_counts_frames_as_held(video, monkeypatch):
    """Small frames make large batches, once it is known how small they are."""
    monkeypatch.setattr("retake.video.base.BATCH_BYTES", 5 * 192 * 108 * 3)
    with open_video(video("plain.mp4"), reader="pyav") as opened:
        sizes = [len(batch) for batch in opened.read(range(48), each=halved)]
        assert sizes == [5, 20, 20, 3]
        sizes = [len(batch) for batch in opened.read(range(48), each=halved, batch_size=4)]
        assert sizes == [4] * 12


@pytest.mark.parametrize(
    ("each", "words"),
    [
        (lambda frame: frame.float(), r"gave torch.float32 \[1, 108, 192, 3\]"),
        (lambda frame: frame[0], r"gave torch.uint8 \[108, 192, 3\]"),
        (lambda frame: frame[:, :0], r"gave torch.uint8 \[1, 0, 192, 3\]"),
    ],
)
def test_what_each_must_give(video, each, words):
    """Anything but a frame is refused with what it was."""
    with open_video(video("plain.mp4")) as opened, pytest.raises(UsageError, match=words):
        next(opened.read([3], each=each))


def test_frames_of_one_batch_are_of_one_size(video):
    """A change that depends on the frame cannot make a batch."""
    sizes = iter([20, 10])
    with (
        open_video(video("plain.mp4"), reader="pyav") as opened,
        pytest.raises(UsageError, match=r"Frame 5 .* is 192x10 where those before it are 192x20"),
    ):
        list(opened.read([3, 5], each=lambda frame: frame[:, : next(sizes)]))
