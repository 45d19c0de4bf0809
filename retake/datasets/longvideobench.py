"""LongVideoBench: 3763 videos from 8 seconds to an hour, asked about what subtitles refer to.

Wu et al., arXiv 2407.15754; github.com/longvideobench/LongVideoBench. Read as distributed on the
hub: `lvb_val.json` and `lvb_test_wo_gt.json`, or the parquet files beside them; the right choices
of the test split are hidden. Its loader interleaves frames and subtitles; here a compressed video
stands as one block in front of the text, and the subtitles follow in that loader's choice and
order, each with the frame that it stands behind.
"""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import attrs

from retake.core.benchmark import Count, Holding, Marked, Sample
from retake.core.errors import UsageError, VideoError
from retake.datasets.files.finding import VideoFinder
from retake.datasets.files.subtitles import Line, interleaved, read_json
from retake.datasets.files.tables import column, find_table, read_table
from retake.datasets.published import (
    Published,
    as_text,
    check_unique,
    options_of,
    plain_name,
    positive,
    side_by_side,
)
from retake.datasets.scenes import limits

#: Seconds of the videos of a "duration_group", as the paper gives them.
DURATIONS = {15: "(8, 15]", 60: "(15, 60]", 600: "(180, 600]", 3600: "(900, 3600]"}
_TABLES = {
    "val": ("lvb_val.json", "validation-*.parquet", "data/validation-*.parquet"),
    "test": ("lvb_test_wo_gt.json", "test-*.parquet", "data/test-*.parquet"),
}
_SPLITS = tuple(_TABLES)
_PUBLISHED = {"val": 1337, "test": 5341}  # questions
_MOST = 5  # options
_NO_OPTION = "N/A"
_TEXTS = ("id", "question", "video_path", "subtitle_path", "question_category", "topic_category")
_SUBMITTED = "longvideobench_test_for_submission.json"


@attrs.frozen
class Entry:
    """A question as the tables have it.

    Attributes:
        known: the columns of texts, by name; "level" among them where there is one.
        options: their texts.
        choice: the number of the right one, from 0; None where it is hidden.
        seconds: of the video.
        group: its "duration_group".
        starts: where the video begins in the one that its subtitles are of, in seconds.
    """

    known: Mapping[str, str]
    options: tuple[str, ...]
    choice: int | None
    seconds: float
    group: int
    starts: float


@attrs.frozen
class LongVideoBench(Published):
    """LongVideoBench: two to five options, by length, category, level and topic.

    Attributes:
        root: the folder that it was downloaded to, with its tar archives.
        protocol: whose prompt, reading, marking and average: "official", "lmms-eval", or an
            earlier lmms-eval.
        prompt, extraction, unparsed, average: other than the protocol's.
        seed: of the guesses, which stand for answers in which no letter is read.
        split: "val", or "test", whose right choices are hidden.
        subtitles: "none"; or "interleaved", those around the sampled frames, with the frames'
            numbers and times.
        annotations: the table, where it is not found under the root by its usual names.
    """

    source: ClassVar[str] = "arXiv 2407.15754"
    name: ClassVar[str] = "longvideobench"

    split: Literal["val", "test"] = attrs.field(
        default="val", validator=limits.name("split of longvideobench", _SPLITS)
    )
    subtitles: Literal["none", "interleaved"] = attrs.field(
        default="none",
        validator=limits.name("subtitles of longvideobench", ("none", "interleaved")),
    )
    annotations: str | None = attrs.field(default=None, converter=as_text)

    @property
    def table(self) -> Path:
        """Where the split's questions are.

        Raises:
            UsageError: there is no such file.
        """
        if self.annotations:
            return self.folder / Path(self.annotations).expanduser()
        return find_table(self.folder, *_TABLES[self.split])

    def entries(self) -> Sequence[Entry]:
        """All questions of the split, those of one video side by side.

        Raises:
            UsageError: the table is missing or not as it should be.
        """
        return _entries(self.table, self.split)

    def samples(self) -> Sequence[Sample]:
        entries = self.entries()
        videos, spoken = self._videos(), self._spoken()
        return [self._sample(entry, videos, spoken) for entry in entries]

    @property
    def asks_by_frames(self) -> bool:
        return self.subtitles == "interleaved"

    def phrase(self, sample: Sample, timestamps: Sequence[float]) -> str:
        if self.subtitles == "none":
            return sample.question
        lines = _lines(sample.details["subtitles"])
        starts, seconds = sample.details["starts"], sample.seconds or 0.0
        order = interleaved(lines, timestamps, starts, seconds)
        said = _behind_frames(order, timestamps)
        return self.rules.ask(sample.details["question"], sample.options, said)

    def metrics(self, marked: Sequence[Marked]) -> Mapping[str, float]:
        """Accuracy by the protocol's average, and over the questions of each length."""
        found = {"Overall": self.rules.averaged(marked)}
        rules = attrs.evolve(self.rules, average="questions")
        for label in DURATIONS.values():
            some = [one for one in marked if one.groups.get("duration") == label]
            found[f"{label} s"] = rules.averaged(some)
        return {what: value for what, value in found.items() if value is not None}

    def submission(self, marked: Sequence[Marked]) -> Mapping[str, str]:
        """Of the test split, what the model said by id, as lmms-eval writes it."""
        if self.split != "test":
            return {}
        content = json.dumps({one.id: one.said for one in marked}, indent=1, ensure_ascii=False)
        return {_SUBMITTED: f"{content}\n"}

    def holdings(self) -> Sequence[Holding]:
        """The split's table, videos and subtitles; those of the other one too, as not needed."""
        held = [Holding(self.table.name, self.table, "annotations")]
        patterns = [pattern for patterns in _TABLES.values() for pattern in patterns]
        tables = {path for pattern in patterns for path in self.folder.glob(pattern)}
        others = sorted(tables - {self.table})
        held += [Holding(path.name, path, "annotations", needed=False) for path in others]
        mine = {entry.known["video_path"]: entry for entry in self.entries()}
        theirs = {entry.known["video_path"]: entry for entry in self._other_entries()}
        videos, spoken = self._videos(), self._found_subtitles()
        for title, entry in {**theirs, **mine}.items():
            path = videos.find(title) or videos.expected(title)
            needed = title in mine
            held.append(Holding(title, path, "video", needed, entry.seconds))
            said = entry.known["subtitle_path"]
            path = spoken.find(said) or spoken.expected(said)
            held.append(Holding(said, path, "subtitles", needed and self.asks_by_frames))
        return held

    def counts(self) -> Mapping[str, Count]:
        """Questions and videos of the split; how many videos it has is said in several ways."""
        entries = self.entries()
        videos = {entry.known["video_path"] for entry in entries}
        questions = Count(len(entries), _PUBLISHED[self.split])
        return {"questions": questions, "videos": Count(len(videos))}

    def _sample(self, entry: Entry, videos: VideoFinder, spoken: VideoFinder | None) -> Sample:
        known, title = entry.known, entry.known["video_path"]
        said = known["subtitle_path"]
        path = (spoken.find(said) or spoken.expected(said)) if spoken else None
        groups = {"duration": DURATIONS.get(entry.group, str(entry.group))}
        groups |= {key: known[key] for key in ("topic_category", "level") if key in known}
        return Sample(
            id=known["id"],
            video=videos.find(title) or videos.expected(title),
            question=self.rules.ask(known["question"], entry.options),
            answer=None if entry.choice is None else "ABCDE"[entry.choice],
            kind=known["question_category"],
            options=entry.options,
            groups=groups,
            chance=1 / len(entry.options),
            seconds=entry.seconds,
            details={
                "question": known["question"],
                "subtitles": str(path) if path else None,
                "starts": entry.starts,
            },
        )

    def _other_entries(self) -> Sequence[Entry]:
        """Those of the other split, whose files lie in the same folders; none if unreadable."""
        if self.annotations:
            return ()
        try:
            other = "test" if self.split == "val" else "val"
            return _entries(find_table(self.folder, *_TABLES[other]), other)
        except UsageError:
            return ()

    def _videos(self) -> VideoFinder:
        return VideoFinder(self.folder, ("videos",))

    def _found_subtitles(self) -> VideoFinder:
        return VideoFinder(self.folder, ("subtitles",), suffixes=(".json",))

    def _spoken(self) -> VideoFinder | None:
        """The subtitles; None where they are not asked for."""
        return self._found_subtitles() if self.asks_by_frames else None


def _entries(path: Path, split: str) -> Sequence[Entry]:
    found = [_entry(row, path, number, split) for number, row in enumerate(read_table(path), 1)]
    check_unique((entry.known["id"] for entry in found), path)
    return side_by_side((entry.known["video_path"], entry) for entry in found)


def _entry(row: Mapping[str, Any], path: Path, number: int, split: str) -> Entry:
    known = {key: column(row, key, path, number, str) for key in _TEXTS}
    where = f"row {number} of '{path}' ({known['id']})"
    for name in ("video_path", "subtitle_path"):
        plain_name(known[name], name, where)
    if isinstance(row.get("level"), str):
        known["level"] = row["level"]
    options = _options(row, path, number, where)
    choice = _choice(row.get("correct_choice"), len(options), where)
    if choice is None and split == "val":
        raise UsageError(
            f"The correct_choice in {where} is hidden, which it is in the test split only.",
            hint="If this is the test split's table, give --benchmark-option split=test.",
        )
    return Entry(
        known=known,
        options=options,
        choice=choice,
        seconds=_seconds(column(row, "duration", path, number), where),
        group=column(row, "duration_group", path, number, int),
        starts=_starts(column(row, "starting_timestamp_for_subtitles", path, number, float), where),
    )


def _seconds(value: Any, where: str) -> float:
    seconds = positive(value)
    if seconds is None:
        raise UsageError(f"'duration' in {where} must be a number above 0, and is {value!r:.80}.")
    return seconds


def _starts(value: float, where: str) -> float:
    if not math.isfinite(value):
        raise UsageError(
            f"'starting_timestamp_for_subtitles' in {where} must be a number, and is {value!r}."
        )
    return float(value)


def _options(row: Mapping[str, Any], path: Path, number: int, where: str) -> tuple[str, ...]:
    """From a list; or from a column for each, up to the first that says there is none."""
    if "candidates" in row:
        options = options_of(row["candidates"], where)
    else:
        listed: list[Any] = [column(row, f"option{n}", path, number) for n in range(_MOST)]
        count = next((n for n, one in enumerate(listed) if one in (_NO_OPTION, None)), _MOST)
        options = options_of(listed[:count], where)
    if len(options) > _MOST:
        raise UsageError(f"There must be at most {_MOST} options in {where}.")
    return options


def _choice(value: Any, count: int, where: str) -> int | None:
    """The number of the right option; None where it is hidden: missing, or -1 in parquet."""
    if value is None or value == -1:
        return None
    if type(value) is not int or not 0 <= value < count:
        raise UsageError(
            f"The correct_choice in {where} must be a number from 0 to {count - 1}, "
            f"and is {value!r:.80}."
        )
    return value


def _lines(path: str) -> Sequence[Line]:
    """The lines of a file.

    Raises:
        VideoError: it is missing or cannot be read; that is of one video and says nothing of the
            others.
    """
    try:
        return read_json(path)
    except UsageError as error:
        raise VideoError(error.message, hint=error.hint) from error


def _behind_frames(order: Sequence[int | Line], timestamps: Sequence[float]) -> str:
    """A row for each line: the frame that it stands behind, counted from 1, and its time."""
    rows: list[str] = []
    frame: int | None = None
    for part in order:
        if isinstance(part, int):
            frame = part
            continue
        behind = "before frame 1" if frame is None else _named(frame, timestamps)
        rows.append(f"[{behind}] {' '.join(part.text.split())}")
    return "\n".join(rows)


def _named(frame: int, timestamps: Sequence[float]) -> str:
    return f"frame {frame + 1}, {timestamps[frame]:.1f} s"
