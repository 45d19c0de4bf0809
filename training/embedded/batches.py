"""Phase two's lessons: videos with several questions each, as tokens and targets.

The idea: questions are assembled from cached word ids, so that it is known where the
question ends and where each option stands; training (and only training) puts extra
losses there. Wordings around the question vary from batch to batch.
"""

from functools import cache
from typing import Any

import attrs
import numpy as np
import torch
from torch import Tensor

from retake.datasets.scenes.questions import KINDS, LETTERS, Question, ask
from retake.datasets.scenes.world import COLOURS, MAX_NEEDLES, SHAPES, Script, write_script
from training.embedded.footage import Footage, play

PREFIX = (
    "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n<|vision_start|>"
)
SUFFIX = "<|im_end|>\n<|im_start|>assistant\n"
BEFORE = (
    "",
    "",
    "",
    "Question:",
    "Answer the question about the video.",
    "Select the best answer to the following multiple-choice question based on the video. "
    "Respond with only the letter (A, B, C, or D) of the correct option.",
    "Watch the video and answer the question.",
)
AFTER_CHOICE = (
    "",
    "",
    "",
    "Answer with the option's letter from the given choices directly.",
    "Answer with the letter only.",
    "The best answer is:",
    "Answer:",
)
AFTER_OPEN = ("", "", "", "Answer with a single word.", "Answer the question using one word.")
OPTION_FORMS = (("(", ")"), ("(", ")"), ("", "."), ("", ")"), ("", ":"))
WORDINGS = " ".join([*BEFORE, *AFTER_CHOICE, *AFTER_OPEN, "Options:", "Which option matches?"])


@attrs.frozen
class Lesson:
    """What one batch is made of.

    Attributes:
        steps: temporal steps of every video.
        videos, questions: how many, and how many asked of each.
        kinds, varied: what is asked, and whether wordings vary.
        open_share, copy_share: of the questions, those answered by a word; those that
            need no video ("Which option matches red?").
        crowded: share of the videos with up to eight needles instead of up to four.
    """

    steps: int
    videos: int = 16
    questions: int = 8
    kinds: tuple[str, ...] = KINDS
    varied: bool = True
    open_share: float = 0.25
    copy_share: float = 0.0
    crowded: float = 0.5


@attrs.frozen
class Wording:
    """How the questions of one batch are framed."""

    before: str
    after_choice: str
    after_open: str
    form: tuple[str, str]
    options_word: bool
    unknown: float


PLAIN = Wording("", "", "", ("(", ")"), options_word=False, unknown=0.0)


@attrs.define
class Line:
    """One question as ids, and where things are in it: its end, its last shape or colour."""

    ids: list[int]
    ask_at: int
    thing_at: int
    options: list[tuple[int, int, int]]  # place, letter, whether it is the right one
    answer: int
    direct: int


@attrs.frozen
class Batch:
    """Frames [B, 2T, 56, 56, 3] and, per question, ids [B, Q, M] with places and targets [B, Q].

    `options` is [N, 4]: row of the flattened questions, place, letter, right or not.
    """

    frames: Tensor
    ids: Tensor
    answer_at: Tensor
    answers: Tensor
    ask_at: Tensor
    thing_at: Tensor
    direct: Tensor
    options: Tensor
    kinds: list[list[str]]


class Writer:
    """Turns questions into lines of ids."""

    def __init__(self, tokenizer: Any) -> None:
        self.end: int = tokenizer.vocab["<|im_end|>"]
        self.unknown = tokenizer.unk_token_id
        self.pad = tokenizer.pad_token_id

        @cache
        def encode(text: str) -> tuple[int, ...]:
            return tuple(tokenizer(text, add_special_tokens=False).input_ids)

        self.encode = encode
        self.things = {encode(name)[0] for name in (*SHAPES, *COLOURS)}

    def line(
        self, question: Question, wording: Wording, is_open: bool, rng: np.random.Generator
    ) -> Line:
        """One question in the wording given, up to and including its answer and the end."""
        before = self._blurred(wording.before, wording.unknown, rng)
        text = [*self.encode("<|vision_end|>"), *before, *self.encode(question.text)]
        things = [at for at, word in enumerate(text) if word in self.things]
        last = len(text) - 1
        direct = self.encode(question.answer)[0]
        line = Line(text, last, things[-1] if things else last, [], 0, direct)
        if not is_open:
            if wording.options_word:
                line.ids += self.encode("Options:")
            self._add_options(line, question, wording.form)
        after = wording.after_open if is_open else wording.after_choice
        line.ids += self._blurred(after, wording.unknown, rng)
        line.ids += self.encode(SUFFIX)
        line.answer = line.direct if is_open else self.encode(question.letter)[0]
        line.ids += [line.answer, self.end]
        return line

    def _add_options(self, line: Line, question: Question, form: tuple[str, str]) -> None:
        left, right = form
        for index, option in enumerate(question.options):
            line.ids += self.encode(f"{left}{LETTERS[index]}{right} {option}")
            line.options.append((len(line.ids) - 1, index, int(option == question.answer)))

    def _blurred(self, text: str, share: float, rng: np.random.Generator) -> list[int]:
        """The text's ids with some words unknown, as in wordings never met."""
        return [self.unknown if share and rng.random() < share else x for x in self.encode(text)]


def draw_batch(lesson: Lesson, footage: Footage, writer: Writer, rng: np.random.Generator) -> Batch:
    """A fresh batch: new scripts, new footage, new questions."""
    wording = _wording(rng) if lesson.varied else PLAIN
    frames, lines, kinds = [], [], []
    for _ in range(lesson.videos):
        script = _script(lesson, rng)
        frames.append(play(script, footage, rng)[0])
        questions = _questions(script, lesson, rng)
        kinds.append([question.kind for question in questions])
        for question in questions:
            is_open = bool(rng.random() < lesson.open_share)
            lines.append(writer.line(question, wording, is_open, rng))
    return _collate(lesson, np.stack(frames), lines, kinds, writer.pad)


def _script(lesson: Lesson, rng: np.random.Generator) -> Script:
    """A script of the training split; if crowded, with as many needles as eight."""
    needles = None
    if rng.random() < lesson.crowded:
        needles = int(rng.integers(1, min(MAX_NEEDLES, (lesson.steps - 1) // 3) + 1))
    return write_script(lesson.steps, int(rng.integers(2**31)), needles=needles, split="train")


def _wording(rng: np.random.Generator) -> Wording:
    def one(of: tuple[str, ...]) -> str:
        return of[int(rng.integers(len(of)))]

    return Wording(
        before=one(BEFORE),
        after_choice=one(AFTER_CHOICE),
        after_open=one(AFTER_OPEN),
        form=OPTION_FORMS[int(rng.integers(len(OPTION_FORMS)))],
        options_word=bool(rng.random() < 0.2),
        unknown=float(rng.uniform(0, 0.6)) if rng.random() < 0.2 else 0.0,
    )


def _questions(script: Script, lesson: Lesson, rng: np.random.Generator) -> list[Question]:
    made: list[Question] = []
    while len(made) < lesson.questions:
        if rng.random() < lesson.copy_share:
            made.append(_copying(rng))
        else:
            made += ask(script, rng, kinds=[str(rng.choice(lesson.kinds))], varied=lesson.varied)
    return made


def _copying(rng: np.random.Generator) -> Question:
    """A question that the options answer, to learn what letters are for."""
    names = COLOURS if rng.random() < 0.5 else SHAPES
    options = tuple(str(name) for name in rng.choice(names, 4, replace=False))
    answer = options[int(rng.integers(4))]
    return Question("copy", f"Which option matches {answer}?", options, answer)


def _collate(
    lesson: Lesson, frames: np.ndarray, lines: list[Line], kinds: list[list[str]], pad: int
) -> Batch:
    longest = max(len(line.ids) for line in lines)
    shape = (lesson.videos, lesson.questions)
    ids = torch.tensor([line.ids + [pad] * (longest - len(line.ids)) for line in lines])
    return Batch(
        frames=torch.from_numpy(frames),
        ids=ids.view(*shape, longest),
        answer_at=torch.tensor([len(line.ids) - 3 for line in lines]).view(shape),
        answers=torch.tensor([line.answer for line in lines]).view(shape),
        ask_at=torch.tensor([line.ask_at for line in lines]).view(shape),
        thing_at=torch.tensor([line.thing_at for line in lines]).view(shape),
        direct=torch.tensor([line.direct for line in lines]).view(shape),
        options=torch.tensor(
            [(row, *option) for row, line in enumerate(lines) for option in line.options]
            or [(0, 0, 0, 0)]
        ),
        kinds=kinds,
    )
