"""Tables of annotations: every format, and what is said of one that is not right."""

import json
import sys
from pathlib import Path
from typing import Any

import pyarrow as arrow
import pytest
from pyarrow import parquet

from retake.core.errors import MissingExtraError, UsageError
from retake.datasets.files import column, find_table, read_table
from tests.archives import make_zip

ROWS = [
    {"id": "1-1", "question": "Où ?", "options": ["A. ja", "B. no"], "seconds": 12.5},
    {"id": "1-2", "question": "质问", "options": ["A. 1", "B. 2"], "seconds": 7.0},
]


def as_json(rows: list[dict[str, Any]]) -> bytes:
    return json.dumps(rows, ensure_ascii=False, indent=2).encode()


def as_lines(rows: list[dict[str, Any]], end: str = "\n") -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + end for row in rows).encode()


def write_parquet(path: Path, rows: list[dict[str, Any]]) -> None:
    parquet.write_table(arrow.Table.from_pylist(rows), path)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.json", as_json(ROWS)),
        ("bom.json", b"\xef\xbb\xbf" + as_json(ROWS)),
        ("windows.json", as_json(ROWS).replace(b"\n", b"\r\n")),
        ("a.jsonl", as_lines(ROWS)),
        ("windows.jsonl", as_lines(ROWS, "\r\n")),
        ("blank-lines.jsonl", b"\n" + as_lines(ROWS, "\n\n")),
        ("bom.jsonl", b"\xef\xbb\xbf" + as_lines(ROWS)),
        ("lines-called.json", as_lines(ROWS)),
        ("unended.jsonl", as_lines(ROWS).rstrip()),
    ],
)
def test_text(tmp_path: Path, name: str, content: bytes) -> None:
    """JSON and JSON lines give the same rows, whoever wrote them."""
    (tmp_path / name).write_bytes(content)
    assert read_table(tmp_path / name) == ROWS


def test_line_separators_within_a_text(tmp_path: Path) -> None:
    """What some readers take for a line's end, such as U+2028, ends no line of JSON."""
    rows = [{"id": "a\u2028b\x85c"}, {"id": "d"}]
    (tmp_path / "a.jsonl").write_bytes(as_lines(rows))
    assert read_table(tmp_path / "a.jsonl") == rows


def test_parquet(tmp_path: Path) -> None:
    """A parquet file is known by what is in it."""
    for name in ("test-00000-of-00001.parquet", "a.bin"):
        write_parquet(tmp_path / name, ROWS)
        assert read_table(tmp_path / name) == ROWS


def test_shards(tmp_path: Path) -> None:
    """Any shard stands for the whole table, in order."""
    rows = [{"id": str(number)} for number in range(7)]
    for shard, part in enumerate((rows[:3], rows[3:6], rows[6:])):
        write_parquet(tmp_path / f"test-0000{shard}-of-00003.parquet", part)
    for shard in range(3):
        assert read_table(tmp_path / f"test-0000{shard}-of-00003.parquet") == rows
    (tmp_path / "test-00001-of-00003.parquet").unlink()
    with pytest.raises(UsageError, match=r"in 3 parts, of which test-00001-of-00003.parquet is mi"):
        read_table(tmp_path / "test-00000-of-00003.parquet")


def test_in_an_archive(tmp_path: Path) -> None:
    """A table may be left in a zip."""
    path = make_zip(tmp_path / "json.zip", {"json/1.json": as_json(ROWS)})
    assert read_table(path / "json" / "1.json") == ROWS
    with pytest.raises(UsageError, match=r"There is no 'json/2.json'"):
        read_table(path / "json" / "2.json")


def test_parquet_without_pyarrow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the extra, it is named; other tables are read."""
    write_parquet(tmp_path / "a.parquet", ROWS)
    (tmp_path / "a.json").write_bytes(as_json(ROWS))
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtraError, match=r"needs the package 'pyarrow'") as caught:
        read_table(tmp_path / "a.parquet")
    assert "retake[parquet]" in str(caught.value)
    assert read_table(tmp_path / "a.json") == ROWS


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.json", b"", r"a.json' is empty"),
        ("a.jsonl", b" \n\n", r"a.jsonl' is empty"),
        ("a.json", b"[]", r"a.json' has no rows"),
        ("a.json", b'[{"id": 1},', r"no JSON at line 1, column 12: .* as if cut off"),
        ("a.json", as_json(ROWS)[:80], r"no JSON at line \d+, column \d+"),
        ("a.json", b'{"id": {"a": 1}}', r"must be a list of objects, .*; it is an object"),
        ("a.json", b'[{"id": 1}, 7]', r"Row 2 of .*a.json' must be a JSON object, and is 7"),
        ("a.json", b"hello", r"no JSON at line 1, column 1"),
        ("a.json", '[{"a": "é"}]'.encode("latin-1"), r"not UTF-8: line 1 holds the byte 0xE9"),
        ("a.json", '[{"a": "é"}]'.encode("utf-16"), r"not UTF-8: it is UTF-16"),
        ("a.jsonl", b'{"id": 1}\n{"id": 2\n', r"no JSON at line 2, column 9: .* as if cut off"),
        ("a.jsonl", b'{"id": 1}\n[2]\n', r"Line 2 of .*must be a JSON object, and is \[2\]"),
        ("a.jsonl", b'\n{"a": "ok"}\n{"a": "\xe9"}', r"not UTF-8: line 3 holds the byte 0xE9"),
        ("a.parquet", b"not parquet", r"begins with b'not ', not b'PAR1'"),
        ("a.parquet", b"PAR1 and nothing more", r"a.parquet' is damaged"),
        ("a.parquet", b"<!DOCTYPE html><html></html>", r"is a web page, not a table"),
        ("a.json", b"version https://git-lfs.github.com/spec/v1\n", "pointer of Git LFS"),
    ],
)
def test_what_is_wrong(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    """The file, the place in it and what is expected are said."""
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UsageError, match=message):
        read_table(tmp_path / name)


@pytest.mark.parametrize("share", [0.2, 0.5, 0.95])
def test_a_parquet_cut_off(tmp_path: Path, share: float) -> None:
    """A download that stopped is an error at whatever point it did."""
    path = tmp_path / "a.parquet"
    write_parquet(path, ROWS * 50)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(UsageError, match="is damaged"):
        read_table(path)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"There is no table '.*none.json'"):
        read_table(tmp_path / "none.json")
    with pytest.raises(UsageError, match="is no file"):
        read_table(tmp_path)


def test_find_table(tmp_path: Path) -> None:
    """The first pattern that fits decides; where none does, what is there is told."""
    (tmp_path / "videomme").mkdir()
    (tmp_path / "b.json").touch()
    with pytest.raises(UsageError, match=r"looked for videomme/test-\*") as caught:
        find_table(tmp_path, "videomme/test-*.parquet", "a.json")
    assert "There is: b.json, videomme." in str(caught.value)
    (tmp_path / "a.json").touch()
    assert find_table(tmp_path, "videomme/test-*.parquet", "a.json").name == "a.json"
    shard = tmp_path / "videomme" / "test-00000-of-00001.parquet"
    shard.touch()
    assert find_table(tmp_path, "videomme/test-*.parquet", "a.json") == shard
    assert find_table(tmp_path, "**/test-*.parquet") == shard
    with pytest.raises(UsageError, match="does not exist"):
        find_table(tmp_path / "none", "a.json")
    with pytest.raises(UsageError, match="is a file, not a folder"):
        find_table(tmp_path / "a.json", "a.json")


def test_column() -> None:
    """A row's value, of the kind asked for; or which row of which file lacks it."""
    row = {"question_id": "1-1", "options": ["a"], "seconds": 7, "right": True, "none": None}
    assert column(row, "question_id", "a.json", 3, str) == "1-1"
    assert column(row, "options", "a.json", 3, list) == ["a"]
    assert column(row, "seconds", "a.json", 3, float) == 7
    assert column(row, "none", "a.json", 3) is None
    with pytest.raises(UsageError, match=r"Row 3 of 'a.json' has no 'questionid'") as caught:
        column(row, "questionid", "a.json", 3)
    assert "Did you mean 'question_id'? It has: question_id, options" in str(caught.value)
    for name, kind, words in (
        ("question_id", list, r"must be a list, and is \"1-1\""),
        ("none", str, r"must be text, and is null"),
        ("right", int, r"must be a whole number, and is true"),
        ("options", (str, int), r"must be text or a whole number"),
    ):
        with pytest.raises(UsageError, match=words):
            column(row, name, "a.json", 3, kind)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[" * 100_000 + "]" * 100_000, "nested too deeply"),
        (f'[{{"a": {"9" * 5000}}}]', "a number of thousands of digits"),
        (f'{{"a": 1}}\n{{"a": {"9" * 5000}}}', "a number of thousands of digits"),
        (f'{{"a": {"9" * 5000}}}\n{{"a": 1}}', "a number of thousands of digits"),
    ],
)
@pytest.mark.parametrize("suffix", ["json", "jsonl"])
def test_json_that_python_does_not_read(tmp_path: Path, text: str, why: str, suffix: str) -> None:
    """Refused in words, as what is no JSON is."""
    path = tmp_path / f"a.{suffix}"
    path.write_text(text)
    with pytest.raises(UsageError, match=rf"a\.{suffix}' cannot be read as JSON: .*{why}"):
        read_table(path)
