"""Whatever is in a file, readers give rows or lines, or say what is wrong: no other error."""

import contextlib
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as arrow
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from retake.core.errors import UsageError
from retake.datasets.files import read_json, read_srt, read_table

SRT = b"1\n00:00:01,240 --> 00:00:06,879\n<i>one</i>\n\n2\n00:00:04,160 --> 00:00:10,5\ntwo\n"
JSON = (
    b'[{"timestamp": [1.5, null], "text": "a"}, {"start": "0:0:1.5", "end": "0:0:2", "line": "b"}]'
)
LINES = b'{"id": "1-1", "options": ["A", "B"], "seconds": 12.5}\n{"id": "1-2"}\n'


@contextmanager
def file_of(content: bytes, name: str) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(content)
        yield path


def damaged(content: bytes) -> st.SearchStrategy[bytes]:
    """The content with a stretch of it replaced by anything, or anything alone."""
    place, size = st.integers(0, len(content)), st.integers(0, len(content))
    changed = st.tuples(place, size, st.binary(max_size=12)).map(
        lambda change: content[: change[0]] + change[2] + content[change[0] + change[1] :]
    )
    return changed | st.binary(max_size=80)


@pytest.mark.parametrize(
    ("read", "name", "sound"),
    [
        (read_srt, "a.srt", SRT),
        (read_json, "a.json", JSON),
        (read_table, "a.json", JSON),
        (read_table, "a.jsonl", LINES),
    ],
)
def test_text(read: Callable[[Path], Any], name: str, sound: bytes) -> None:
    """Text that was damaged in any way."""

    @given(damaged(sound))
    @settings(max_examples=150, deadline=None)
    def holds(content: bytes) -> None:
        with file_of(content, name) as path, contextlib.suppress(UsageError):
            read(path)

    with file_of(sound, name) as path:
        assert len(read(path)) == 2
    holds()


def test_parquet(tmp_path: Path) -> None:
    """A parquet file that was damaged in any way."""
    parquet.write_table(arrow.Table.from_pylist([{"a": [1], "b": "x"}] * 3), tmp_path / "a.parquet")
    sound = (tmp_path / "a.parquet").read_bytes()

    @given(damaged(sound))
    @settings(max_examples=150, deadline=None)
    def holds(content: bytes) -> None:
        with file_of(content, "a.parquet") as path, contextlib.suppress(UsageError):
            read_table(path)

    holds()
