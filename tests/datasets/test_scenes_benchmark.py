"""The scenes benchmark's questions: true, at the depth they claim, the same in every run."""

import json
import re
from hashlib import sha256
from typing import Any

import attrs
import numpy as np
import pytest

from retake import UsageError, datasets
from retake.core.benchmark import Sample
from retake.core.config import structure
from retake.datasets.scenes import COLOURS, KINDS, SHAPES, Clip, Script, ask, write_script
from retake.datasets.scenes.benchmark import Scenes
from retake.datasets.scenes.catalogue import Video
from retake.datasets.scenes.questions import ALL_KINDS, PHRASINGS, Question
from retake.datasets.scenes.render import frame_count
from retake.models.embedded import checkpoint_path, clips

ONE_NEEDLE = ("needle_colour", "needle_shape", "needle_exists")


def asked_of(benchmark: Scenes) -> list[tuple[Video, Sample]]:
    """What a benchmark would ask, without making a video."""
    return [(video, sample) for video in benchmark.planned() for sample in benchmark.asked(video)]


def truth(kind: str, text: str, script: Script) -> str:
    """The answer, looked up in the lists of scenes and needles by what the question names."""
    words = re.findall("[a-z]+", text.partition(" (A)")[0].lower())
    shapes, colours = ([w for w in words if w in names] for names in (SHAPES, COLOURS))
    things = script.scenes if kind.startswith("scene") else script.needles
    if kind == "needle_count":
        return str(len(things))
    if kind == "needle_exists":
        return "yes" if _is_there(shapes, colours, script) else "no"
    if kind == "needle_order":
        return next(n.shape for n in sorted(things, key=lambda n: n.start) if n.shape in shapes)
    if kind in ("needle_first", "scene_start"):
        thing = min(things, key=lambda each: each.start)
    elif kind in ("needle_last", "scene_end"):
        thing = max(things, key=lambda each: each.end)
    else:
        named = [t for t in things if [t.shape] == shapes or [t.colour] == colours]
        found = {(t.shape, t.colour) for t in (named if shapes or colours else things)}
        assert len(found) == 1, text
        return next(iter(found))[kind.endswith("colour")]
    return thing.colour if "colour" in words else thing.shape


def _is_there(shapes: list[str], colours: list[str], script: Script) -> bool:
    return any(
        needle.shape in (shapes or SHAPES) and needle.colour in (colours or COLOURS)
        for needle in script.needles
    )


@pytest.mark.parametrize("answers", ["words", "letters"])
@pytest.mark.parametrize("seconds", [4, 16, 64, 3600])
def test_every_answer_is_true(answers: Any, seconds: float) -> None:
    """Recomputed from the script, for every kind, as asked; and among the options, once."""
    benchmark = Scenes(lengths=(seconds,), videos=5, seeds=8, answers=answers)
    kinds = set()
    for video, sample in asked_of(benchmark):
        assert sample.answer == truth(sample.kind, sample.question, video.placed.script)
        assert sample.options.count(sample.answer) == 1
        assert len(set(sample.options)) == len(sample.options)
        kinds.add(sample.kind)
    assert kinds == set(ALL_KINDS)


@pytest.mark.parametrize("needles", [(1, 1), (1, 4), (8, 8)])
@pytest.mark.parametrize("seconds", [64, 600, 4 * 3600])
def test_the_needle_asked_about_stands_at_the_depth(
    seconds: float, needles: tuple[int, int]
) -> None:
    """What the question names is shown around the depth that its sample is grouped under."""
    depths = (0.1, 0.25, 0.5, 0.75, 0.9)
    benchmark = Scenes(lengths=(seconds,), videos=10, needles=needles, depths=depths)
    seen = set()
    for video, sample in asked_of(benchmark):
        depth = sample.groups.get("depth")
        assert (depth is not None) == (
            sample.kind in ONE_NEEDLE and (sample.kind, sample.answer) != ("needle_exists", "no")
        )
        if depth is None:
            continue
        words = set(re.findall("[a-z]+", f"{sample.question} {sample.answer}"))
        named = [n for n in video.placed.script.needles if n.shape in words or n.colour in words]
        assert len(named) == 1
        middle = (named[0].start + named[0].end) / 2
        assert middle == pytest.approx(depth * seconds, abs=0.25)
        seen.add(depth)
    assert seen == set(depths)


def test_depths_take_turns() -> None:
    """Each depth as often as any other, in every length; fewer videos than depths go on by seed."""
    depths = [video.depth for video in Scenes(lengths=(8,), videos=5, seeds=2).planned()]
    assert depths == [0.1, 0.3, 0.5, 0.7, 0.9, 0.3, 0.5, 0.7, 0.9, 0.1]
    few = [video.depth for video in Scenes(lengths=(8,), videos=1, seeds=5).planned()]
    assert few == [0.1, 0.3, 0.5, 0.7, 0.9]


def test_samples_say_what_they_are() -> None:
    """One sample in full."""
    video, sample = asked_of(Scenes(root="r", lengths=(64,), seeds=(7,), videos=3))[0]
    assert sample.id == "64s-seed7-000/needle_colour"
    assert str(sample.video) == "r/64s-seed7-000.mp4"
    assert sample.groups == {"seconds": 64.0, "seed": "7", "depth": 0.5}
    needle = video.placed.script.needles[video.placed.asked]
    assert sample.question == f"What colour is the flashed {needle.shape}?"
    assert (sample.kind, sample.answer, sample.options) == ("needle_colour", needle.colour, COLOURS)


def test_ids_are_unique_and_stay() -> None:
    """Fewer kinds, lengths, seeds or videos, another folder or form: what is left is the same."""
    everything = Scenes(lengths=(16, 64), videos=4, seeds=3)
    questions = {sample.id: sample.question for _, sample in asked_of(everything)}
    assert len(questions) == len(asked_of(everything))
    for changed in (
        {"kinds": ("needle_order", "needle_colour")},
        {"lengths": (64,)},
        {"seeds": (2,)},
        {"videos": 2},
        {"root": "elsewhere"},
        {"size": 64, "background": "wild"},
    ):
        fewer = {s.id: s.question for _, s in asked_of(attrs.evolve(everything, **changed))}
        assert fewer.items() <= questions.items()
    letters = asked_of(attrs.evolve(everything, answers="letters"))
    assert [sample.id for _, sample in letters] == list(questions)
    assert all(s.question.startswith(questions[s.id] + " (A) ") for _, s in letters)


def test_chance() -> None:
    """Guessing among two, four, all eight colours or shapes, or the counts there may be."""
    words, letters = (
        {s.kind: s.chance for _, s in asked_of(Scenes(lengths=(64,), needles=(2, 4), answers=form))}
        for form in ("words", "letters")
    )
    two = {"needle_exists": 1 / 2, "needle_order": 1 / 2}
    assert words == dict.fromkeys(ALL_KINDS, 1 / 8) | two | {"needle_count": 1 / 3}
    assert letters == dict.fromkeys(ALL_KINDS, 1 / 4) | two


def test_a_count_that_is_known_beforehand_is_not_asked() -> None:
    """Where every video has as many needles, or room for one only."""
    for benchmark in (Scenes(lengths=(64,), needles=(3, 3)), Scenes(lengths=(4,), depths=(0.5,))):
        assert "needle_count" not in {sample.kind for _, sample in asked_of(benchmark)}


def test_letters_and_instructions() -> None:
    """Options stand in the question where it is answered by letter; the instruction comes last."""
    benchmark = Scenes(lengths=(64,), answers="letters", instruction="Answer with the letter only.")
    for _, sample in asked_of(benchmark):
        shown = " ".join(f"({a}) {b}" for a, b in zip("ABCD", sample.options, strict=False))
        assert sample.question.endswith(f"? {shown} Answer with the letter only.")


def test_marking() -> None:
    """Words are marked in both forms, letters only where they were shown."""
    words, letters = Scenes(lengths=(64,)), Scenes(lengths=(64,), answers="letters")
    _, sample = asked_of(letters)[0]
    letter = "ABCD"[sample.options.index(sample.answer)]
    other = next(option for option in sample.options if option != sample.answer)
    table = {sample.answer: 1.0, f"{sample.answer.upper()}.": 1.0, other: 0.0, "": 0.0}
    for answer, mark in (table | {letter: 1.0, f"({letter}) {sample.answer}": 1.0}).items():
        assert letters.mark(sample, answer) == mark
    for answer, mark in (table | {letter: 0.0}).items():
        assert words.mark(asked_of(words)[0][1], answer) == mark


def test_wordings_are_in_the_embedded_models_vocabulary() -> None:
    """Nothing asked contains a word that the model has no token for."""
    vocabulary = json.loads((checkpoint_path() / "tokenizer.json").read_text())["model"]["vocab"]
    filled = {"colour": "colour", "shape": "star", "thing": "a star", "a": "star", "b": "moon"}
    texts = [text.format(**filled) for texts in PHRASINGS.values() for text in texts]
    texts += [sample.question for _, sample in asked_of(Scenes(lengths=(64,), answers="letters"))]
    for text in texts:
        for word in re.findall(r"[A-Za-z]+|\d|[^\w\s]", text):
            assert word in vocabulary or word.lower() in vocabulary, (word, text)


@pytest.mark.parametrize("fps", [1, 2, 3, 4, 7.5, 29.97])
@pytest.mark.parametrize("seconds", [4, 9.6, 64, 100.1])
def test_a_frame_falls_into_every_card(fps: float, seconds: float) -> None:
    """Wherever a card stands, the file has a frame of it."""
    benchmark = Scenes(lengths=(seconds,), videos=7, fps=fps, depths=(0, 0.1, 0.5, 1))
    times = np.arange(frame_count(seconds, fps)) / fps
    for video in benchmark.planned():
        for needle in video.placed.script.needles:
            assert ((needle.start <= times) & (times < needle.end)).any()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"lengths": [3]}, "lengths must be numbers from 4"),
        ({"lengths": []}, "lengths"),
        ({"lengths": [64, 64.0]}, "each once"),
        ({"seeds": 0}, "seeds"),
        ({"seeds": [1.5]}, "seeds must be whole numbers"),
        ({"seeds": "three"}, "seeds"),
        ({"videos": 0}, "videos"),
        ({"needles": [0, 3]}, "needles"),
        ({"needles": [3, 2]}, "the least and the most"),
        ({"needles": [1, 9]}, "from 1 to 8"),
        ({"needle_seconds": [0.1, 1]}, "needle_seconds"),
        ({"fps": 0.5}, "fps must show each needle"),
        ({"fps": 1, "lengths": [4.45]}, "in a video of 4.45"),
        ({"fps": 1000}, "fps"),
        ({"size": 33}, "even"),
        ({"depths": [1.2]}, "depths"),
        ({"kinds": ["needle_color"]}, "'needle_colour'"),
        ({"kinds": ["needle_order", "needle_order"]}, "each once"),
        ({"answers": "word"}, "'words'"),
        ({"background": "loud"}, "busy, calm, wild"),
        ({"length": [64]}, "'lengths'"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, Any], words: str) -> None:
    """The message names the option and what is allowed."""
    with pytest.raises(UsageError) as caught:
        structure(datasets.get("scenes"), options, "option of scenes")
    assert words in str(caught.value)


def test_options_come_from_plain_data() -> None:
    """Lists, a lone number and a count of seeds, as YAML and flags have them."""
    made = structure(
        datasets.get("scenes"),
        {"lengths": 64, "seeds": 3, "needles": [2, 2], "kinds": "needle_order"},
        "option of scenes",
    )
    assert made == Scenes(lengths=(64.0,), seeds=(0, 1, 2), needles=(2, 2), kinds=("needle_order",))
    assert json.loads(json.dumps(attrs.asdict(made)))["seeds"] == [0, 1, 2]


def test_questions_of_other_streams_are_as_ever() -> None:
    """What training and the card were made with: a digest of questions from before there were
    more kinds, and the clips that ship."""
    made = [
        [[q.kind, q.text, q.options, q.answer] for q in _asked_before(seconds, seed)]
        for seed in range(60)
        for seconds in (8, 64, 600)
    ]
    digest = sha256(json.dumps(made).encode()).hexdigest()
    assert digest == "e4208d8364a902c4780198e5df9083b5f56a9228ecb812c4f1572bf52c25ad1c"
    for path in clips():
        clip = Clip.load(path.with_suffix(".json"))
        assert write_script(clip.seconds, clip.seed, needles=len(clip.needles)) == clip.script


def _asked_before(seconds: float, seed: int) -> tuple[Question, ...]:
    return ask(write_script(seconds, seed), np.random.default_rng(seed), kinds=KINDS * 3)
