"""Cancelling a read from another thread, and decord's process dying while it is read from."""

import threading
import time

import pytest

from retake.core.errors import UsageError, VideoError
from retake.video import ReadAhead, open_video
from tests.video.test_decord_process import HANGING


@pytest.mark.parametrize("on_bad_frame", ["error", "report"])
@pytest.mark.parametrize("reader", ["decord", "pyav"])
def test_a_running_read_ends(video, reader, on_bad_frame):
    """Within a frame or two of the one at which it was cancelled, and without an error."""
    seen, cancelled = [], threading.Event()

    def each(frame):
        seen.append(cancelled.is_set())
        if len(seen) == 20:
            opened.cancel()
            opened.cancel()
            cancelled.set()
        return frame

    with open_video(video("plain.mp4"), reader=reader, on_bad_frame=on_bad_frame) as opened:
        assert [len(batch) for batch in opened.read(range(48), batch_size=8, each=each)] == [8, 8]
        assert sum(seen) <= 1
        assert opened.bad_frames == []
        assert opened.notes == []
        with pytest.raises(UsageError, match="was cancelled"):
            opened.read([0])


def test_on_the_way_to_a_frame(video):
    """Not only between wanted frames: decoding up to one that is far ends as well."""
    one_key = {"frames": 240, "gop": 240, "options": {"x264-params": "scenecut=0"}}
    with open_video(video("far.mp4", **one_key), reader="pyav") as opened:
        check, checks = opened._check_cancelled, 0

        def counted():
            nonlocal checks
            checks += 1
            if checks == 50:
                opened.cancel()
            check()

        opened._check_cancelled = counted
        assert list(opened.read([230])) == []
        assert checks <= 52


def test_while_decord_is_waited_for(video, tmp_path, monkeypatch):
    """Its process is killed, so that even one that hangs does not hold up the read."""
    script = tmp_path / "worker.py"
    script.write_text(HANGING)
    monkeypatch.setattr("retake.video.decord_process.WORKER", script)
    with open_video(video("plain.mp4"), reader="decord") as opened:
        began = time.monotonic()
        thread = threading.Timer(0.2, opened.cancel)
        thread.start()
        assert list(opened.read(range(48))) == []
        thread.join()
        assert time.monotonic() - began < 30, "it would have waited 60 s for a frame"
        assert opened.notes == []
        assert opened.info.reader == "decord"


def test_before_and_after(video):
    """A read that was asked for but not begun gives nothing; a closed reader may be cancelled."""
    opened = open_video(video("plain.mp4"))
    frames = opened.read(range(48))
    opened.cancel()
    assert list(frames) == []
    opened.close()
    opened.cancel()


@pytest.mark.parametrize("ahead", [False, True], ids=["read", "ahead"])
def test_decord_dies_while_it_is_read_from(video, ahead):
    """A clear error, and PyAV does not take its place."""

    def each(frame):
        nonlocal count
        count += 1
        if count == 20:
            opened._process._process.kill()
        return frame

    def read(opened):
        if ahead:
            with ReadAhead(opened, range(48), batch_size=8, each=each) as batches:
                return [int(index) for batch in batches for index in batch.indices]
        return [
            int(i)
            for batch in opened.read(range(48), batch_size=8, each=each)
            for i in batch.indices
        ]

    count = 0
    with (
        open_video(video("plain.mp4"), reader="decord") as opened,
        pytest.raises(VideoError, match=r"decord cannot be trusted .* ended with -9"),
    ):
        read(opened)
