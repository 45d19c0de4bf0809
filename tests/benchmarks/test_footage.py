"""Generated videos have the frames, times and needles that they are said to have."""

from itertools import pairwise

import numpy as np
import pytest

from benchmarks import day, footage, harness
from retake.datasets.scenes.clip import decode
from retake.video import open_video


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):  # type: ignore[no-untyped-def]
    monkeypatch.setattr(footage, "CACHE", tmp_path)
    monkeypatch.setattr(harness, "CACHE", tmp_path)


def test_a_long_video_has_every_frame_at_its_time() -> None:
    path = footage.static_scenes(301, fps=2, size=64)
    with open_video(path) as video:
        assert video.info.frame_count == 301
        assert np.allclose(video.timestamps, np.arange(301) / 2)
    assert footage.static_scenes(301, fps=2, size=64) == path


def test_moving_scenes_move_and_have_the_size_asked_for() -> None:
    frames = list(decode(footage.moving_scenes(6, width=112, height=56)))
    assert len(frames) == 6
    assert frames[0].shape == (56, 112, 3)
    assert all((a != b).any() for a, b in pairwise(frames))


def test_a_day_shows_its_cards_when_it_says_so() -> None:
    script = day.write_day(240, seed=3)
    frames = [frame.astype(int) for frame in decode(day.video_of(script))]
    assert len(frames) == 240
    for number, needle in enumerate(script.needles):
        assert 240 / 8 * number <= needle.start < needle.end <= 240 / 8 * (number + 1)
        shown, before = frames[int(needle.start)], frames[int(needle.start) - 1]
        # A light card covers half of the picture and more.
        assert shown.mean() > before.mean() + 30
        assert abs(frames[int(needle.end) - 1] - shown).mean() < 10
        assert frames[int(needle.end)].mean() < shown.mean() - 30


def test_questions_have_true_answers() -> None:
    script = day.write_day(240, seed=3)
    asked = day.questions_of(script)
    assert len(asked) == 32
    pairs = {f"{n.colour} {n.shape}" for n in script.needles}
    for question in asked:
        named = question.text.removesuffix(" flash?").removeprefix("Did ").split(" ", 1)[-1]
        if question.kind in ("present", "absent"):
            assert (named in pairs) == (question.answer == "yes")
    right = day.right_of(asked, [question.answer for question in asked])
    assert all(right.values())
    assert day.rows_of(script, right)[-1][-1] == "32 of 32"
