"""What decoding costs on the file that is open, measured as it goes: to go on, or to seek."""

from collections import deque
from statistics import median_low

# Each frame makes those before it count a little less; about this share of them is left.
FADING = 0.99
# Starts remembered, and starts to see before their cost is believed: the first is slower, since
# the file is cold and the decoder's threads are new.
STARTS = 5
ENOUGH = 3
# Frames to decode on, to see what that costs where it was not seen yet. A start takes about so
# many itself, so that little is lost if it turns out to be the cheaper one.
FEW = 8


class Pace:
    """Seconds to decode one frame more, and seconds until a fresh start gives its first frame.

    It decides where decoding begins, never what comes of it: a frame is the same, and as sound,
    either way.
    """

    def __init__(self) -> None:
        self._starts: deque[float] = deque(maxlen=STARTS)
        self._seconds = 0.0
        self._frames = 0.0

    def started(self, seconds: float) -> None:
        """A seek and what the decoder took until its first frame."""
        self._starts.append(seconds)

    def went_on(self, seconds: float) -> None:
        """One frame more from a decoder that was running."""
        self._seconds = FADING * self._seconds + seconds
        self._frames = FADING * self._frames + 1.0

    def seeking_pays(self, frames: int) -> bool:
        """Whether a fresh start is cheaper than to decode so many frames that nobody wants.

        What was not measured yet is tried.
        """
        if frames < 1:
            return False
        if len(self._starts) < ENOUGH:
            return True
        if not self._frames:
            return frames > FEW
        return frames * self._seconds / self._frames > median_low(self._starts)
