"""Subtitles: both formats of each benchmark, and the published rules of which of them are shown."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retake.core.errors import UsageError
from retake.datasets.files import Line, read_json, read_srt
from retake.datasets.files.subtitles import (
    all_of,
    covering,
    in_font,
    in_frames,
    interleaved,
    rows_in_font,
    texts,
    touching,
)
from tests.archives import make_zip

SRT = """\
1
00:00:01,240 --> 00:00:06,879
<font color="white" size=".72c">when we are about to</font>
<i>do</i> something

2
00:00:04,160 --> 01:00:10,519
{\\an8}new 5 < 6
"""
LINES = (
    Line(1.24, 6.879, "when we are about to do something"),
    Line(4.16, 3610.519, "new 5 < 6"),
)


def srt(tmp_path: Path, content: str | bytes) -> Path:
    path = tmp_path / "a.srt"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@pytest.mark.parametrize(
    "content",
    [
        SRT,
        "\ufeff" + SRT,
        SRT.replace("\n", "\r\n"),
        SRT.replace("\n", "\r"),
        SRT.replace("1\n00:00:01", "00:00:01").replace("2\n00:00:04", "00:00:04"),
        SRT.replace("\n\n", "\n\n\n\n") + "\n\n",
        SRT.replace("\n\n2\n", "\n2\n"),
        SRT.replace(",", "."),
        SRT.replace(" --> ", "-->").replace(",240", ",24"),
        SRT.replace("06,879\n", "06,879  X1:10 X2:20 Y1:30\n"),
        SRT.replace("00:00:01,240", "0:01,240"),
        "a heading of somebody's\n\n" + SRT,
    ],
)
def test_srt(tmp_path: Path, content: str) -> None:
    """The same lines from every way in which SRT is written."""
    assert read_srt(srt(tmp_path, content)) == LINES


def test_srt_texts(tmp_path: Path) -> None:
    """Numbers as text, empty lines within a text, arrows in it, and lines without text."""
    content = "1\n00:01,000 --> 00:02,000\n1984\n\nwas --> 1983\n\n2\n00:03,000 --> 00:04,000\n\n"
    content += "00:05,000 --> 00:06,000\n42\n"
    assert read_srt(srt(tmp_path, content)) == (
        Line(1, 2, "1984 was --> 1983"),
        Line(3, 4, ""),
        Line(5, 6, "42"),
    )


def test_blank_srt(tmp_path: Path) -> None:
    """A file of blanks is a video in which nothing is said."""
    assert read_srt(srt(tmp_path, "\n \n")) == ()
    assert read_srt(srt(tmp_path, "")) == ()


def test_srt_in_another_encoding(tmp_path: Path) -> None:
    """Latin-1 is not guessed: it is an error until it is said."""
    path = srt(tmp_path, SRT.replace("new", "neü").encode("latin-1"))
    with pytest.raises(UsageError, match=r"a.srt' is not UTF-8: line 8 holds the byte 0xFC") as no:
        read_srt(path)
    assert "iconv -f LATIN1" in str(no.value)
    assert read_srt(path, encoding="latin-1")[1].text == "neü 5 < 6"
    path.write_bytes(SRT.encode("utf-16"))
    with pytest.raises(UsageError, match="it is UTF-16"):
        read_srt(path)
    assert read_srt(path, encoding="utf-16") == LINES


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (SRT.replace("00:00:04,160", "00:00:04"), r"Line 7 of .*a.srt' has no times of SRT"),
        ("hello\nthere\n", r"a.srt' holds no subtitles"),
        ("<!DOCTYPE html><html>", "is a web page, not subtitles"),
        ("version https://git-lfs.github.com/spec/v1\n", "is a pointer of Git LFS"),
    ],
)
def test_no_srt(tmp_path: Path, content: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        read_srt(srt(tmp_path, content))


def test_missing(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="There are no subtitles"):
        read_srt(tmp_path / "none.srt")
    with pytest.raises(UsageError, match="are no file"):
        read_json(tmp_path)


def test_in_a_zip(tmp_path: Path) -> None:
    """Subtitles may be left in a zip."""
    path = make_zip(tmp_path / "subtitle.zip", {"subtitle/a.srt": SRT.encode()})
    assert read_srt(path / "subtitle" / "a.srt") == LINES


def write(tmp_path: Path, entries: Any) -> Path:
    path = tmp_path / "a_en.json"
    path.write_text(json.dumps(entries), encoding="utf-8")
    return path


def test_both_json_formats(tmp_path: Path) -> None:
    """LongVideoBench has two; in one, an end that is no fraction is the end of the video."""
    entries = [
        {"timestamp": [1.5, 2.25], "text": "one"},
        {"timestamp": [3, None], "text": "two"},
        {"timestamp": [3.0, 4], "text": "three"},
        {"start": "01:02:03.500", "end": "01:02:04", "line": "four"},
    ]
    assert read_json(write(tmp_path, entries)) == (
        Line(1.5, 2.25, "one"),
        Line(3, None, "two"),
        Line(3, None, "three"),
        Line(3723.5, 3724, "four"),
    )


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"a": 1}, "must be a list of subtitles"),
        ([{"timestamp": [1.0, 2.0], "text": "a"}, {}], r"Subtitle 2 of .* it has no 'start'"),
        ([{"timestamp": [1.0], "text": "a"}], "Subtitle 1 of .* cannot be read"),
        ([{"timestamp": [None, 1.0], "text": "a"}], "Subtitle 1 of .* cannot be read"),
        ([{"timestamp": [1.0, 2.0], "text": 3}], "its text is no text"),
        ([{"start": "1:2", "end": "00:00:01", "line": "a"}], "Subtitle 1 of .* cannot be read"),
        ([{"start": 1, "end": 2, "line": "a"}], "Subtitle 1 of .* cannot be read"),
        ([7], "Subtitle 1 of .* cannot be read"),
    ],
)
def test_no_json_subtitles(tmp_path: Path, entries: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        read_json(write(tmp_path, entries))


def test_json_cut_off(tmp_path: Path) -> None:
    path = write(tmp_path, [{"timestamp": [1.0, 2.0], "text": "a"}])
    path.write_text(path.read_text()[:20])
    with pytest.raises(UsageError, match="is no JSON at line 1"):
        read_json(path)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[" * 100_000, "nested too deeply"),
        (f"[{'9' * 5000}]", "a number of thousands of digits"),
        ('[{"timestamp": [NaN, 1.0], "text": "a"}]', "its times are no numbers"),
        ('[{"timestamp": [0.0, Infinity], "text": "a"}]', "its times are no numbers"),
        (f'[{{"timestamp": [{"9" * 400}, 1.0], "text": "a"}}]', "int too large"),
    ],
)
def test_json_that_cannot_be_numbers(tmp_path: Path, text: str, why: str) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(UsageError, match=why):
        read_json(tmp_path / "a.json")


def test_all_of() -> None:
    """Every line with a text, in order."""
    lines = (Line(5, 6, "b"), Line(1, 2, " "), Line(1, 2, "a"), Line(1, 2, "a"))
    assert texts(all_of(lines)) == "b\na\na"


def test_in_frames() -> None:
    """One line a frame, the first in the file, strictly around it, as often as it is shown."""
    lines = (
        Line(1, 4, "a"),
        Line(3, 6, "b"),
        Line(7, 9, " "),
        Line(7, 9, "c"),
        Line(10, None, "d"),
    )
    times = [0, 1, 2, 3.5, 4, 5, 6, 8, 10.0004, 11]
    assert [line.text for line in in_frames(lines, times)] == ["a", "a", "b", "b", "d"]
    assert in_frames((), times) == ()
    assert in_frames(lines, []) == ()


def test_touching() -> None:
    """Each line once; the start counts and the end does not; of the same times the last."""
    lines = (Line(1, 4, "a"), Line(3, 6, "b"), Line(6, 6, "e"), Line(7, 9, " "), Line(9, None, "d"))
    assert texts(touching(lines, [4, 4.5])) == "b"
    assert texts(touching(lines, [6, 1])) == "a"
    assert texts(touching(lines, [100])) == "d"
    assert texts(touching((*lines, Line(1, 4, "again")), [4.5, 1])) == "again\nb"
    assert touching((), [1]) == ()


FONT = '<font color="white" size=".72c">{}</font>'.format
FONTS = [
    (0, FONT("one")),
    (2, FONT("two") + FONT("and more")),
    (2, FONT("two again")),
    (4, "no tag"),
    (6, FONT("<i>four</i>") + "\n" + FONT("its second row")),
    (8, FONT("")),
    (10, '<font color="red">six</font>'),
    (12, FONT("split\nover rows")),
    (14, "said by " + FONT("eight")),
]


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        (range(20), "one\ntwo again\n<i>four</i>\n\nsplit over rows\neight"),
        ([0, 9, 19], "one\n"),
        ([0, 3, 6, 9, 12, 15, 19], "one\ntwo again\n<i>four</i>\n\nsplit over rows\neight"),
        ([0], "one"),
        ([5, 19], ""),
        (None, "one\ntwo\ntwo again\n<i>four</i>\nits second row\n\neight"),
    ],
)
def test_the_font_of_youtube(tmp_path: Path, times: Any, expected: str) -> None:
    """What lmms-eval 0.7.3 writes of this file for these frames, and (None) of all of it."""
    blocks = (
        f"{number}\n00:00:{start:02},000 --> 00:00:{start + 3:02},000\n{said}\n"
        for number, (start, said) in enumerate(FONTS, 1)
    )
    lines = read_srt(srt(tmp_path, "\n".join(blocks)))
    chosen = rows_in_font(lines) if times is None else in_font(touching(lines, times))
    assert texts(chosen) == expected


def test_touching_keeps_the_order_of_a_set() -> None:
    """As lmms-eval 0.7.3 writes them: lines 0, 6, 12 and 19 of 20."""
    lines = [Line(second, second + 1, str(second)) for second in range(20)]
    assert texts(touching(lines, [0, 6, 12, 19]), " ") == "0 19 12 6"


def test_interleaved() -> None:
    """A line behind the frames up to its middle; none without a frame; short ones are widened."""
    lines = (
        Line(11.0, 12.0, "a"),  # 1 to 2 of the video: no frame strictly within
        Line(11.9, 12.3, "b"),  # widened to 1.6 … 2.6
        Line(13.0, 19.0, "c"),  # its middle is 6
        Line(18.0, None, "d"),  # to 20: its middle is 9
    )
    order = interleaved(lines, [0, 2, 4, 6, 8], 10, 30)
    shown = [part.text if isinstance(part, Line) else part for part in order]
    assert shown == [0, 1, "b", 2, 3, "c", 4]
    order = interleaved(lines, [0, 2, 4, 6, 8, 12], 10, 30)
    shown = [part.text if isinstance(part, Line) else part for part in order]
    assert shown == [0, 1, "b", 2, 3, "c", 4, 5, "d"]
    assert texts(covering(lines, [0, 2, 4, 6, 8], 10, 30)) == "b\nc"


spans = st.tuples(st.integers(0, 200), st.integers(0, 60) | st.none())
subtitles = st.lists(spans, max_size=12).map(
    lambda spans: tuple(
        Line(start / 4, None if length is None else (start + length) / 4, f"t{number}")
        for number, (start, length) in enumerate(spans)
    )
)
times = st.lists(st.integers(0, 220), max_size=12, unique=True).map(
    lambda numbers: [number / 4 for number in sorted(numbers)]
)


@given(subtitles, times)
@settings(max_examples=200, deadline=None)
def test_in_frames_is_the_rule_in_words(lines: tuple[Line, ...], frames: list[float]) -> None:
    """The same as looking through all lines for each frame."""
    expected = []
    for time in frames:
        around = [
            line for line in lines if line.start < time and (line.end is None or time < line.end)
        ]
        expected += around[:1]
    assert list(in_frames(lines, frames)) == expected


@given(subtitles, times)
@settings(max_examples=200, deadline=None)
def test_touching_is_the_rule_in_words(lines: tuple[Line, ...], frames: list[float]) -> None:
    """The same as looking through all frames for each line, in whatever order."""
    expected = [
        line
        for line in {(line.start, line.end): line for line in lines}.values()
        if any(line.start <= time and (line.end is None or time < line.end) for time in frames)
    ]
    found = touching(lines, frames)
    assert sorted(found, key=lambda line: int(line.text[1:])) == sorted(
        expected, key=lambda line: int(line.text[1:])
    )


@given(subtitles, times, st.integers(0, 40), st.integers(1, 240))
@settings(max_examples=200, deadline=None)
def test_interleaving_is_the_rule_in_words(
    lines: tuple[Line, ...], frames: list[float], offset: int, duration: int
) -> None:
    """Every frame once and in order; which lines, and behind which frames, by their definition."""
    order = interleaved(lines, frames, offset / 4, duration / 4)
    assert [part for part in order if isinstance(part, int)] == list(range(len(frames)))
    spans = []
    for line in lines:
        start = line.start - offset / 4
        end = (duration / 4 if line.end is None else line.end) - offset / 4
        spans.append((line, start, end, (start + end) / 2))
    expected, latest = [], -1e9
    for line, start, end, middle in spans:
        latest = max(latest, middle)
        half = 0.5 if end - start < 1 else (end - start) / 2
        if any(middle - half < time < middle + half for time in frames):
            expected.append((line, sum(time <= latest for time in frames)))
    found = [
        (part, sum(isinstance(before, int) for before in order[:number]))
        for number, part in enumerate(order)
        if isinstance(part, Line)
    ]
    assert found == expected
