"""MLVU: what is asked, what counts, and where its videos lie.

Zhou et al., arXiv 2406.04264; github.com/JUNJIE99/MLVU. The dev split has seven tasks of choice
and two of writing, the test split two more of choice and up to six options. Choices are averaged
over tasks (M-Avg); what is written is marked by a judge, two aspects a task (G-Avg).
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import ClassVar, Literal

import attrs

from retake.core.benchmark import Count, Holding, Marked, Sample
from retake.core.errors import UsageError
from retake.datasets.files import VideoFinder
from retake.datasets.mlvu import judge
from retake.datasets.mlvu.annotations import Annotations, Question, read_annotations
from retake.datasets.mlvu.submitting import choice_file, writing_files
from retake.datasets.mlvu.tasks import DEV_FILES, SUB_SCENE, SUMMARY, WRITING
from retake.datasets.prompts import phrased
from retake.datasets.protocols import Protocol, resolve
from retake.datasets.published import Published, check_answered, check_unique, side_by_side
from retake.datasets.scenes import limits

_PLACES = ("MLVU/video", "MLVU_Test/video", "video", "videos")
#: Questions, by split and tasks, where their number is known.
_PUBLISHED = {("dev", "choice"): 2174, ("test", "choice"): 502}
_NO_CANDIDATE = "answers that are no candidate"
#: As the leaderboard has them.
_SHORT = {SUB_SCENE: "SSC", SUMMARY: "VS"}


@attrs.frozen
class MLVU(Published):
    """MLVU: choices of seven to nine kinds, and writing that a judge marks.

    Attributes:
        root: the folder that it was downloaded to.
        split: "dev"; or "test", whose answers are hidden where the ground truth is not there.
        tasks: those of "choice", those of "generation", or "all".
        protocol: whose prompt, reading, marking and average: "official", "retake" (published
            ReTaKe; dev only), "lmms-eval", or an earlier lmms-eval.
        prompt, extraction, unparsed, average: other than the protocol's; of choices only.
        seed: of the guesses where `unparsed` is "guess".
    """

    source: ClassVar[str] = "arXiv 2406.04264"
    name: ClassVar[str] = "mlvu"

    split: Literal["dev", "test"] = attrs.field(
        default="dev", validator=limits.name("split of mlvu", ("dev", "test"))
    )
    tasks: Literal["choice", "generation", "all"] = attrs.field(
        default="choice",
        validator=limits.name("sort of tasks of mlvu", ("choice", "generation", "all")),
    )

    @property
    def rules(self) -> Protocol:
        """The protocol of the split, with what replaces parts of it."""
        return resolve(
            "mlvu" if self.split == "dev" else "mlvu-test",
            self.protocol,
            prompt=self.prompt,
            extraction=self.extraction,
            unparsed=self.unparsed,
            average=self.average,
        )

    @property
    def answer_tokens(self) -> int:
        """A letter's worth; where there is writing to do, as many as the official scripts allow."""
        return super().answer_tokens if self.tasks == "choice" else 1000

    def annotations(self) -> Annotations:
        """The questions asked, those of one video side by side, and the files they are from.

        Raises:
            UsageError: files are missing or not as published.
        """
        choice, writing = self.tasks != "generation", self.tasks != "choice"
        found = read_annotations(self.folder, self.split, choice, writing)
        check_unique((one.id for one in found.questions), found.files[0])
        together = side_by_side(((one.folder, one.video), one) for one in found.questions)
        return attrs.evolve(found, questions=tuple(together))

    def samples(self) -> Sequence[Sample]:
        found = self.annotations()
        videos = VideoFinder(self.folder, _PLACES)
        return [self._sample(one, _path(one, found, videos)) for one in found.questions]

    def parse(self, sample: Sample, answer: str) -> str | None:
        """The letter; of what is written, all of it."""
        if sample.kind in WRITING:
            return answer.strip() or None
        return super().parse(sample, answer)

    def mark(self, sample: Sample, answer: str) -> float | None:
        return None if sample.kind in WRITING else super().mark(sample, answer)

    def metrics(self, marked: Sequence[Marked]) -> Mapping[str, float]:
        """M-Avg, 0 … 1; G-Avg, 2 … 10, each writing task and each aspect, 1 … 5, once judged."""
        found = {"M-Avg": self.rules.averaged([one for one in marked if one.kind not in WRITING])}
        aspects = {
            f"{_SHORT[task]} {aspect}": _mean(marked, task, aspect)
            for task, its in judge.ASPECTS.items()
            for aspect in its
        }
        sums = {_SHORT[task]: _sum(marked, task) for task in WRITING}
        known = [value for value in sums.values() if value is not None]
        found["G-Avg"] = fmean(known) if len(known) == len(sums) else None
        found |= sums | aspects
        return {what: value for what, value in found.items() if value is not None}

    @property
    def scales(self) -> Mapping[str, tuple[float, float]]:
        """A judge's points: 1 … 5 an aspect, two of them a task."""
        aspects = {
            f"{_SHORT[task]} {aspect}": (1.0, 5.0)
            for task, its in judge.ASPECTS.items()
            for aspect in its
        }
        return {**dict.fromkeys(("G-Avg", *_SHORT.values()), (2.0, 10.0)), **aspects}

    def submission(self, marked: Sequence[Marked]) -> Mapping[str, str]:
        """For the test server the choices; for the judge's scripts what was written."""
        files = choice_file(marked) if self.split == "test" else {}
        if any(one.kind in WRITING for one in marked):
            known = self.annotations()
            questions = {one.id: one.text for one in known.questions}
            written = (one.id for one in marked if one.kind in WRITING)
            check_answered(written, questions, known.files[-1])
            files |= writing_files(marked, questions)
        return files

    def judging(self, sample: Sample, answer: str) -> Sequence[Mapping[str, str]] | None:
        """The official rubric's messages; None of choices, and where nothing is known of truth."""
        points = sample.details.get("scoring_points", ())
        known = {SUB_SCENE: bool(points), SUMMARY: bool(sample.answer)}
        if not known.get(sample.kind):
            return None
        question = sample.details["question"]
        return judge.messages(sample.kind, question, answer, sample.answer or "", points)

    def judged(self, sample: Sample, reply: str) -> Mapping[str, float]:
        return judge.scores(sample.kind, reply)

    def holdings(self) -> Sequence[Holding]:
        """The tables and videos of what is asked; of other tasks what there is, not needed."""
        videos = VideoFinder(self.folder, _PLACES)
        held = _held(self.annotations(), videos)
        others = [one for one in self._unasked(videos) if one.path not in held]
        return [*held.values(), *(attrs.evolve(one, needed=False) for one in others)]

    def counts(self) -> Mapping[str, Count]:
        """Questions and videos of what is asked, and answers that no candidate is called by."""
        found = self.annotations()
        questions = Count(len(found.questions), _PUBLISHED.get((self.split, self.tasks)))
        videos = {(one.folder, one.video) for one in found.questions}
        counts = {"questions": questions, "videos": Count(len(videos))}
        lost = sum(one.has_no_right_candidate for one in found.questions)
        return counts if self.tasks == "generation" else {**counts, _NO_CANDIDATE: Count(lost)}

    def _unasked(self, videos: VideoFinder) -> Sequence[Holding]:
        """What is there of the tasks that are not asked."""
        if self.tasks == "all":
            return ()
        other: Literal["choice", "generation"] = (
            "generation" if self.tasks == "choice" else "choice"
        )
        try:
            found = attrs.evolve(self, tasks=other).annotations()
        except UsageError:
            return ()
        known = {entry.path for entry in videos.listing.entries}
        held = _held(found, videos).values()
        return [one for one in held if one.what == "annotations" or one.path in known]

    def _sample(self, one: Question, video: Path) -> Sample:
        is_open = one.task in WRITING
        details = {"question": one.text}
        return Sample(
            id=one.id,
            video=video,
            question=self._ask_openly(one) if is_open else self.rules.ask(one.text, one.candidates),
            answer=one.answer,
            kind=one.task,
            options=one.candidates,
            groups={} if one.seconds is None else {"seconds": one.seconds},
            chance=0.0 if is_open else 1 / len(one.candidates),
            seconds=one.seconds,
            details={**details, "scoring_points": list(one.scoring_points)} if is_open else details,
        )

    def _ask_openly(self, one: Question) -> str:
        """With the official words before it; others ask what they ask without any."""
        return phrased("mlvu-open" if self.protocol == "official" else "bare", one.text, ())


def _path(one: Question, found: Annotations, videos: VideoFinder) -> Path:
    """Where a video is, or should be.

    Each task has a folder of videos; one of that name in the folder of another task may be another
    video, and is not taken.
    """
    if not one.folder:
        return videos.find(one.video) or videos.expected(one.video)
    for place in (one.folder, one.task):
        if path := videos.find(f"{place}/{one.video}"):
            return path
    path = videos.find(one.video)
    if path and path.parent.name not in {*DEV_FILES, *DEV_FILES.values()}:
        return path
    return found.files[0].parent.parent / "video" / one.folder / one.video


def _held(found: Annotations, videos: VideoFinder) -> dict[Path, Holding]:
    """Tables and videos by where they are, or should be."""
    held = {path: Holding(path.name, path, "annotations") for path in found.files}
    for one in found.questions:
        path = _path(one, found, videos)
        title = f"{one.folder}/{one.video}" if one.folder else one.video
        held[path] = Holding(title, path, "video", seconds=one.seconds)
    return held


def _mean(marked: Sequence[Marked], task: str, aspect: str) -> float | None:
    given = [one.aspects[aspect] for one in marked if one.kind == task and aspect in one.aspects]
    return fmean(given) if given else None


def _sum(marked: Sequence[Marked], task: str) -> float | None:
    """The mean of one aspect plus that of the other, as the official scripts add them up."""
    means = [_mean(marked, task, aspect) for aspect in judge.ASPECTS[task]]
    return sum(means) if None not in means else None  # type: ignore[arg-type]
