"""Decoding ahead in the background: a thread that keeps a few batches ready, and no more."""

import threading
import time
from collections import deque
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from retake.core.errors import UsageError, VideoError
from retake.core.frames import FrameBatch
from retake.video.base import FrameChange, Numbers, VideoReader

# A wait is cut into pieces of so many seconds: a thread that died is noticed, and Ctrl-C is
# heard also where the system does not interrupt a wait.
PIECE = 0.2


class ReadAhead:
    """The batches of `reader.read`, in the same order, decoded in one thread of their own.

    A context manager, and within it an iterator of batches. The thread starts on entering;
    on leaving, however it comes about, it has ended. Left before the last batch was taken,
    the reader is cancelled and has to be opened again to be read. What the reader raises is
    raised to the consumer, the same exception, after the batches decoded before it.

        with ReadAhead(reader, indices, batch_size=32) as ahead:
            for batch in ahead: ...

    Attributes:
        busy_seconds: time the thread spent on decoding and on `each`, not waiting for room.
    """

    def __init__(
        self,
        reader: VideoReader,
        indices: Sequence[int] | Numbers,
        *,
        batch_size: int,
        each: FrameChange | None = None,
        depth: int = 2,
    ) -> None:
        """See `VideoReader.read` for the arguments.

        Args:
            each: runs in the thread.
            depth: batches kept ready at most, 1 or more; one more is in the making.

        Raises:
            UsageError: as `read` does, at once.
        """
        if depth < 1:
            raise UsageError(f"depth must be at least 1, got {depth}.")
        self.busy_seconds = 0.0
        self._reader = reader
        self._depth = depth
        self._batches = reader.read(indices, batch_size=batch_size, each=each)
        self._ready: deque[FrameBatch] = deque()
        self._changed = threading.Condition()
        self._error: BaseException | None = None
        self._ended = False  # by the thread: nothing more will be ready
        self._taken = False  # by the consumer: it knows that
        self._left = False
        self._thread = threading.Thread(target=self._work, name="retake-read-ahead", daemon=True)

    def __enter__(self) -> Self:
        if self._left or self._thread.ident is not None:
            raise UsageError("A ReadAhead can be entered once; make another to read again.")
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._changed:
            self._left = True
            self._ready.clear()
            self._changed.notify_all()
        if not self._taken:
            self._reader.cancel()
        while self._thread.is_alive():
            self._thread.join(PIECE)
        self._error = None  # its traceback holds the frames of the thread

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> FrameBatch:
        if self._left or self._thread.ident is None:
            raise UsageError("A ReadAhead gives batches within its `with` block only.")
        with self._changed:
            while not self._ready and not self._ended:
                alive = self._thread.is_alive()
                if not self._changed.wait(PIECE) and not alive and not self._ended:
                    self._taken = True
                    raise VideoError(
                        f"The thread that decodes {self._reader.info.path} ended without a word.",
                        hint="This is a fault of retake or of this Python; try again.",
                    )
            if self._ready:
                batch = self._ready.popleft()
                self._changed.notify_all()
                return batch
            self._taken = True
            if self._error is not None:
                raise self._error
            raise StopIteration

    def _work(self) -> None:
        try:
            while (batch := self._decoded()) is not None and self._placed(batch):
                del batch  # not held while the next one is decoded
        except BaseException as error:  # noqa: BLE001 - the consumer raises it, whatever it is
            self._error = error
        finally:
            self._batches.close()
            with self._changed:
                self._ended = True
                self._changed.notify_all()

    def _decoded(self) -> FrameBatch | None:
        began = time.perf_counter()
        try:
            return next(self._batches, None)
        finally:
            self.busy_seconds += time.perf_counter() - began

    def _placed(self, batch: FrameBatch) -> bool:
        """Put a batch among the ready ones once there is room; False where nobody wants it."""
        with self._changed:
            while len(self._ready) >= self._depth and not self._left:
                self._changed.wait()
            if not self._left:
                self._ready.append(batch)
                self._changed.notify_all()
            return not self._left
