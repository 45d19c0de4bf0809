"""The scene world: scripts follow from seeds, frames from scripts, answers from both."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retake.core.errors import UsageError, VideoError
from retake.datasets.scenes import (
    COLOURS,
    KINDS,
    SHAPES,
    Clip,
    Needle,
    Question,
    Scene,
    Script,
    ask,
    make_clip,
    write_script,
)
from retake.datasets.scenes.clip import decode
from retake.datasets.scenes.render import Renderer, frame_count, frames
from retake.datasets.scenes.world import NEEDLE_GAP


def tiny_script() -> Script:
    """A red star for 16 seconds, a blue ring for 16; a green moon flashes, then a pink cross."""
    scenes = (Scene(0, 16, "star", "red", 1), Scene(16, 32, "ring", "blue", 2))
    needles = (Needle(5, 7, "moon", "green", 3), Needle(20, 22.5, "cross", "pink", 4))
    return Script(32, 0, "test", scenes, needles)


@given(st.floats(4, 600), st.integers(0, 2**32))
@settings(max_examples=60, deadline=None)
def test_scripts_hold_their_promises(seconds: float, seed: int) -> None:
    """Scenes cover the video without gaps; needles lie inside, apart, and differ."""
    script = write_script(seconds, seed)
    starts = [scene.start for scene in script.scenes]
    assert starts == [0.0, *(scene.end for scene in script.scenes[:-1])]
    assert script.scenes[-1].end == seconds
    for before, after in zip(script.scenes, script.scenes[1:], strict=False):
        assert before.shape != after.shape
        assert before.colour != after.colour
    for before, after in zip(script.needles, script.needles[1:], strict=False):
        assert after.start - before.end >= NEEDLE_GAP - 0.5
    assert script.needles
    assert script.needles[0].start >= 0
    assert script.needles[-1].end <= seconds
    assert len({n.shape for n in script.needles}) == len(script.needles)
    assert len({n.colour for n in script.needles}) == len(script.needles)


def test_same_seed_same_script() -> None:
    """A script follows from its seed; another seed gives another."""
    assert write_script(60, 7) == write_script(60, 7)
    assert write_script(60, 7) != write_script(60, 8)


def test_train_and_test_never_meet() -> None:
    """No script of one split is a script of the other, whatever the seeds."""
    looks = [
        {scene.seed for seed in range(300) for scene in write_script(60, seed, split=split).scenes}
        for split in ("train", "test")
    ]
    assert not looks[0] & looks[1]


@pytest.mark.parametrize(
    ("seconds", "needles"), [(1.0, None), (float("nan"), None), (60, 0), (60, 9), (6, 5)]
)
def test_impossible_scripts_are_refused(seconds: float, needles: int | None) -> None:
    """Too short, none, or more needles than fit: a usage error, not a strange video."""
    with pytest.raises(UsageError):
        write_script(seconds, 0, needles=needles)


def test_needle_is_visible_exactly_when_claimed() -> None:
    """A card lightens the middle of the picture during its time and at no other."""
    script = tiny_script()
    bare = Script(script.seconds, 0, "test", script.scenes, ())
    for index, (shown, plain) in enumerate(
        zip(frames(script, size=64), frames(bare, size=64), strict=True)
    ):
        is_flashed = script.needle_at(index / 4) is not None
        assert (not np.array_equal(shown, plain)) == is_flashed
        if is_flashed:
            assert (shown.min(-1) > 180).mean() > 0.2


@pytest.mark.parametrize("shape", SHAPES)
def test_shapes_are_drawn_at_any_size(shape: str) -> None:
    """Every object covers a fair part of its frame, and much the same part at every size."""
    scene = Scene(0, 8, shape, "red", 5)
    red = []
    for size in (56, 224):
        picture = Renderer(Script(8, 0, "test", (scene,), ()), size).at(1.0).astype(int)
        red.append(float((picture[..., 0] - picture[..., 1] > 90).mean()))
    assert red[0] > 0.03
    assert red[0] == pytest.approx(red[1], rel=0.25)


def test_frames_do_not_depend_on_what_was_drawn_before() -> None:
    """Any moment can be drawn first."""
    script = tiny_script()
    in_order = list(frames(script, fps=1, size=32))
    assert len(in_order) == frame_count(32, 1)
    assert np.array_equal(in_order[21], Renderer(script, 32).at(21.0))


def asked(script: Script) -> list[Question]:
    """Many questions of every kind."""
    return list(ask(script, np.random.default_rng(0), kinds=KINDS * 40))


def test_answers_are_what_the_script_says() -> None:
    """Each kind's answer, looked up by hand in a script with two needles and two scenes."""
    colour = {"moon": "green", "cross": "pink", "star": "red", "ring": "blue"}
    shape = {c: s for s, c in colour.items()}
    for question in asked(tiny_script()):
        words = question.text.lower().replace("?", " ").replace(",", " ").replace(".", " ").split()
        named = [w for w in words if w in SHAPES or w in COLOURS]
        if question.kind in ("needle_colour", "scene_colour"):
            assert question.answer == colour[named[0]]
        elif question.kind in ("needle_shape", "scene_shape"):
            assert question.answer == shape[named[0]]
        elif question.kind == "needle_order":
            assert question.answer == "moon"
        elif question.kind == "needle_first":
            assert question.answer in ("moon", "green")
        elif question.kind == "needle_last":
            assert question.answer in ("cross", "pink")
        else:
            flashed = {"moon": "green", "cross": "pink"}
            true = {
                1: named[0] in flashed or named[0] in flashed.values(),
                2: flashed.get(named[-1]) == named[0],
            }
            assert question.answer == ("yes" if true[len(named)] else "no")


def test_options_hold_the_answer_once_under_every_letter() -> None:
    """The true option is there once, and letters are not given away by their frequency."""
    questions = [q for q in asked(tiny_script()) if len(q.options) == 4]
    assert all(q.options.count(q.answer) == 1 and len(set(q.options)) == 4 for q in questions)
    shares = [sum(q.letter == letter for q in questions) / len(questions) for letter in "ABCD"]
    assert min(shares) > 0.15


def test_existence_is_asked_evenly() -> None:
    """Yes and no are about as frequent."""
    answers = [q.answer for q in asked(tiny_script()) if q.kind == "needle_exists"]
    assert 0.25 < answers.count("yes") / len(answers) < 0.75


def test_layouts() -> None:
    """Options read inline or on lines of their own."""
    question = Question("needle_exists", "Did a moon flash?", ("yes", "no"), "no")
    assert question.letter == "B"
    assert question.choose() == "Did a moon flash? (A) yes (B) no"
    assert question.choose("lines") == "Did a moon flash?\nA. yes\nB. no"


def test_clip_survives_its_files(tmp_path: Path) -> None:
    """The mp4 decodes to about the frames drawn; the sidecar loads as the clip; nothing is left."""
    done: list[float] = []
    clip = make_clip(tmp_path / "a.mp4", seconds=8, seed=3, size=64, crf=18, progress=done.append)
    assert Clip.load(tmp_path / "a.json") == clip
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.json", "a.mp4"]
    decoded = np.stack(list(decode(clip.path))).astype(int)
    drawn = np.stack(list(frames(clip.script, size=64))).astype(int)
    assert decoded.shape == drawn.shape == (32, 64, 64, 3)
    assert np.abs(decoded - drawn).mean() < 8
    assert done[-1] == 1.0
    assert done == sorted(done)


def test_same_seed_same_bytes(tmp_path: Path) -> None:
    """Making a clip twice gives the same files."""
    for name in ("a", "b"):
        make_clip(tmp_path / f"{name}.mp4", seconds=5, seed=1, size=32)
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()
    left, right = (json.loads((tmp_path / f"{name}.json").read_text()) for name in ("a", "b"))
    assert left | {"video": ""} == right | {"video": ""}


@pytest.mark.parametrize("option", [{"size": 33}, {"size": 8}, {"fps": 0}, {"crf": 60}])
def test_bad_clip_options_are_refused(tmp_path: Path, option: dict[str, int]) -> None:
    """What the encoder could not do is refused before anything is written."""
    with pytest.raises(UsageError):
        make_clip(tmp_path / "a.mp4", seconds=5, seed=0, **option)  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())


def test_foreign_sidecar_is_refused(tmp_path: Path) -> None:
    """A JSON file of another kind is an error that names it."""
    (tmp_path / "x.json").write_text("{}")
    with pytest.raises(VideoError, match=r"x\.json"):
        Clip.load(tmp_path / "x.json")
