"""Several files read as the one that they were cut from."""

import io
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from typing import BinaryIO


class JoinedFile(io.RawIOBase):
    """Files one behind the other, as one that can be read and sought in. Nothing is copied."""

    def __init__(self, paths: Sequence[Path]) -> None:
        super().__init__()
        self._files: list[BinaryIO] = []
        try:
            for path in paths:
                self._files.append(path.open("rb", buffering=0))
        except OSError:
            self.close()
            raise
        self._ends = list(accumulate(path.stat().st_size for path in paths))
        self._at = 0

    def close(self) -> None:
        """Close all of them."""
        for file in self._files:
            file.close()
        super().close()

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._ends[-1]}[whence]
        if base + offset < 0:
            raise ValueError(f"cannot seek to {base + offset}, before the beginning")
        self._at = base + offset
        return self._at

    def readinto(self, buffer: "bytearray | memoryview") -> int:  # type: ignore[override]
        """Fill a buffer from the file that the position falls in; 0 at the end of the last."""
        number = bisect_right(self._ends, self._at)
        if number == len(self._files):
            return 0
        file = self._files[number]
        file.seek(self._at - (self._ends[number - 1] if number else 0))
        count: int = file.readinto(buffer)  # type: ignore[attr-defined]
        self._at += count
        return count
