"""Questions about a script, with answers that follow from it.

The idea: each kind of question is one function from a script to its text, answer and
wrong options; everything random comes from the generator it is given. A question
reads as multiple choice by letter or as an open question. This module knows nothing
of models, tokens or pixels.
"""

from collections.abc import Callable, Sequence
from typing import Literal

import attrs
import numpy as np

from retake.datasets.scenes.world import COLOURS, MAX_NEEDLES, SHAPES, Needle, Scene, Script

Layout = Literal["inline", "lines"]
LETTERS = "ABCDEFGH"

NEEDLE_KINDS = (
    "needle_colour",
    "needle_shape",
    "needle_exists",
    "needle_order",
    "needle_first",
    "needle_last",
)
SCENE_KINDS = ("scene_colour", "scene_shape")
KINDS = NEEDLE_KINDS + SCENE_KINDS
# Those that the benchmark adds. KINDS is what the embedded model was trained on, and stays.
MORE_KINDS = ("needle_count", "scene_start", "scene_end")
ALL_KINDS = KINDS + MORE_KINDS
NUMBERS = tuple(str(number) for number in range(1, MAX_NEEDLES + 1))

# The first phrasing of each kind is the plain one, used where no variety is asked for.
PHRASINGS: dict[str, tuple[str, ...]] = {
    "needle_colour": (
        "What colour is the flashed {shape}?",
        "What colour is the {shape} that flashed?",
        "What color was the flashed {shape}?",
        "Which colour did the flashed {shape} have?",
        "A {shape} was flashed briefly in the video. What was its colour?",
    ),
    "only_colour": (
        "What colour is the flashed shape?",
        "What was the color of the shape that flashed?",
        "Which colour was the flashed object?",
    ),
    "needle_shape": (
        "Which shape flashed in {colour}?",
        "What shape was the flashed {colour} object?",
        "What is the shape of the {colour} object that flashed?",
        "Which shape is the flashed {colour} one?",
    ),
    "only_shape": (
        "Which shape flashed?",
        "What shape was the flashed object?",
        "What is the flashed shape?",
    ),
    "needle_exists": (
        "Did {thing} flash?",
        "Was {thing} flashed in the video?",
        "Is there {thing} that flashed?",
        "Does {thing} flash in the video?",
    ),
    "needle_order": (
        "Which flashed first, the {a} or the {b}?",
        "Which shape flashed earlier, the {a} or the {b}?",
        "Of the flashed {a} and {b}, which came first?",
    ),
    "needle_first": (
        "What {colour} was the first flashed shape?",
        "What is the {colour} of the first shape that flashed?",
        "Which {colour} flashed first?",
    ),
    "needle_last": (
        "What {colour} was the last flashed shape?",
        "What is the {colour} of the last shape that flashed?",
        "Which {colour} flashed last?",
    ),
    "scene_colour": (
        "What colour is the moving {shape}?",
        "What color was the {shape} that moves in the scene?",
        "Which colour does the moving {shape} have?",
    ),
    "scene_shape": (
        "Which shape moves in {colour}?",
        "What shape is the moving {colour} object?",
        "What is the shape of the {colour} object that moves in the scene?",
    ),
    "needle_count": (
        "How many flashes are there in the video?",
        "How many flashes did the video have?",
    ),
    "scene_start": (
        "What {colour} is the moving object at the start of the video?",
        "What {colour} was the object that moves at the start of the video?",
    ),
    "scene_end": (
        "What {colour} is the moving object at the end of the video?",
        "What {colour} was the object that moves at the end of the video?",
    ),
}


@attrs.frozen
class Question:
    """One question about a video.

    Attributes:
        kind: one of ALL_KINDS.
        text: the question alone.
        options: what may be chosen, in the order of their letters.
        answer: the true option; also the open question's answer.
    """

    kind: str
    text: str
    options: tuple[str, ...]
    answer: str

    @property
    def letter(self) -> str:
        """The true option's letter."""
        return LETTERS[self.options.index(self.answer)]

    def choose(self, layout: Layout = "inline") -> str:
        """The question as multiple choice, answered by a letter."""
        if layout == "lines":
            return "\n".join([self.text, *_lettered("{}. {}", self.options)])
        return " ".join([self.text, *_lettered("({}) {}", self.options)])


def _lettered(form: str, options: Sequence[str]) -> list[str]:
    return [form.format(letter, option) for letter, option in zip(LETTERS, options, strict=False)]


class _Asker:
    """The questions that can be asked of one script, one method a kind; None where none can."""

    def __init__(
        self, script: Script, rng: np.random.Generator, varied: bool, about: int | None
    ) -> None:
        self.script, self.rng, self.varied, self.about = script, rng, varied, about

    def needle_colour(self) -> Question | None:
        needle = self._any_needle()
        key = "only_colour" if self._alone() else "needle_colour"
        return self._choice("needle_colour", self._say(key, shape=needle.shape), needle.colour)

    def needle_shape(self) -> Question | None:
        needle = self._any_needle()
        key = "only_shape" if self._alone() else "needle_shape"
        return self._choice("needle_shape", self._say(key, colour=needle.colour), needle.shape)

    def needle_exists(self) -> Question | None:
        present = bool(self.rng.random() < 0.5)
        thing = self._present_thing() if present else self._absent_thing()
        text = self._say("needle_exists", thing=f"{'an' if thing[0] == 'o' else 'a'} {thing}")
        return Question("needle_exists", text, ("yes", "no"), "yes" if present else "no")

    def needle_order(self) -> Question | None:
        if len(self.script.needles) < 2:
            return None
        i, j = self._two_needles()
        first, second = self.script.needles[i].shape, self.script.needles[j].shape
        a, b = self.rng.permutation([first, second])
        options = tuple(str(option) for option in self.rng.permutation([first, second]))
        return Question("needle_order", self._say("needle_order", a=a, b=b), options, first)

    def needle_first(self) -> Question | None:
        return self._at_end("needle_first", self.script.needles[0])

    def needle_last(self) -> Question | None:
        return self._at_end("needle_last", self.script.needles[-1])

    def needle_count(self) -> Question | None:
        answer = str(len(self.script.needles))
        return self._choice("needle_count", self._say("needle_count"), answer)

    def scene_start(self) -> Question | None:
        return self._colour_or_shape("scene_start", self.script.scenes[0])

    def scene_end(self) -> Question | None:
        return self._colour_or_shape("scene_end", self.script.scenes[-1])

    def scene_colour(self) -> Question | None:
        pairs = sorted({(s.shape, s.colour) for s in self.script.scenes})
        shapes = [shape for shape, _ in pairs]
        return self._scene("scene_colour", [p for p in pairs if shapes.count(p[0]) == 1])

    def scene_shape(self) -> Question | None:
        pairs = sorted({(s.shape, s.colour) for s in self.script.scenes})
        colours = [colour for _, colour in pairs]
        return self._scene("scene_shape", [p for p in pairs if colours.count(p[1]) == 1])

    def _scene(self, kind: str, pairs: list[tuple[str, str]]) -> Question | None:
        if not pairs:
            return None
        shape, colour = pairs[self.rng.integers(len(pairs))]
        text = self._say(kind, shape=shape, colour=colour)
        return self._choice(kind, text, colour if kind == "scene_colour" else shape)

    def _at_end(self, kind: str, needle: Needle) -> Question | None:
        return self._colour_or_shape(kind, needle) if len(self.script.needles) > 1 else None

    def _colour_or_shape(self, kind: str, thing: Needle | Scene) -> Question:
        about = "colour" if self.rng.random() < 0.5 else "shape"
        text = self._say(kind, colour=about)
        return self._choice(kind, text, thing.colour if about == "colour" else thing.shape)

    def _alone(self) -> bool:
        return len(self.script.needles) == 1 and bool(self.rng.random() < 0.5)

    def _any_needle(self) -> Needle:
        if self.about is not None:
            return self.script.needles[self.about]
        return self.script.needles[self.rng.integers(len(self.script.needles))]

    def _two_needles(self) -> list[int]:
        """The places of two needles, the earlier first; one of them is what all is about."""
        count = len(self.script.needles)
        if self.about is None:
            return sorted(self.rng.choice(count, 2, replace=False))
        other = self.rng.choice([place for place in range(count) if place != self.about])
        return sorted((self.about, int(other)))

    def _present_thing(self) -> str:
        needle = self._any_needle()
        things = (needle.shape, f"{needle.colour} {needle.shape}", f"{needle.colour} shape")
        return things[self.rng.integers(3)]

    def _absent_thing(self) -> str:
        """Something that did not flash: often a mix of two needles, or what a scene shows."""
        needle, scene = self._any_needle(), self.script.scenes[0]
        shapes = [n.shape for n in self.script.needles]
        colours = [n.colour for n in self.script.needles]
        form = self.rng.integers(3)
        if form == 0 and len(shapes) < len(SHAPES):
            return self._not_in(SHAPES, shapes, likely=scene.shape)
        if form == 1 and len(colours) < len(COLOURS):
            return f"{self._not_in(COLOURS, colours, likely=scene.colour)} shape"
        return f"{self._not_in(COLOURS, [needle.colour], likely=colours[-1])} {needle.shape}"

    def _not_in(self, names: Sequence[str], taken: Sequence[str], likely: str) -> str:
        if likely not in taken and self.rng.random() < 0.5:
            return likely
        return str(self.rng.choice([name for name in names if name not in taken]))

    def _choice(self, kind: str, text: str, answer: str) -> Question:
        """Four options of the answer's sort, in random order."""
        names = sort_of(answer)
        wrong = self.rng.permutation([name for name in names if name != answer])[:3]
        options = tuple(str(name) for name in self.rng.permutation([answer, *wrong]))
        return Question(kind, text, options, answer)

    def _say(self, key: str, **slots: str) -> str:
        phrasings = PHRASINGS[key]
        return phrasings[self.rng.integers(len(phrasings)) if self.varied else 0].format(**slots)


_ASK: dict[str, Callable[[_Asker], Question | None]] = {
    kind: getattr(_Asker, kind) for kind in ALL_KINDS
}


def sort_of(answer: str) -> tuple[str, ...]:
    """All names of the sort that a name is of: colours, shapes or numbers."""
    return next(names for names in (COLOURS, SHAPES, NUMBERS) if answer in names)


def ask(
    script: Script,
    rng: np.random.Generator,
    *,
    kinds: Sequence[str] = KINDS,
    varied: bool = True,
    about: int | None = None,
) -> tuple[Question, ...]:
    """One question of each kind that the script allows, in the order given.

    Args:
        script: the video asked about.
        rng: chooses what is asked, the options and their order.
        kinds: of ALL_KINDS, repeats allowed.
        varied: choose among phrasings, or always use the plain one.
        about: which of the needles is asked about wherever there is a choice; None: by chance.
    """
    asker = _Asker(script, rng, varied, about)
    made = (_ASK[kind](asker) for kind in kinds)
    return tuple(question for question in made if question is not None)
