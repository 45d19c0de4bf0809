"""The benchmark's videos by seed, length and number: scripts and questions, nothing written yet.

The idea: what is in a video follows from those three numbers, by a stream of random numbers
that neither training nor anything else draws from; each kind of question has a stream of
its own, so asking fewer kinds changes nothing about the others.
"""

import attrs

from retake.datasets.scenes.clip import Clip
from retake.datasets.scenes.placing import Placed
from retake.datasets.scenes.questions import ALL_KINDS, Question, ask, sort_of
from retake.datasets.scenes.world import Script, stream

WORD = 32  # bits; a script's seed here is four words, and all other users' is one
_KEY = 0x42656E63  # the fourth


@attrs.frozen
class Video:
    """One video of the benchmark, made or not.

    Attributes:
        clip: the file, and what is true of it.
        placed: its script, and the card asked about.
        seed: the benchmark's seed that it belongs to.
        depth: where the card asked about was to stand, as a fraction of the length.
    """

    clip: Clip
    placed: Placed
    seed: int
    depth: float


def script_seed(seconds: float, seed: int, number: int) -> int:
    """The seed of a video's script: four words, of which the last is the benchmark's own.

    Everything else that draws from the test split has a seed of one word and at most one word
    behind it, so the streams' keys differ whatever the numbers.
    """
    words = (number, seed, round(seconds * 1000), _KEY)
    return sum(word << (WORD * place) for place, word in enumerate(words))


def questions_about(placed: Placed) -> tuple[Question, ...]:
    """A question of each kind that there is for a script; each kind draws from its own stream."""
    script: Script = placed.script
    return tuple(
        question
        for number, kind in enumerate(ALL_KINDS, start=1)
        for question in ask(
            script,
            stream(script.split, script.seed, number),
            kinds=(kind,),
            varied=False,
            about=placed.asked,
        )
    )


def possible_answers(question: Question, placed: Placed) -> tuple[str, ...]:
    """All answers that a guesser without options would choose among."""
    if question.kind == "needle_count":
        return tuple(str(count) for count in placed.counts)
    return question.options if len(question.options) == 2 else sort_of(question.answer)


def is_placed(question: Question) -> bool:
    """Whether the answer hangs on the one card that stands where it was told to."""
    return question.kind in ("needle_colour", "needle_shape") or (
        question.kind == "needle_exists" and question.answer == "yes"
    )
