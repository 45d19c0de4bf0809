"""The scenes benchmark: is a card seen, wherever it flashes in a video of whatever length?

The idea: what RULER (arXiv 2404.06654) is to long text. Videos are made, not downloaded, so
length and the place of what is asked about are parameters, every answer is known, and no
model can have seen them. A video follows from its seed, its length and its number, by a
stream of random numbers that neither training nor anything else here draws from.
"""

import math
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import attrs

from retake.core.benchmark import Benchmark, Sample
from retake.core.options import between
from retake.datasets.choice import is_right
from retake.datasets.scenes.catalogue import (
    WORD,
    Video,
    is_placed,
    possible_answers,
    questions_about,
    script_seed,
)
from retake.datasets.scenes.clip import check_encoding, clip_of, film
from retake.datasets.scenes.folder import cache_folder, is_made, open_folder
from retake.datasets.scenes.limits import bounds, name, names, numbers
from retake.datasets.scenes.placing import write_placed
from retake.datasets.scenes.questions import ALL_KINDS, LETTERS, Question
from retake.datasets.scenes.render import BACKGROUNDS, frame_count
from retake.datasets.scenes.world import GRID, MAX_NEEDLES, MIN_SECONDS

#: Called with how many videos are done, with a fraction for the one under way, and how many
#: there are.
Told = Callable[[float, int], None]

_CRF = 23
_LONGEST = 2**WORD // 1000 - 1  # seconds; milliseconds must fit into a word of the seed


def _counted_out(seeds: Any) -> Any:
    """The seeds that a count stands for; a list as it is.

    Raises:
        ValueError: a count of none.
    """
    if type(seeds) is int:
        if seeds < 1:
            raise ValueError(
                "seeds must be how many, at least 1, or a list of whole numbers such as [0, 7], "
                f"got {seeds}"
            )
        return tuple(range(seeds))
    return tuple(seeds) if isinstance(seeds, list | tuple | range) else (seeds,)


def _as_text(root: str | os.PathLike[str] | None) -> str | None:
    return None if root is None else os.fspath(root)


@attrs.frozen
class Scenes(Benchmark):
    """Generated videos asked what flashed, at a chosen length and depth.

    Attributes:
        root: the folder of the videos; missing ones are made there. None: a folder in the
            user's cache, one for each way of making them.
        lengths: of the videos in seconds, each from 4.
        videos: how many of each length and seed.
        seeds: several, as a list of numbers, or how many.
        needles: how many cards flash at least and at most; the most gives way where a short
            video has no room.
        needle_seconds: how long a card is shown at least and at most.
        depths: where the card asked about stands, as fractions of the length; videos take
            turns.
        kinds: what is asked, one question of each kind a video.
        answers: in "words", or by "letters" of options that are shown.
        instruction: what follows each question, such as "Answer with a single word."
        fps: frames per second of the files.
        size: pixels of a side.
        background: "calm", "busy" or "wild": how much goes on behind the cards.
    """

    source: ClassVar[str] = "In the manner of RULER, arXiv 2404.06654"

    root: str | None = attrs.field(default=None, converter=_as_text)
    lengths: tuple[float, ...] = attrs.field(
        default=(64.0, 128.0, 256.0, 512.0),
        converter=tuple,
        validator=numbers(MIN_SECONDS, _LONGEST),
    )
    videos: int = attrs.field(default=5, validator=between(1, 2**WORD - 1))
    seeds: Any = attrs.field(
        default=1, converter=_counted_out, validator=numbers(0, 2**WORD - 1, whole=True)
    )
    needles: tuple[int, int] = attrs.field(
        default=(1, 4), converter=tuple, validator=bounds(1, MAX_NEEDLES)
    )
    needle_seconds: tuple[float, float] = attrs.field(
        default=(1.0, 2.0), converter=tuple, validator=bounds(GRID, 3600)
    )
    depths: tuple[float, ...] = attrs.field(
        default=(0.1, 0.3, 0.5, 0.7, 0.9), converter=tuple, validator=numbers(0, 1)
    )
    kinds: tuple[str, ...] = attrs.field(
        default=ALL_KINDS, converter=tuple, validator=names("kind of question", ALL_KINDS)
    )
    answers: Literal["words", "letters"] = attrs.field(
        default="words", validator=name("answers", ("words", "letters"))
    )
    instruction: str = ""
    fps: float = 4.0
    size: int = 224
    background: Literal["calm", "busy", "wild"] = attrs.field(
        default="calm", validator=name("background", BACKGROUNDS)
    )

    def __attrs_post_init__(self) -> None:
        check_encoding(self.fps, self.size, _CRF)
        for seconds in self.lengths:
            self._check_shown(seconds)

    @property
    def recipe(self) -> dict[str, Any]:
        """What decides a video besides its length, seed and number, as plain data."""
        return {
            "needles": list(self.needles),
            "needle_seconds": [float(seconds) for seconds in self.needle_seconds],
            "depths": [float(depth) for depth in self.depths],
            "fps": float(self.fps),
            "size": self.size,
            "background": self.background,
        }

    @property
    def folder(self) -> Path:
        """Where the videos are kept."""
        return Path(self.root).expanduser() if self.root else cache_folder(self.recipe)

    def planned(self) -> Iterator[Video]:
        """The videos by length, seed and number, whether they are made or not."""
        for seconds in self.lengths:
            for seed in self.seeds:
                for number in range(self.videos):
                    yield self._video(float(seconds), seed, number)

    def make(self, progress: Told | None = None) -> tuple[Video, ...]:
        """Makes the videos that are missing, each whole or not at all.

        Any number of processes may do so at once: what two of them make is the same.

        Raises:
            UsageError: the folder is for other options, or a length has no room for the needles.
            VideoError: a file there is not what belongs there.
        """
        videos = tuple(self.planned())
        open_folder(self.folder, self.recipe)
        for done, video in enumerate(videos):
            if not is_made(video.clip):
                self._film(video, _counted(progress, done, len(videos)))
            if progress:
                progress(done + 1, len(videos))
        return videos

    def samples(self) -> Sequence[Sample]:
        return [sample for video in self.make() for sample in self.asked(video)]

    def asked(self, video: Video) -> list[Sample]:
        """What is asked about one video, whether it is made or not."""
        return [
            self._sample(video, question)
            for question in video.clip.questions
            if self._asks(question.kind, video)
        ]

    def mark(self, sample: Sample, answer: str) -> float:
        truth = str(sample.answer)
        letters = self.answers == "letters"
        letter = LETTERS[sample.options.index(truth)] if letters else None
        return float(is_right(answer, truth, letter))

    def _check_shown(self, seconds: float) -> None:
        """Refuse a rate at which no frame may fall into a card, also where the video ends."""
        shortest = self.needle_seconds[0]
        last_start = math.floor(seconds / GRID) * GRID - shortest
        is_late = math.ceil(last_start * self.fps) >= frame_count(seconds, self.fps)
        if shortest * self.fps < 1 or is_late:
            raise ValueError(
                f"fps must show each needle: {self.fps:g} frames a second may miss one of "
                f"{shortest:g} seconds in a video of {seconds:g}"
            )

    def _video(self, seconds: float, seed: int, number: int) -> Video:
        depth = float(self.depths[(seed + number) % len(self.depths)])
        placed = write_placed(
            seconds,
            script_seed(seconds, seed, number),
            depth=depth,
            needles=self.needles,
            needle_seconds=self.needle_seconds,
        )
        path = self.folder / f"{seconds:.15g}s-seed{seed}-{number:03d}.mp4"
        questions = questions_about(placed)
        clip = clip_of(placed.script, questions, path, fps=self.fps, size=self.size)
        return Video(clip, placed, seed, depth)

    def _film(self, video: Video, progress: Callable[[float], None] | None) -> None:
        film(
            video.placed.script,
            video.clip.questions,
            video.clip.path,
            fps=self.fps,
            size=self.size,
            crf=_CRF,
            background=BACKGROUNDS[self.background],
            progress=progress,
        )

    def _asks(self, kind: str, video: Video) -> bool:
        """Whether a question is asked: not where the options alone give the answer away."""
        given_away = kind == "needle_count" and len(video.placed.counts) == 1
        return kind in self.kinds and not given_away

    def _sample(self, video: Video, question: Question) -> Sample:
        letters = self.answers == "letters"
        options = question.options if letters else possible_answers(question, video.placed)
        text = question.choose() if letters else question.text
        groups: dict[str, str | float] = {"seconds": video.clip.seconds, "seed": str(video.seed)}
        if is_placed(question):
            groups["depth"] = video.depth
        return Sample(
            id=f"{video.clip.path.stem}/{question.kind}",
            video=video.clip.path,
            question=f"{text} {self.instruction}".rstrip(),
            answer=question.answer,
            kind=question.kind,
            options=options,
            groups=groups,
            chance=1 / len(options),
        )


def _counted(progress: Told | None, done: int, total: int) -> Callable[[float], None] | None:
    return (lambda part: progress(done + part, total)) if progress else None
