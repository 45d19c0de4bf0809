"""Bytes to text, where it must be UTF-8 and may not be, and text to JSON."""

import codecs
import json
from pathlib import Path
from typing import Any

from retake.core.errors import UsageError

_MARKS = {
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}


def decoded(content: bytes, path: Path, encoding: str = "utf-8") -> str:
    """A file's text, without a byte-order mark, with line feeds only.

    Raises:
        UsageError: it is in another encoding; nothing is guessed, as a wrong guess would be seen
            by nobody.
    """
    is_utf8 = codecs.lookup(encoding).name == "utf-8"
    for mark, name in _MARKS.items():
        if is_utf8 and content.startswith(mark):
            raise _other(path, f"it is {name}", name)
    try:
        text = content.decode("utf-8-sig" if is_utf8 else encoding)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        byte = content[error.start]
        raise _other(path, f"line {line} holds the byte 0x{byte:02X}", "LATIN1") from None
    return text.replace("\r\n", "\n").replace("\r", "\n")


def parsed(text: str, path: Path) -> Any:
    """What a text says as JSON.

    Raises:
        json.JSONDecodeError: it is none; it says where.
        UsageError: it is JSON that Python does not read: nested too deeply, or a number of
            thousands of digits.
    """
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        raise
    except (ValueError, RecursionError) as error:
        deep = isinstance(error, RecursionError)
        why = "it is nested too deeply" if deep else "it holds a number of thousands of digits"
        raise UsageError(
            f"'{path}' cannot be read as JSON: {why}.",
            hint="No benchmark is published like that; fetch the file again.",
        ) from None


def _other(path: Path, why: str, likely: str) -> UsageError:
    return UsageError(
        f"'{path}' is not UTF-8: {why}.",
        hint=f"Fetch it again; or, if it is {likely}, convert it: "
        f"iconv -f {likely} -t UTF-8 '{path}'",
    )
