"""Subtitles: read as they are published, and chosen by the frames that a model sees.

Each rule of choice is a function of its own, and named after what uses it, since published
scripts differ in it.
"""

import json
import re
from bisect import bisect_right
from collections.abc import Sequence
from math import isfinite
from pathlib import Path
from typing import Any

import attrs
import numpy as np

from retake.core.archives import read_bytes
from retake.core.errors import RetakeError, UsageError
from retake.core.stand_ins import stand_in
from retake.datasets.files.text import decoded, parsed

_CLOCK = r"(?:(\d{1,6}):)?(\d{1,2}):(\d{1,2})[,.](\d{1,3})"
_TIMES = re.compile(rf"\s*{_CLOCK}\s*-->\s*{_CLOCK}(?:\s.*)?")
_TIMED = re.compile(r"\s*\d+:[\d:.,\s]*-->")
_TAG = re.compile(r"</?[a-zA-Z][^<>]*>|\{\\[^{}]*\}")
_FONT = re.compile(r'<font color="white" size=".72c">(.*?)</font>')
_SHORTEST = 1.0  # seconds
_AT_START = 1e-9  # seconds


@attrs.frozen
class Line:
    """A line of subtitles.

    Attributes:
        start: when it is first shown, in seconds.
        end: when it is last shown; None where it is not said.
        text: without markup, on one line.
        raw: as it stands in the file, row by row; "" where that was not SRT. Lines that differ in
            nothing else are the same.
    """

    start: float
    end: float | None
    text: str
    raw: str = attrs.field(default="", eq=False, repr=False)


def read_srt(path: str | Path, *, encoding: str = "utf-8") -> tuple[Line, ...]:
    """The lines of an SRT file, in its order; it may lie in an archive.

    Numbers before the times may be missing, lines may overlap, and a text may hold empty lines. A
    file of blanks has no lines.

    Raises:
        UsageError: it is missing, not in that encoding, or not SRT; with the line.
    """
    source = Path(path)
    rows = decoded(_content(source), source, encoding).split("\n")
    starts = [number for number, row in enumerate(rows) if _TIMED.match(row)]
    if not starts:
        if any(row.strip() for row in rows):
            raise UsageError(f"'{source}' holds no subtitles: no line has times ('-->').")
        return ()
    ends = [*starts[1:], len(rows)]
    return tuple(_srt_line(source, rows, at, end) for at, end in zip(starts, ends, strict=True))


def read_json(path: str | Path) -> tuple[Line, ...]:
    """The lines of a JSON file of LongVideoBench, in its order; it may lie in an archive.

    Each is {"timestamp": [start, end], "text": ...} in seconds, or {"start": "HH:MM:SS.mmm", "end":
    ..., "line": ...}. In the former an end that is null, or not written as a decimal fraction,
    means to the end of the video, as in the benchmark's own loader.

    Raises:
        UsageError: it is missing, or not of these formats; with the line's number.
    """
    source = Path(path)
    try:
        data = parsed(decoded(_content(source), source), source)
    except json.JSONDecodeError as error:
        raise UsageError(f"'{source}' is no JSON at line {error.lineno}: {error.msg}.") from None
    if not isinstance(data, list):
        raise UsageError(f"'{source}' must be a list of subtitles.")
    return tuple(_json_line(source, number, entry) for number, entry in enumerate(data, 1))


def all_of(lines: Sequence[Line]) -> tuple[Line, ...]:
    """Every line that says something (published ReTaKe)."""
    return tuple(line for line in lines if line.text.strip())


def in_frames(lines: Sequence[Line], timestamps: Sequence[float]) -> tuple[Line, ...]:
    """For each frame the line that is shown at its time (Video-MME's own rule).

    Its authors ask for ten subtitles for ten frames, and point to a script
    (github.com/look4u-ok/video-slicer): times are whole milliseconds; of overlapping lines the one
    that comes first in the file counts; a line lies strictly around the frame; one that is shown
    at several frames is taken as often; a frame without a line gives none.

    Args:
        lines: in the order of the file.
        timestamps: of the frames, in seconds.
    """
    if not lines:
        return ()
    starts = np.array([_milliseconds(line.start) for line in lines])
    ends = np.array([_milliseconds(line.end) for line in lines])
    chosen = []
    for seconds in timestamps:
        time = _milliseconds(seconds)
        shown = (starts < time) & (time < ends)
        if shown.any():
            chosen.append(lines[int(shown.argmax())])
    return all_of(chosen)


def touching(lines: Sequence[Line], timestamps: Sequence[float]) -> tuple[Line, ...]:
    """Every line in which some frame falls, once (lmms-eval's rule for Video-MME).

    A frame at the very start of a line counts, one at its end does not. (There, starts and ends
    are first rounded down to frames of the file.) Of lines with the same times the last counts.
    They stand in the order of a set of their numbers, as there: not always in that of time.
    """
    said = list({(line.start, line.end): line for line in lines if line.raw or line.text}.values())
    starts = np.array([line.start for line in said]) - _AT_START
    ends = np.array([np.inf if line.end is None else line.end for line in said])
    numbers = {
        int(number)
        for time in sorted(timestamps)
        for number in np.flatnonzero((starts <= time) & (time < ends))
    }
    return tuple(said[number] for number in numbers)


def in_font(lines: Sequence[Line]) -> tuple[Line, ...]:
    """What stands in each line's first tag of the font in which YouTube says it (lmms-eval).

    Lines without the tag are left out, markup within it stays. Rows behind an empty one are not
    of the line there.
    """
    tags = [(line, _FONT.search(line.raw.split("\n\n")[0].replace("\n", " "))) for line in lines]
    return tuple(attrs.evolve(line, text=tag[1]) for line, tag in tags if tag)


def rows_in_font(lines: Sequence[Line]) -> tuple[Line, ...]:
    """The same of each row of the lines (lmms-eval, where it takes all subtitles)."""
    rows = [attrs.evolve(line, raw=row) for line in lines for row in line.raw.split("\n")]
    return in_font(rows)


def covering(
    lines: Sequence[Line], timestamps: Sequence[float], offset: float, duration: float
) -> tuple[Line, ...]:
    """The lines around some frame, by LongVideoBench's own rule, in the order of `interleaved`."""
    order = interleaved(lines, timestamps, offset, duration)
    return tuple(part for part in order if isinstance(part, Line))


def interleaved(
    lines: Sequence[Line], timestamps: Sequence[float], offset: float, duration: float
) -> tuple[int | Line, ...]:
    """Frames and lines in the order of their times, by LongVideoBench's own rule.

    That of `insert_subtitles_into_frames` in its loader: a line stands behind the frames up to the
    middle of the time in which it is shown. It is left out where no frame lies strictly within
    that time, which for this is at least a second around the middle.

    Args:
        lines: in the order of the file, timed by the video that the benchmark's was cut from.
        timestamps: of the frames, in seconds, ascending.
        offset: where in that video the benchmark's begins ("starting_timestamp_for_subtitles").
        duration: in seconds; where a line ends that does not say, before the offset is taken off.

    Returns:
        Numbers of frames, each once, and lines as they are in the file.
    """
    order: list[int | Line] = []
    due = 0
    for line in lines:
        start = line.start - offset
        end = (duration if line.end is None else line.end) - offset
        middle = (start + end) / 2
        while due < len(timestamps) and timestamps[due] <= middle:
            order.append(due)
            due += 1
        if end - start < _SHORTEST:
            start, end = middle - _SHORTEST / 2, middle + _SHORTEST / 2
        after = bisect_right(timestamps, start)
        if after < len(timestamps) and timestamps[after] < end:
            order.append(line)
    return (*order, *range(due, len(timestamps)))


def texts(lines: Sequence[Line], between: str = "\n") -> str:
    """The lines' texts, one a row."""
    return between.join(line.text for line in lines)


def _content(path: Path) -> bytes:
    if path.exists() and not path.is_file():
        raise UsageError(f"The subtitles '{path}' are no file.")
    try:
        content = read_bytes(path)
    except FileNotFoundError:
        raise UsageError(f"There are no subtitles '{path}'.") from None
    except OSError as error:
        raise UsageError(f"Cannot read the subtitles '{path}': {error.strerror}.") from None
    except RetakeError as error:
        raise UsageError(error.message, hint=error.hint) from None
    if trouble := stand_in(content):
        raise UsageError(f"'{path}' is {trouble.what}, not subtitles.", hint=trouble.hint)
    return content


def _srt_line(path: Path, rows: Sequence[str], at: int, end: int) -> Line:
    """The line whose times stand in row `at`; the next one's stand in row `end`."""
    times = _TIMES.fullmatch(rows[at])
    if times is None:
        raise UsageError(
            f"Line {at + 1} of '{path}' has no times of SRT: '{rows[at].strip()[:60]}'.",
            hint="They look like this: 00:01:02,500 --> 00:01:04,000",
        )
    is_numbered = end < len(rows) and rows[end - 1].strip().isdigit() and end - 1 > at
    texts = rows[at + 1 : end - 1 if is_numbered else end]
    said = " ".join(row for row in (_TAG.sub("", row).strip() for row in texts) if row)
    raw = "\n".join(texts).rstrip("\n")
    clock = times.groups()
    return Line(_seconds(*clock[:4]), _seconds(*clock[4:]), said, raw)


def _json_line(path: Path, number: int, entry: Any) -> Line:
    try:
        if "timestamp" in entry:
            start, end = entry["timestamp"]
            shown = Line(float(start), end if isinstance(end, float) else None, entry["text"])
        else:
            shown = Line(_clock(entry["start"]), _clock(entry["end"]), entry["line"])
        if not isinstance(shown.text, str):
            raise ValueError("its text is no text")
        if not all(isfinite(time) for time in (shown.start, shown.end or 0.0)):
            raise ValueError("its times are no numbers of seconds")
    except (TypeError, ValueError, KeyError, AttributeError, OverflowError) as error:
        why = f"it has no {error}" if isinstance(error, KeyError) else str(error)
        raise UsageError(
            f"Subtitle {number} of '{path}' cannot be read: {why}.",
            hint='They look like {"timestamp": [1.0, 2.5], "text": "…"} or '
            '{"start": "00:00:01.000", "end": "00:00:02.500", "line": "…"}.',
        ) from None
    return shown


def _clock(text: str) -> float:
    """Seconds of "HH:MM:SS.mmm"."""
    hours, minutes, seconds = text.split(":")
    return int(hours) * 3600 + int(minutes) * 60 + float(seconds)


def _seconds(hours: str | None, minutes: str, seconds: str, fraction: str) -> float:
    whole = int(hours or 0) * 3600 + int(minutes) * 60 + int(seconds)
    return whole + int(fraction.ljust(3, "0")) / 1000


def _milliseconds(seconds: float | None) -> float:
    return float("inf") if seconds is None else round(seconds * 1000)
