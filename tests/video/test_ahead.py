"""Decoding ahead in the background: the same frames, few of them at a time, and nothing left."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from retake.core.errors import UsageError, VideoError
from retake.core.frames import VideoInfo
from retake.video import ReadAhead, VideoReader, open_video
from tests.video.broken import make_zeroed

READERS = ["decord", "pyav"]


class Pictures(VideoReader):
    """A reader of frames that show their number, in which things go wrong on demand."""

    def __init__(self, count=100, *, fail_at=None, error=None, wait_at=None):
        info = VideoInfo("pictures", 4, 2, count, 10.0, count / 10)
        super().__init__(info, np.arange(count) / 10)
        self.decoded = 0
        self.fail_at, self.error, self.wait_at = fail_at, error, wait_at
        self.waiting = threading.Event()

    def _decode(self, indices, each):
        for index in indices:
            if index == self.fail_at:
                raise self.error
            if index == self.wait_at:
                self.waiting.set()
                self._cancelled.wait()
                self._check_cancelled()
            self.decoded += 1
            yield index, each(np.full((2, 4, 3), index, dtype=np.uint8))


@pytest.fixture(autouse=True)
def _nothing_is_left():
    """Each test leaves no thread, no child process and no open file."""
    before = threads(), children(), files()
    yield
    hold(lambda: (threads(), children(), files()) == before)  # a cancelled timer takes a moment


def threads():
    """Threads of Python."""
    return set(threading.enumerate())


def children():
    """Processes that this one started and has not buried."""
    return set(Path(f"/proc/self/task/{os.getpid()}/children").read_text().split())


def files():
    """What this process has open, videos only."""
    found = (os.path.realpath(f"/proc/self/fd/{number}") for number in os.listdir("/proc/self/fd"))
    return sorted(path for path in found if path.endswith((".mp4", ".log")))


def shown(batch):
    """What the frames of `Pictures` show."""
    return batch.frames[:, 0, 0, 0].tolist()


def hold(condition, seconds=10.0):
    """Wait until the condition holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.005)


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("each", [None, lambda frame: frame[:, ::2]], ids=["whole", "each"])
@pytest.mark.parametrize("depth", [1, 3])
def test_the_same_as_read(video, reader, each, depth):
    """Batch by batch, to the bit."""
    with open_video(video("plain.mp4"), reader=reader) as opened:
        expected = list(opened.read(range(1, 48), batch_size=10, each=each))
        with ReadAhead(opened, range(1, 48), batch_size=10, each=each, depth=depth) as ahead:
            got = list(ahead)
            assert next(ahead, None) is None
        assert [len(batch) for batch in got] == [10, 10, 10, 10, 7]
        for one, other in zip(expected, got, strict=True):
            assert torch.equal(one.frames, other.frames)
            np.testing.assert_array_equal(one.indices, other.indices)
            np.testing.assert_array_equal(one.timestamps, other.timestamps)
        assert ahead.busy_seconds > 0
        assert len(list(opened.read([5]))) == 1, "read to its end, the reader can be used again"


@pytest.mark.parametrize("depth", [1, 2, 5])
def test_never_further_ahead_than_asked(depth):
    """The thread stops at `depth` batches ready and one more in its hands."""
    reader = Pictures()
    with ReadAhead(reader, range(100), batch_size=4, depth=depth) as ahead:
        for taken in range(100 // 4):
            room = min(100, 4 * (taken + depth + 1))
            hold(lambda room=room: reader.decoded == room)
            time.sleep(0.01)
            assert reader.decoded == room
            assert shown(next(ahead)) == list(range(4 * taken, 4 * taken + 4))
        assert next(ahead, None) is None


def test_waiting_for_room_is_not_counted_as_work():
    """A slow consumer does not make the thread look busy."""
    with ReadAhead(Pictures(), range(100), batch_size=4) as ahead:
        time.sleep(1.5)
        assert sum(len(batch) for batch in ahead) == 100
    assert ahead.busy_seconds < 1.1


@pytest.mark.parametrize("fail_at", [0, 1, 15, 40, 99])
@pytest.mark.parametrize("error", [VideoError("broken"), ValueError("a fault"), MemoryError()])
def test_an_error_arrives_as_it_is(fail_at, error):
    """After the whole batches before it, the same exception, and then again if asked again."""
    reader = Pictures(fail_at=fail_at, error=error)
    with ReadAhead(reader, range(100), batch_size=4) as ahead:
        got = []
        with pytest.raises(type(error)) as caught:
            got.extend(number for batch in ahead for number in shown(batch))
        assert caught.value is error
        assert got == list(range(fail_at // 4 * 4))
        with pytest.raises(type(error)):
            next(ahead)


def test_an_error_of_each_arrives():
    """The change runs in the thread; what it raises is raised here."""

    def each(frame):
        if frame.max() == 30:
            raise RuntimeError("no more")
        return frame

    with (
        pytest.raises(RuntimeError, match="no more"),
        ReadAhead(Pictures(), range(100), batch_size=4, each=each) as ahead,
    ):
        list(ahead)


def test_a_bad_frame_is_an_error_here_too(video, tmp_path):
    """The reader's own words reach the consumer."""
    path = make_zeroed(tmp_path / "damaged.mp4", video("fast.mp4", frames=120), [50])
    with (
        open_video(path, reader="pyav") as opened,
        ReadAhead(opened, range(120), batch_size=8) as ahead,
        pytest.raises(VideoError, match="Frame 50 of 120"),
    ):
        list(ahead)


def test_bad_frames_are_reported_here_too(video, tmp_path):
    """A gap in the middle is left out and listed."""
    path = make_zeroed(tmp_path / "damaged.mp4", video("fast.mp4", frames=120), [50])
    with (
        open_video(path, reader="pyav", on_bad_frame="report") as opened,
        ReadAhead(opened, range(120), batch_size=8) as ahead,
    ):
        got = [int(index) for batch in ahead for index in batch.indices]
        bad = [frame.index for frame in opened.bad_frames]
    assert 50 in bad
    assert sorted(got + bad) == list(range(120))


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("taken", [0, 1, 3])
def test_left_in_the_middle(video, reader, taken):
    """The thread ends, no frame is called bad, and the reader says that it was cancelled."""
    with open_video(video("plain.mp4"), reader=reader) as opened:
        with ReadAhead(opened, range(48), batch_size=4) as ahead:
            for _ in range(taken):
                next(ahead)
        assert not ahead._thread.is_alive()
        assert opened.bad_frames == []
        assert opened.notes == []
        with pytest.raises(UsageError, match="was cancelled; open it again"):
            opened.read([0])


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_left_by_an_exception(video, error):
    """What the consumer raises passes through unchanged."""

    def consume():
        with (
            open_video(video("plain.mp4")) as opened,
            ReadAhead(opened, range(48), batch_size=4) as ahead,
        ):
            next(ahead)
            raise error

    with pytest.raises(error):
        consume()


def test_ctrl_c_while_waiting_for_a_batch():
    """The wait ends at once, although the reader would never have answered."""
    reader = Pictures(wait_at=10)

    def press():
        reader.waiting.wait()
        time.sleep(0.05)
        signal.raise_signal(signal.SIGINT)

    presser = threading.Thread(target=press)
    presser.start()
    ahead = ReadAhead(reader, range(100), batch_size=4)
    with pytest.raises(KeyboardInterrupt), ahead:
        list(ahead)
    presser.join()
    assert not ahead._thread.is_alive()


def test_a_thread_that_dies_without_a_word(monkeypatch):
    """The consumer is told; it does not wait for ever."""
    monkeypatch.setattr(ReadAhead, "_work", lambda self: None)
    with (
        ReadAhead(Pictures(), range(100), batch_size=4) as ahead,
        pytest.raises(VideoError, match="ended without a word"),
    ):
        next(ahead)


def test_used_wrongly():
    """Within its block, once, and with arguments that make sense."""
    with pytest.raises(UsageError, match="depth must be at least 1, got 0"):
        ReadAhead(Pictures(), [0], batch_size=1, depth=0)
    with pytest.raises(UsageError, match="Frame 100 of pictures does not exist"):
        ReadAhead(Pictures(), [100], batch_size=1)
    ahead = ReadAhead(Pictures(), [0, 1], batch_size=1)
    with pytest.raises(UsageError, match="within its `with` block only"):
        next(ahead)
    with ahead:
        assert [shown(batch) for batch in ahead] == [[0], [1]]
        with pytest.raises(UsageError, match="can be entered once"):
            ahead.__enter__()
    with pytest.raises(UsageError, match="within its `with` block only"):
        next(ahead)


def test_nothing_asked_nothing_given():
    """No index, no batch."""
    with ReadAhead(Pictures(), [], batch_size=4) as ahead:
        assert list(ahead) == []


SCRIPT = """
import sys
from retake.video import ReadAhead, open_video
opened = open_video(sys.argv[1], reader=sys.argv[2])
ahead = ReadAhead(opened, range(48), batch_size=4, depth=1).__enter__()
next(ahead)
print(ahead._reader.info.reader, flush=True)
{end}
"""


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("end", ["", "raise SystemExit(0)"], ids=["end", "exit"])
def test_an_interpreter_that_ends_is_not_held_up(video, end, reader):
    """Also where the block was never left."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(end=end), str(video("plain.mp4")), reader],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, reader, "")
