"""A file of JSON lines that only ever grows, and survives being cut off anywhere.

The idea: a line is one write that reaches the disk before anything else happens, so whatever
ends the process, only the last line can be incomplete. Such a line was never promised to
anybody: it is dropped, and that is said. Damage anywhere else is an error. What this module does
not know: what a line means.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs

from retake.core.errors import RunFolderError
from retake.core.plain import plain
from retake.core.writing import sync_folder

HALF_WRITTEN = "the last line was half-written and was dropped"
_BINARY = getattr(os, "O_BINARY", 0)


@attrs.frozen
class Journal:
    """The file at `path`; it need not be there yet, and is then empty."""

    path: Path

    def read(self) -> tuple[list[dict[str, Any]], list[str]]:
        """What its whole lines hold, in their order, and what there is to say of the rest.

        Raises:
            RunFolderError: a line other than a half-written last one is no JSON object, or the
                file cannot be read.
        """
        content, rest = self._parts()
        lines = content.split(b"\n")[:-1]
        found = [self._line(number, raw) for number, raw in enumerate(lines, start=1)]
        return found, [f"{self.path.name}: {HALF_WRITTEN}"] if rest else []

    def repair(self) -> None:
        """Cut off a half-written last line.

        Raises:
            RunFolderError: the system refuses.
        """
        content, rest = self._parts()
        if not rest:
            return
        try:
            with self.path.open("r+b") as file:
                file.truncate(len(content))
                os.fsync(file.fileno())
        except OSError as error:
            raise self._unwritten(error) from error

    def append(self, data: Mapping[str, Any], *, sync: bool = True) -> None:
        """Write one line and bring it to the disk; the file is as before where that fails.

        Args:
            data: what the line holds.
            sync: off, the line is written, and `sync` brings it to the disk with others.

        Raises:
            RunFolderError: the system refuses, such as with a full disk.
        """
        text = json.dumps(plain(dict(data)), ensure_ascii=False, allow_nan=False)
        # Half of a surrogate pair has no bytes, but JSON has a way to write it.
        raw = text.encode("utf-8", "backslashreplace") + b"\n"
        try:
            new = not self.path.exists()
            number = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | _BINARY, 0o666)
            try:
                _write(number, raw, sync=sync)
            finally:
                os.close(number)
            if new:
                sync_folder(self.path.parent)
        except OSError as error:
            raise self._unwritten(error) from error

    def sync(self) -> None:
        """Bring to the disk what was appended without that.

        Raises:
            RunFolderError: the system refuses.
        """
        try:
            number = os.open(self.path, os.O_WRONLY | _BINARY)
        except FileNotFoundError:
            return
        except OSError as error:
            raise self._unwritten(error) from error
        try:
            os.fsync(number)
        except OSError as error:
            raise self._unwritten(error) from error
        finally:
            os.close(number)

    def damaged(self, number: int, reason: str) -> RunFolderError:
        """The error for a line, counted from 1, that cannot be used."""
        return RunFolderError(
            f"'{self.path}' is damaged in line {number}: {reason}.",
            hint="Nothing was changed. Put a copy of the file back, or start a new run in "
            "another folder.",
        )

    def _parts(self) -> tuple[bytes, bytes]:
        """The content up to its last whole line, and what is behind that."""
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            return b"", b""
        except OSError as error:
            raise RunFolderError(f"Cannot read '{self.path}': {error.strerror}.") from error
        end = content.rfind(b"\n") + 1
        return content[:end], content[end:]

    def _line(self, number: int, raw: bytes) -> dict[str, Any]:
        try:
            data = json.loads(raw)
        except ValueError:
            data = None
        if not isinstance(data, dict):
            shown = raw[:40].decode("utf-8", "replace")
            raise self.damaged(number, f"it is no JSON object ({shown!r})")
        return data

    def _unwritten(self, error: OSError) -> RunFolderError:
        return RunFolderError(
            f"Cannot write '{self.path}': {error.strerror}.",
            hint="What was written before is kept; --resume goes on from there.",
        )


def _write(number: int, raw: bytes, *, sync: bool) -> None:
    """Append to an open file, all of it or nothing, and bring it to the disk if that is meant."""
    before = os.fstat(number).st_size
    try:
        written = os.write(number, raw)
        while written < len(raw):  # a disk that fills up takes a part first, and says why then
            written += os.write(number, raw[written:])
        if sync:
            os.fsync(number)
    except OSError:
        os.ftruncate(number, before)
        raise
