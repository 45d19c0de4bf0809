"""decord misbehaving, played by small scripts: it may hang, die or lie, and is found out."""

import gc

import pytest

from retake.core.errors import VideoError
from retake.video import open_video

HEAD = """
import json, os, sys, time
def answer(**fields):
    sys.stdout.buffer.write(json.dumps(fields).encode() + b"\\n"); sys.stdout.flush()
"""
OPENED = HEAD + "answer(frames=48)\n"
SILENT = HEAD + "time.sleep(600)\n"
MISCOUNTING = HEAD + "answer(frames=47)\ntime.sleep(600)\n"
HANGING = OPENED + "time.sleep(600)\n"
DYING = OPENED + "sys.stdin.readline()\nos._exit(3)\n"
HALF_SENT = OPENED + (
    "sys.stdin.readline()\nanswer(shape=[108, 192, 3])\n"
    "sys.stdout.buffer.write(bytes(100)); sys.stdout.flush(); os._exit(4)\n"
)
LYING = OPENED + (
    "for line in sys.stdin:\n"
    "    answer(shape=[108, 192, 3])\n"
    "    sys.stdout.buffer.write(bytes(108 * 192 * 3)); sys.stdout.flush()\n"
)


@pytest.fixture
def worker(tmp_path, monkeypatch):
    """`worker(script)`: that script in decord's place, with little patience for it."""
    monkeypatch.setattr("retake.video.decord_process.OPEN_SECONDS", 1.0)
    monkeypatch.setattr("retake.video.decord_reader.FRAME_SECONDS", 1.0)
    monkeypatch.setattr("retake.video.decord_reader.SECONDS_PER_DECODED_FRAME", 0.0)

    def place(script):
        path = tmp_path / "worker.py"
        path.write_text(script)
        monkeypatch.setattr("retake.video.decord_process.WORKER", path)

    return place


@pytest.mark.parametrize(
    ("script", "why"),
    [(SILENT, "no answer within 1 s"), (MISCOUNTING, "counts 47 frames, the container 48")],
    ids=["silent", "miscounting"],
)
def test_trouble_on_opening(video, worker, script, why):
    """An error that says why."""
    worker(script)
    with pytest.raises(VideoError, match=why):
        open_video(video("plain.mp4"), reader="decord")


@pytest.mark.parametrize(
    ("script", "why"),
    [
        (HANGING, "no answer within 1 s"),
        (DYING, "ended with 3"),
        (HALF_SENT, "ended with 4"),
        (LYING, "another frame than the one asked for"),
    ],
    ids=["hanging", "dying", "half sent", "lying"],
)
def test_trouble_on_reading(video, numbers, worker, script, why):
    """No wrong frame gets out, and no other reader's: an error that says why."""
    worker(script)
    with (
        open_video(video("plain.mp4"), reader="decord") as opened,
        pytest.raises(VideoError, match=why),
    ):
        numbers(opened, [5, 30])


@pytest.mark.parametrize("forget", [False, True], ids=["closed", "forgotten"])
def test_nothing_is_left_behind(video, forget):
    """Closing ends the process and removes its log; so does forgetting to close."""
    opened = open_video(video("plain.mp4"), reader="decord")
    process, log = opened._process._process, opened._process._said
    if not forget:
        opened.close()
    del opened
    gc.collect()
    assert process.poll() is not None
    assert not log.exists()
