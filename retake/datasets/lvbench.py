"""LVBench: 1,549 questions about 103 videos of half an hour to two and a half.

Wang et al., arXiv 2406.08035; github.com/THUDM/LVBench. Each question is of one or several of six
capabilities and counts in each of them. Read as distributed (video_info.meta.jsonl: a line a
video, options inside the questions) or as the parquet file that lmms-eval reads (lmms-eval/LVBench,
before that lmms-lab/LVBench), a row a question.
"""

import ast
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

import attrs

from retake.core.benchmark import Count, Holding, Marked, Sample
from retake.core.errors import UsageError, unknown_name
from retake.datasets.extraction import LETTERS
from retake.datasets.files import VideoFinder, column, find_table, read_table
from retake.datasets.files.addresses import youtube_id
from retake.datasets.published import (
    Published,
    check_unique,
    options_of,
    plain_name,
    positive,
    side_by_side,
)

#: As the leaderboard has the capabilities, in the order of the official script.
CAPABILITIES = {
    "key information retrieval": "KIR",
    "event understanding": "EU",
    "summarization": "Sum",
    "entity recognition": "ER",
    "reasoning": "Rea",
    "temporal grounding": "TG",
}
OVERALL = "Overall"
_CAPABILITY = "capability"

_TABLES = (
    "video_info.meta.jsonl",
    "data/video_info.meta.jsonl",
    "data/test-*.parquet",
    "data/train-*.parquet",
    "test-*.parquet",
    "train-*.parquet",
    "*/test-*.parquet",
    "*/train-*.parquet",
)
_PLACES = ("videos", "all_videos", "scripts/videos")
_OPTION = re.compile(r"^[ \t]*\(([A-F])\)[ \t]*(.*?)[ \t]*$", re.MULTILINE)
#: What a question has that does not show its options in lines of their own.
_USUAL = tuple(LETTERS[:4])


@attrs.frozen
class Entry:
    """A question as the table has it.

    Attributes:
        uid: its id.
        video: the file's name.
        video_type: "cartoon", "live", …
        seconds: how long the video is; None where the table does not say.
        text: the question, with its options where they are in it.
        listed: the options, where they have a column of their own.
        answer: the right letter.
        capabilities: one or several of `CAPABILITIES`; one that the table names twice, twice.
    """

    uid: str
    video: str
    video_type: str
    seconds: float | None
    text: str
    listed: tuple[str, ...]
    answer: str
    capabilities: tuple[str, ...]

    @property
    def options(self) -> tuple[str, ...]:
        """Their texts, from the question if need be; letters for texts where it shows none.

        So also where the right one is not among those that are found in the question: some of
        them then do not stand in lines of their own.
        """
        if self.listed:
            return self.listed
        found = _options_in(self.text)
        return found if self.answer in tuple(LETTERS[: len(found)]) else _USUAL


@attrs.frozen
class LVBench(Published):
    """LVBench: four options about very long videos; a question counts in each of its capabilities.

    Attributes:
        root: the folder that it was downloaded to.
        protocol: whose prompt, reading, marking and average: "official", "retake" (published
            ReTaKe), "lmms-eval", or an earlier lmms-eval.
        prompt, extraction, unparsed, average: other than the protocol's.
        seed: of the guesses where `unparsed` is "guess".
    """

    source: ClassVar[str] = "arXiv 2406.08035"
    name: ClassVar[str] = "lvbench"

    @property
    def table(self) -> Path:
        """Where the questions are.

        Raises:
            UsageError: there is no such file.
        """
        return find_table(self.folder, *_TABLES)

    def entries(self) -> Sequence[Entry]:
        """All questions, those of one video side by side.

        Raises:
            UsageError: the table is missing or not as it should be.
            MissingExtraError: it is parquet, and pyarrow is not installed.
        """
        path = self.table
        found = [
            entry
            for number, row in enumerate(read_table(path), 1)
            for entry in _row(row, path, number)
        ]
        check_unique((entry.uid for entry in found), path)
        return side_by_side((entry.video, entry) for entry in found)

    def samples(self) -> Sequence[Sample]:
        videos = _Videos(self.folder)
        return [self._sample(entry, videos) for entry in self.entries()]

    def metrics(self, marked: Sequence[Marked]) -> Mapping[str, float]:
        """Accuracy over all questions and over those of each capability, as `compute_accuracy`.

        As there, a question that names a capability twice counts in it twice.
        """
        found = {OVERALL: self.rules.averaged(marked)}
        rules = attrs.evolve(self.rules, average="questions")
        for capability, short in CAPABILITIES.items():
            some = [one for one in marked for each in _capabilities_of(one) if each == capability]
            found[short] = rules.averaged(some)
        return {what: value for what, value in found.items() if value is not None}

    def submission(self, marked: Sequence[Marked]) -> Mapping[str, str]:
        """`answers.json` for the official script, and what it makes of that: `result.json`."""
        counted = [one for one in marked if one.score is not None]
        figures = attrs.evolve(self, average="questions").metrics(counted)
        names = [*CAPABILITIES.values(), OVERALL]
        result = {short: figures[short] for short in names if short in figures}
        return {
            "answers.json": _json({one.id: _submitted(one) for one in counted}),
            "result.json": _json(result),
        }

    def holdings(self) -> Sequence[Holding]:
        """The table and the videos."""
        videos = _Videos(self.folder)
        held = {"": Holding(self.table.name, self.table, "annotations")}
        for one in self.entries():
            path = videos.path(one.video)
            held[one.video] = Holding(one.video, path, "video", seconds=one.seconds)
        return list(held.values())

    def counts(self) -> Mapping[str, Count]:
        entries = self.entries()
        videos = {entry.video for entry in entries}
        return {"questions": Count(len(entries), 1549), "videos": Count(len(videos), 103)}

    def _sample(self, entry: Entry, videos: "_Videos") -> Sample:
        kind = "+".join(short for name, short in CAPABILITIES.items() if name in entry.capabilities)
        groups: dict[str, str | float | tuple[str, ...]] = {
            _CAPABILITY: entry.capabilities,
            "video_type": entry.video_type,
        }
        if entry.seconds is not None:
            groups["seconds"] = entry.seconds
        return Sample(
            id=entry.uid,
            video=videos.path(entry.video),
            question=self.rules.ask(entry.text, entry.listed),
            answer=entry.answer,
            kind=kind,
            options=entry.options,
            groups=groups,
            chance=1 / len(entry.options),
            seconds=entry.seconds,
        )


class _Videos:
    """The videos under a folder, by the names they should have or by where they are from."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._finder = VideoFinder(root, _PLACES)
        self._numbered: dict[str, Path] | None = None

    def path(self, name: str) -> Path:
        """Where a video is, or should be."""
        found = self._finder.find(name)
        if found is None:
            found = self._by_address().get(PurePosixPath(name).stem)
        return found or self._finder.expected(name)

    def _by_address(self) -> dict[str, Path]:
        """Videos as the official script has them fetched: numbered, with their address beside."""
        if self._numbered is None:
            notes = [
                note
                for place in _PLACES
                for note in sorted((self._root / place).glob("[0-9]*/[0-9]*.json"))
            ]
            told = {_key_in(note): note.with_suffix(".mp4") for note in notes}
            self._numbered = {key: path for key, path in told.items() if key and path.is_file()}
        return self._numbered


def _key_in(note: Path) -> str | None:
    """The id on YouTube that a downloader's note speaks of."""
    try:
        address: str = json.loads(note.read_text(encoding="utf-8"))["url"]
        return youtube_id(address)
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None


def _row(row: Mapping[str, Any], path: Path, number: int) -> Sequence[Entry]:
    """The questions of a row: a video's, or the one that it is."""
    if "qa" not in row:
        return [_entry(row, row, path, number)]
    questions = column(row, "qa", path, number, list)
    if not all(isinstance(one, dict) for one in questions):
        raise UsageError(f"'qa' in row {number} of '{path}' must be a list of objects.")
    return [_entry(row, one, path, number) for one in questions]


def _entry(video: Mapping[str, Any], row: Mapping[str, Any], path: Path, number: int) -> Entry:
    uid = str(column(row, "uid", path, number, (str, int)))
    where = f"row {number} of '{path}' (uid {uid})"
    listed = row.get("options")
    entry = Entry(
        uid=uid,
        video=_file_of(video, path, number, where),
        video_type=column(video, "type", path, number, str),
        seconds=_seconds(video.get("video_info")),
        text=column(row, "question", path, number, str),
        listed=() if listed in (None, "", []) else options_of(listed, where),
        answer=column(row, "answer", path, number, str).strip(),
        capabilities=_capabilities(column(row, "question_type", path, number), where),
    )
    letters = LETTERS[: len(entry.options)]
    if entry.answer not in tuple(letters):
        raise UsageError(f"The answer in {where} must be one of {letters}: '{entry.answer}'.")
    return entry


def _file_of(row: Mapping[str, Any], path: Path, number: int, where: str) -> str:
    if row.get("video_path"):
        title = column(row, "video_path", path, number, str)
        return PurePosixPath(plain_name(title, "video_path", where)).name
    return plain_name(f"{column(row, 'key', path, number, str)}.mp4", "key", where)


def _seconds(info: Any) -> float | None:
    minutes = positive(info.get("duration_minutes") if isinstance(info, Mapping) else None)
    return None if minutes is None else positive(60.0 * minutes)


def _capabilities(value: Any, where: str) -> tuple[str, ...]:
    """From a list, or a text that is one or is a single name."""
    if isinstance(value, str):
        value = _read(value) if value.strip().startswith("[") else [value]
    if not isinstance(value, list) or not value or not all(isinstance(one, str) for one in value):
        raise UsageError(
            f"'question_type' in {where} must be a list of texts, and is {value!r:.80}."
        )
    for one in value:
        if one not in CAPABILITIES:
            raise unknown_name(f"question_type in {where}", one, CAPABILITIES)
    return tuple(value)


def _read(text: str) -> Any:
    try:
        return ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return text


def _options_in(text: str) -> tuple[str, ...]:
    """The options that stand in lines of a question, "(A) …" and on; none where they do not."""
    found = _OPTION.findall(text)
    starts = [place for place, (letter, _) in enumerate(found) if letter == "A"]
    options = found[starts[-1] :] if starts else []
    in_order = [letter for letter, _ in options] == list(LETTERS[: len(options)])
    return tuple(text for _, text in options) if in_order and len(options) > 1 else ()


def _capabilities_of(one: Marked) -> tuple[str, ...]:
    found = one.groups.get(_CAPABILITY, ())
    return found if isinstance(found, tuple) else ()


def _submitted(one: Marked) -> str:
    """The letter that was read, or the guess where that was right; else "", as the script reads."""
    return one.parsed or (one.expected or "" if one.score == 1 else "")


def _json(data: Mapping[str, Any]) -> str:
    return f"{json.dumps(data, indent=4, ensure_ascii=False)}\n"
