"""Which video is meant, what is asked about it, and what the true answers are."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import attrs

from retake.core.errors import UsageError, unknown_name
from retake.datasets.choice import is_right
from retake.datasets.scenes import Clip
from retake.models.embedded import clips

_CLIP = "clip:"


@attrs.frozen
class Asked:
    """A question to ask, and its true answer where that is known.

    Attributes:
        text: as the model gets it.
        expected: the true option, or None.
        letter: the true option's letter, or None.
    """

    text: str
    expected: str | None = None
    letter: str | None = None

    def correct(self, answer: str) -> bool | None:
        """Whether an answer is the true one, by letter or in words; None where it is not known."""
        if self.expected is None:
            return None
        return is_right(answer, self.expected, self.letter)


def find_video(reference: str) -> Path:
    """The video that is meant: a path, or "clip:NAME" for a bundled clip.

    Raises:
        UsageError: no bundled clip has that name.
    """
    if not reference.startswith(_CLIP):
        return Path(reference).expanduser()
    bundled = {path.stem: path for path in clips()}
    name = reference.removeprefix(_CLIP)
    if name not in bundled:
        raise unknown_name("bundled clip", name, bundled)
    return bundled[name]


def sidecar(video: Path) -> Clip | None:
    """What `retake data make scenes` wrote beside a video; None where it wrote nothing."""
    path = video.with_suffix(".json")
    if video.is_dir() or not path.is_file():
        return None
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    known = isinstance(data, dict) and {"format", "video", "questions", "scenes"} <= data.keys()
    return Clip.load(path) if known and data["video"] == video.name else None


def gather(video: Path, given: Sequence[str], file: Path | None) -> list[Asked]:
    """The questions to ask: those given, those of a file, else the video's own.

    Raises:
        UsageError: there are none, one is empty, or the file cannot be read.
    """
    asked = typed(given, file)
    known = None if asked else sidecar(video)
    if known is not None:
        asked = [Asked(q.text, q.answer, q.letter) for q in known.questions]
    if not asked:
        raise UsageError(
            f"There is no question to ask about '{video}'.",
            hint='Give one after the video: retake run VIDEO "What happens?", or --questions FILE.',
        )
    return asked


def typed(given: Sequence[str], file: Path | None) -> list[Asked]:
    """The questions that were given, and those of a file; there may be none.

    Raises:
        UsageError: one is empty, or the file cannot be read.
    """
    texts = [sys.stdin.read().strip() if text == "-" else text for text in given]
    if file is not None:
        texts += _lines(file)
    for number, text in enumerate(texts, start=1):
        if not text.strip():
            raise UsageError(f"Question {number} is empty.")
    return [Asked(text) for text in texts]


def _lines(file: Path) -> list[str]:
    """The questions of a file, one a line."""
    try:
        text = sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise UsageError(f"Cannot read the questions '{file}': {reason}.") from error
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines:
        raise UsageError(f"'{file}' holds no questions; it should hold one a line.")
    return lines
