"""Video-MME: 900 videos from 11 seconds to an hour, three questions with four options each.

Fu et al., arXiv 2405.21075; github.com/BradyFU/Video-MME. Read as distributed on the hub
(lmms-eval/Video-MME, before that lmms-lab/Video-MME: parquet, zips of videos, a zip of subtitles)
or from JSON as the authors' template has it. 744 of the videos have subtitles; the others are
asked without.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import attrs

from retake.core.benchmark import Count, Holding, Marked, Sample
from retake.core.errors import UsageError, VideoError
from retake.datasets.extraction import LETTERS
from retake.datasets.files.addresses import youtube_id
from retake.datasets.files.finding import VideoFinder
from retake.datasets.files.subtitles import (
    Line,
    all_of,
    in_font,
    in_frames,
    read_srt,
    rows_in_font,
    texts,
    touching,
)
from retake.datasets.files.tables import column, find_table, read_table
from retake.datasets.published import (
    Published,
    as_text,
    check_answered,
    check_unique,
    listed_options,
    options_of,
    plain_name,
    side_by_side,
)
from retake.datasets.scenes import limits

DURATIONS = ("short", "medium", "long")
_TABLES = (
    "videomme/test-*.parquet",
    "test-*.parquet",
    "videomme.json",
    "output_test_template.json",
    "evaluation/output_test_template.json",
)
_OF_VIDEOS = ("video_id", "duration", "domain", "sub_category")
_OF_QUESTIONS = ("question_id", "task_type", "question")
_SUBMITTED = "output_test_template.json"


@attrs.frozen
class Entry:
    """A question as the table has it.

    Attributes:
        known: the columns of texts, by name.
        video: its name: the "videoID", or what stands for it.
        shown: the options as they are shown: as they stand there, if with letters; else with
            them.
        options: their texts.
        answer: the letter; None where there is none.
    """

    known: Mapping[str, str]
    video: str
    shown: tuple[str, ...]
    options: tuple[str, ...]
    answer: str | None


@attrs.frozen
class VideoMME(Published):
    """Video-MME: four options, three questions a video, by duration, domain and task.

    Attributes:
        root: the folder that it was downloaded to.
        protocol: whose prompt, reading, marking and average: "official", "retake" (published
            ReTaKe), "lmms-eval", or an earlier lmms-eval.
        prompt, extraction, unparsed, average: other than the protocol's.
        seed: of the guesses where `unparsed` is "guess".
        subtitles: "none"; "frames", those that fall in the sampled frames; or "all" of them.
        annotations: the table, where it is not found under the root by its usual names.
    """

    source: ClassVar[str] = "arXiv 2405.21075"
    name: ClassVar[str] = "videomme"

    subtitles: Literal["none", "frames", "all"] = attrs.field(
        default="none", validator=limits.name("subtitles of videomme", ("none", "frames", "all"))
    )
    annotations: str | None = attrs.field(default=None, converter=as_text)

    @property
    def table(self) -> Path:
        """Where the questions are.

        Raises:
            UsageError: there is no such file.
        """
        if self.annotations:
            return self.folder / Path(self.annotations).expanduser()
        return find_table(self.folder, *_TABLES)

    def entries(self) -> Sequence[Entry]:
        """All questions, those of one video side by side.

        Raises:
            UsageError: the table is missing or not as it should be.
        """
        path = self.table
        found = [
            _entry(question, path, number)
            for number, row in enumerate(read_table(path), 1)
            for question in _questions(row, path, number)
        ]
        check_unique((entry.known["question_id"] for entry in found), path)
        return side_by_side((entry.video, entry) for entry in found)

    def samples(self) -> Sequence[Sample]:
        entries = self.entries()
        videos, spoken = self._videos(), self._spoken()
        return [self._sample(entry, videos, spoken) for entry in entries]

    @property
    def asks_by_frames(self) -> bool:
        """True with any subtitles: they are read when their video's turn comes."""
        return self.subtitles != "none"

    def phrase(self, sample: Sample, timestamps: Sequence[float]) -> str:
        if self.subtitles == "none":
            return sample.question
        path = sample.details["subtitles"]
        said = texts(self._chosen(_lines(path), timestamps)) if path else self.rules.silent
        return self._ask(sample.details["question"], sample.options, sample.details["shown"], said)

    def metrics(self, marked: Sequence[Marked]) -> Mapping[str, float]:
        """Accuracy by the protocol's average, and over the questions of each duration."""
        found = {"Overall": self.rules.averaged(marked)}
        rules = attrs.evolve(self.rules, average="questions")
        for duration in DURATIONS:
            some = [one for one in marked if one.groups.get("duration") == duration]
            found[duration.capitalize()] = rules.averaged(some)
        return {what: value for what, value in found.items() if value is not None}

    def submission(self, marked: Sequence[Marked]) -> Mapping[str, str]:
        """The authors' template with the responses in it; empty ones where there are none.

        Raises:
            UsageError: the table does not have the questions that were answered.
        """
        said = {one.id: one.said for one in marked}
        entries = self.entries()
        check_answered(said, {entry.known["question_id"] for entry in entries}, self.table)
        videos: dict[str, dict[str, Any]] = {}
        for entry in entries:
            whole = {key: entry.known[key] for key in _OF_VIDEOS}
            video = videos.setdefault(entry.video, {**whole, "questions": []})
            video["questions"].append(
                {
                    **{key: entry.known[key] for key in _OF_QUESTIONS},
                    "options": list(entry.shown),
                    "answer": entry.answer,
                    "response": said.get(entry.known["question_id"], ""),
                }
            )
        content = json.dumps(list(videos.values()), indent=4, ensure_ascii=False)
        return {_SUBMITTED: f"{content}\n"}

    def holdings(self) -> Sequence[Holding]:
        """The table, the videos, and subtitles: those found, and those of long videos."""
        entries = {entry.video: entry for entry in self.entries()}
        videos, spoken = self._videos(), self._found_subtitles()
        held = [Holding(self.table.name, self.table, "annotations")]
        for video, entry in entries.items():
            path = videos.find(f"{video}.mp4") or videos.expected(f"{video}.mp4")
            held.append(Holding(f"{video}.mp4", path, "video"))
            title = f"{video}.srt"
            there = spoken.find(title)
            if there or entry.known["duration"] == "long":
                needed = self.subtitles != "none"
                path = there or spoken.expected(title)
                held.append(Holding(title, path, "subtitles", needed))
        return held

    def counts(self) -> Mapping[str, Count]:
        """Questions, videos, and those with subtitles: 156 of the published ones have none."""
        entries = self.entries()
        videos = {entry.video for entry in entries}
        spoken = self._found_subtitles()
        silent = sum(spoken.find(f"{video}.srt") is None for video in videos)
        return {
            "questions": Count(len(entries), 2700),
            "videos": Count(len(videos), 900),
            "videos with subtitles": Count(len(videos) - silent, 744),
            "videos without subtitles": Count(silent),
        }

    def _sample(self, entry: Entry, videos: VideoFinder, spoken: VideoFinder | None) -> Sample:
        known, title = entry.known, f"{entry.video}.mp4"
        path = spoken.find(f"{entry.video}.srt") if spoken else None
        groups = {key: known[key] for key in _OF_VIDEOS[1:]}
        return Sample(
            id=known["question_id"],
            video=videos.find(title) or videos.expected(title),
            question=self._ask(known["question"], entry.options, entry.shown),
            answer=entry.answer,
            kind=known["task_type"],
            options=entry.options,
            groups=groups,
            chance=1 / len(entry.options),
            details={
                "question": known["question"],
                "shown": list(entry.shown),
                "subtitles": str(path) if path else None,
            },
        )

    def _ask(
        self, question: str, options: Sequence[str], shown: Sequence[str], said: str | None = None
    ) -> str:
        """A question with its options as the table has them, where "A. …" is how they are shown."""
        asked = self.rules.ask(question, options, said)
        return asked.replace("\n".join(_lettered(options)), "\n".join(shown))

    def _videos(self) -> VideoFinder:
        return VideoFinder(self.folder, ("data", "videos"))

    def _found_subtitles(self) -> VideoFinder:
        return VideoFinder(self.folder, ("subtitle", "subtitles"), suffixes=(".srt",))

    def _spoken(self) -> VideoFinder | None:
        """The subtitles; None where they are not asked for.

        Raises:
            UsageError: they are, and there are none at all.
        """
        if self.subtitles == "none":
            return None
        finder = self._found_subtitles()
        if not finder.listing.entries:
            raise UsageError(
                f"subtitles={self.subtitles}, but there are none under '{self.folder}'.",
                hint="Put subtitle.zip there, or its folder; docs/datasets/videomme.md says where "
                "it is from.",
            )
        return finder

    def _chosen(self, lines: Sequence[Line], timestamps: Sequence[float]) -> Sequence[Line]:
        """Those to be shown: all; or by frames, as the protocol's source chooses them."""
        if self.protocol.startswith("lmms-eval"):
            is_all = self.subtitles == "all"
            return rows_in_font(lines) if is_all else in_font(touching(lines, timestamps))
        return all_of(lines) if self.subtitles == "all" else in_frames(lines, timestamps)


def _questions(row: Mapping[str, Any], path: Path, number: int) -> Sequence[Mapping[str, Any]]:
    """A row for each question, where a video's are in one row, as in the template."""
    if "questions" not in row:
        return [row]
    whole = {key: value for key, value in row.items() if key != "questions"}
    questions = column(row, "questions", path, number, list)
    return [{**whole, **(each if isinstance(each, dict) else {})} for each in questions]


def _entry(row: Mapping[str, Any], path: Path, number: int) -> Entry:
    columns = (*_OF_VIDEOS, *_OF_QUESTIONS)
    known = {key: column(row, key, path, number, str) for key in columns}
    where = f"row {number} of '{path}' ({known['question_id']})"
    listed = listed_options(column(row, "options", path, number), where)
    options = options_of(listed, where)
    if known["duration"] not in DURATIONS:
        raise UsageError(
            f"The duration in {where} must be {', '.join(DURATIONS)}, and is '{known['duration']}'."
        )
    answer = row.get("answer") or None
    letters = LETTERS[: len(options)]
    if answer is not None and (not isinstance(answer, str) or answer not in tuple(letters)):
        raise UsageError(f"The answer in {where} must be one of {letters}, and is {answer!r}.")
    shown = _lettered(options) if options == listed else listed
    return Entry(known, _video_of(row, known["video_id"], where), shown, options, answer)


def _lettered(options: Sequence[str]) -> tuple[str, ...]:
    letters = LETTERS[: len(options)]
    return tuple(f"{letter}. {text}" for letter, text in zip(letters, options, strict=True))


def _video_of(row: Mapping[str, Any], otherwise: str, where: str) -> str:
    """The name of a video's file: its id on YouTube, or the one of the benchmark."""
    if row.get("videoID"):
        return plain_name(str(row["videoID"]), "videoID", where)
    if video := youtube_id(str(row.get("url") or "")):
        return plain_name(video, "url", where)
    return plain_name(otherwise, "video_id", where)


def _lines(path: str) -> Sequence[Line]:
    """The lines of a file.

    Raises:
        VideoError: it cannot be read; that is of one video and says nothing of the others.
    """
    try:
        return read_srt(path)
    except UsageError as error:
        raise VideoError(error.message, hint=error.hint) from error
