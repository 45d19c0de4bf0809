"""The hash of a video, taken in the background while the video is watched.

The idea: reading a file once more costs little beside watching it, and hashing releases the
interpreter's lock. Whoever asks for the result also learns whether the video stayed as it was.
"""

import hashlib
import threading
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import attrs

from retake.core.errors import VideoError
from retake.core.memory import Source
from retake.video.folder import numbered_pictures

_CHUNK = 4 * 2**20  # bytes


@attrs.frozen
class _State:
    """What a file looked like: it changes when the file does."""

    name: str
    bytes: int
    modified: int


class SourceDigest:
    """SHA-256 of a video file, or of a folder of pictures, computed by a thread of its own.

    A folder's hash is that of a text: for each picture, in the order in which it is shown, the
    SHA-256 of its content, two spaces, its name and a line feed, as the program `sha256sum`
    prints it.

    Use it as a context manager, or call `cancel()` where the result is not wanted any more.

    Raises:
        VideoError: there is no such file.
    """

    def __init__(self, video: str | Path) -> None:
        self._path = Path(video)
        self._given = str(video)
        self._files = self._listed()
        self._before = self._states()
        self._stop = threading.Event()
        self._hash: str | None = None
        self._error: OSError | None = None
        self._thread = threading.Thread(target=self._run, name="retake-hash", daemon=True)
        self._thread.start()

    def result(self) -> Source:
        """The video's size and hash, once they are there.

        Raises:
            VideoError: the video cannot be read, or changed since this object was made.
        """
        self._thread.join()
        if self._error is not None:
            raise VideoError(
                f"{self._given} cannot be read any more: {self._error.strerror}."
            ) from self._error
        if self._hash is None:
            raise RuntimeError("the hash was cancelled, so it has no result")
        if self._listed() != self._files or self._states() != self._before:
            raise VideoError(
                f"{self._given} changed while it was watched.",
                hint="Watch it again once nothing writes to it.",
            )
        return Source(self._given, sum(state.bytes for state in self._before), self._hash)

    def cancel(self) -> None:
        """Stop hashing; the thread ends with the piece it is at."""
        self._stop.set()
        self._thread.join(timeout=5)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.cancel()

    def _listed(self) -> list[Path]:
        """The files that the video consists of, in order."""
        return numbered_pictures(self._path) if self._path.is_dir() else [self._path]

    def _states(self) -> list[_State]:
        try:
            found = [(file.name, file.stat()) for file in self._files]
        except OSError as error:
            raise VideoError(f"{self._given} cannot be read: {error.strerror}.") from error
        return [_State(name, stat.st_size, stat.st_mtime_ns) for name, stat in found]

    def _run(self) -> None:
        try:
            self._hash = self._folder() if self._path.is_dir() else self._file(self._path)
        except OSError as error:
            self._error = error

    def _folder(self) -> str | None:
        whole = hashlib.sha256()
        for file in self._files:
            content = self._file(file)
            if content is None:
                return None
            whole.update(f"{content}  {file.name}\n".encode(errors="surrogateescape"))
        return whole.hexdigest()

    def _file(self, file: Path) -> str | None:
        """The hash of one file; None once cancelled."""
        digest = hashlib.sha256()
        for piece in _pieces(file):
            if self._stop.is_set():
                return None
            digest.update(piece)
        return digest.hexdigest()


def _pieces(file: Path) -> Iterator[memoryview]:
    """A file's bytes, in pieces that share one buffer."""
    buffer = memoryview(bytearray(_CHUNK))
    with file.open("rb", buffering=0) as stream:
        while count := stream.readinto(buffer):
            yield buffer[:count]
