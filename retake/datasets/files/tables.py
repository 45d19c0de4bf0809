"""Tables of annotations as benchmarks publish them: parquet, JSON and JSON lines."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from retake.core.archives import read_bytes
from retake.core.errors import MissingExtraError, RetakeError, UsageError, nearest
from retake.core.stand_ins import stand_in
from retake.datasets.files.text import decoded, parsed

Row = dict[str, Any]
T = TypeVar("T")

_SHARD = re.compile(r"(?P<stem>.+-)(?P<number>\d{5})-of-(?P<count>\d{5})(?P<suffix>\.\w+)")
_AGAIN = "Fetch the file again; its download may have been cut off."
_WORDS = {str: "text", list: "a list", dict: "an object", int: "a whole number", float: "a number"}


def read_table(path: str | Path) -> list[Row]:
    """The rows of a table, in order.

    Parquet (with `retake[parquet]`), JSON that is a list of objects, and JSON lines are told
    apart by what is in the file. Of a table in shards ("test-00000-of-00002.parquet") any of them
    stands for all, which are read in order.

    Raises:
        UsageError: it is missing, empty, damaged, no such table, or lacks a shard; the message
            names the file and, where there is one, the line.
        MissingExtraError: it is parquet, and pyarrow is not installed.
    """
    rows: list[Row] = []
    for shard in _shards(Path(path)):
        content = _content(shard)
        rows += _parquet(shard, content) if content[:4] == b"PAR1" else _text(shard, content)
    if not rows:
        raise UsageError(f"The table '{path}' has no rows.", hint=_AGAIN)
    return rows


def find_table(root: str | Path, *patterns: str) -> Path:
    """The table that lies under a folder as one of the patterns says, the first that fits.

    Args:
        root: the folder.
        patterns: paths below it, best first; "*" and "**" stand for anything, as in a shell.

    Raises:
        UsageError: there is none, or no such folder.
    """
    folder = Path(root).expanduser()
    if not folder.is_dir():
        what = "is a file, not a folder" if folder.exists() else "does not exist"
        raise UsageError(f"The folder '{folder}' {what}.")
    for pattern in patterns:
        found = sorted(path for path in folder.glob(pattern) if path.is_file())
        if found:
            return found[0]
    looked = ", ".join(patterns)
    there = sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))[:8]
    raise UsageError(
        f"There are no annotations in '{folder}': looked for {looked}.",
        hint=f"There is: {', '.join(there) or 'nothing'}.",
    )


def column(
    row: Mapping[str, Any],
    name: str,
    path: str | Path,
    number: int,
    kind: type[T] | tuple[type[T], ...] = object,  # type: ignore[assignment]
) -> T:
    """What a row holds in a column.

    Args:
        row, path, number: the row, and for messages its table and its number, counted from 1.
        name: of the column.
        kind: what it must be, such as `str`; `float` takes whole numbers too.

    Raises:
        UsageError: there is no such column, or something else is in it.
    """
    if name not in row:
        close = nearest(name, row)
        hint = f"Did you mean {' or '.join(repr(one) for one in close)}? " if close else ""
        raise UsageError(
            f"Row {number} of '{path}' has no '{name}'.",
            hint=f"{hint}It has: {', '.join(row) or 'nothing'}.",
        )
    value = row[name]
    kinds = kind if isinstance(kind, tuple) else (kind,)
    allowed = (*kinds, int) if float in kinds else kinds
    wrong_bool = isinstance(value, bool) and bool not in kinds and object not in kinds
    if wrong_bool or not isinstance(value, allowed):
        words = " or ".join(_WORDS.get(one, one.__name__) for one in kinds)
        raise UsageError(
            f"'{name}' in row {number} of '{path}' must be {words}, and is {_shown(value)}."
        )
    return value  # type: ignore[return-value]


def _shards(path: Path) -> Sequence[Path]:
    """All shards of the table, or the file itself."""
    name = _SHARD.fullmatch(path.name)
    if name is None:
        return [path]
    stem, count, suffix = name["stem"], int(name["count"]), name["suffix"]
    shards = [path.with_name(f"{stem}{at:05}-of-{count:05}{suffix}") for at in range(count)]
    missing = [shard.name for shard in shards if not shard.exists()]
    if missing:
        raise UsageError(
            f"The table '{path.with_name(stem)}*' is in {count} parts, of which "
            f"{', '.join(missing[:3])}{' and more' if len(missing) > 3 else ''} "
            f"{'is' if len(missing) == 1 else 'are'} missing.",
            hint="Fetch all of them.",
        )
    return shards


def _content(path: Path) -> bytes:
    if path.exists() and not path.is_file():
        raise UsageError(f"The table '{path}' is no file.")
    try:
        content = read_bytes(path)
    except FileNotFoundError:
        raise UsageError(f"There is no table '{path}'.") from None
    except OSError as error:
        raise UsageError(f"Cannot read the table '{path}': {error.strerror}.") from None
    except RetakeError as error:
        raise UsageError(error.message, hint=error.hint) from None
    if trouble := stand_in(content):
        raise UsageError(f"'{path}' is {trouble.what}, not a table.", hint=trouble.hint)
    if not content.strip():
        raise UsageError(f"The table '{path}' is empty.", hint=_AGAIN)
    return content


def _parquet(path: Path, content: bytes) -> list[Row]:
    try:
        import pyarrow as arrow
        from pyarrow import parquet
    except ImportError:
        raise MissingExtraError(
            f"'{path}' is a parquet file, which needs the package 'pyarrow'.",
            hint="Install it with: pip install 'retake[parquet]'",
        ) from None
    try:
        rows: list[Row] = parquet.ParquetFile(arrow.BufferReader(content)).read().to_pylist()
    except (arrow.ArrowException, OSError, ValueError) as error:
        said = str(error).strip().splitlines()[0].rstrip(".")
        raise UsageError(f"The table '{path}' is damaged: {said}.", hint=_AGAIN) from None
    return rows


def _text(path: Path, content: bytes) -> list[Row]:
    if path.suffix.lower() == ".parquet":
        raise UsageError(
            f"'{path}' is no parquet file: it begins with {content[:4]!r}, not b'PAR1'.",
            hint=_AGAIN,
        )
    text = decoded(content, path)
    lines = path.suffix.lower() in (".jsonl", ".ndjson")
    try:
        data = _lines(path, text) if lines else parsed(text, path)
    except json.JSONDecodeError as error:
        if error.msg == "Extra data" and _is_row(text.splitlines()[0], path):
            data = _lines(path, text)
        else:
            raise _broken(path, error, error.lineno, len(text)) from None
    return _rows(path, data)


def _lines(path: Path, text: str) -> list[Any]:
    rows = []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = parsed(line, path)
        except json.JSONDecodeError as error:
            raise _broken(path, error, number, len(line)) from None
        if not isinstance(row, dict):
            raise UsageError(
                f"Line {number} of '{path}' must be a JSON object, and is {_shown(row)}."
            )
        rows.append(row)
    return rows


def _rows(path: Path, data: Any) -> list[Row]:
    if not isinstance(data, list):
        raise UsageError(
            f"'{path}' must be a list of objects, or one object a line; it is {_shown(data)}."
        )
    for number, row in enumerate(data, 1):
        if not isinstance(row, dict):
            raise UsageError(
                f"Row {number} of '{path}' must be a JSON object, and is {_shown(row)}."
            )
    return data


def _broken(path: Path, error: json.JSONDecodeError, line: int, length: int) -> UsageError:
    cut = " It ends there, as if cut off." if error.pos >= length else ""
    return UsageError(
        f"'{path}' is no JSON at line {line}, column {error.colno}: {error.msg}.{cut}", hint=_AGAIN
    )


def _is_row(line: str, path: Path) -> bool:
    try:
        return isinstance(parsed(line, path), dict)
    except json.JSONDecodeError:
        return False


def _shown(value: Any) -> str:
    try:
        text = "an object" if isinstance(value, dict) else json.dumps(value, default=str)
    except RecursionError:
        text = "nested too deeply to be shown"
    return text if len(text) <= 60 else f"{text[:57]}..."
