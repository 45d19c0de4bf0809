"""Real mp4 files of scripts, each with a sidecar JSON of questions and true answers.

The idea: a clip is nothing a model could not meet in the wild (H.264, 4:2:0), but what
happens in it is known. Files appear complete or not at all: both are written beside
their final names and renamed. Encoding streams; memory does not grow with length.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from secrets import token_hex

import attrs
import av
import cattrs
import numpy as np

from retake.core.errors import UsageError, VideoError
from retake.datasets.scenes.questions import Question, ask
from retake.datasets.scenes.render import CALM, Background, Frame, frame_count, frames
from retake.datasets.scenes.world import Needle, Scene, Script, Split, stream, write_script

FORMAT = 1
_UNREADABLE = (
    OSError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    cattrs.BaseValidationError,
)
_QUESTIONS = 0x71  # the stream, after the script's seed, that questions are drawn from


@attrs.frozen
class Clip:
    """A written video and what is true of it.

    Attributes:
        path: the mp4 file; its sidecar has the same name and the suffix `.json`.
        seconds, fps, size: length, native frame rate, pixels of a side.
        seed, split: what the script was invented from.
        scenes, needles: what happens when, in seconds.
        questions: at most one of each kind, with options and true answers.
        bytes, sha256: of the mp4 file as it was written; None where the sidecar does not say.
    """

    path: Path
    seconds: float
    fps: float
    size: int
    seed: int
    split: Split
    scenes: tuple[Scene, ...]
    needles: tuple[Needle, ...]
    questions: tuple[Question, ...]
    bytes: int | None = None
    sha256: str | None = None

    @property
    def script(self) -> Script:
        """The script that was drawn."""
        return Script(self.seconds, self.seed, self.split, self.scenes, self.needles)

    @classmethod
    def load(cls, json_path: str | os.PathLike[str]) -> "Clip":
        """Reads a sidecar; the video is expected beside it."""
        source = Path(json_path)
        try:
            data = json.loads(source.read_text(encoding="utf-8"))
            data.pop("format")
            data["path"] = source.with_name(data.pop("video"))
            for question in data["questions"]:
                question.pop("letter")
            return cattrs.structure(data, cls)
        except _UNREADABLE as error:
            raise VideoError(f"{source} is not the sidecar of a scene clip: {error}") from error

    def save(self, json_path: Path) -> None:
        """Writes the sidecar, whole or not at all; what is not known is left out."""
        known = {key: value for key, value in cattrs.unstructure(self).items() if value is not None}
        data = {key: value for key, value in known.items() if key != "path"}
        for raw, question in zip(data["questions"], self.questions, strict=True):
            raw["letter"] = question.letter
        text = json.dumps({"format": FORMAT, "video": self.path.name, **data}, indent=1)
        partial = _partial(json_path)
        partial.write_text(text + "\n", encoding="utf-8")
        partial.replace(json_path)


def make_clip(
    path: str | os.PathLike[str],
    *,
    seconds: float,
    seed: int,
    fps: float = 4,
    size: int = 224,
    needles: int | None = None,
    crf: int = 23,
    split: Split = "test",
    progress: Callable[[float], None] | None = None,
) -> Clip:
    """Invents, draws and encodes a video, and writes its sidecar beside it.

    Args:
        path: the mp4 to write; `.json` in place of its suffix names the sidecar.
        seconds: length, from seconds to hours.
        seed: same seed and length, same video.
        fps: native frames per second.
        size: pixels of a side, even.
        needles: how many cards flash; by default 1 to 4.
        crf: H.264 quality, 0 (best) to 51.
        split: "train" for training only.
        progress: called with the fraction done, now and then and at the end.
    """
    script = write_script(seconds, seed, needles=needles, split=split)
    questions = ask(script, stream(split, seed, _QUESTIONS), varied=False)
    return film(script, questions, path, fps=fps, size=size, crf=crf, progress=progress)


def film(
    script: Script,
    questions: tuple[Question, ...],
    path: str | os.PathLike[str],
    *,
    fps: float = 4,
    size: int = 224,
    crf: int = 23,
    background: Background = CALM,
    progress: Callable[[float], None] | None = None,
) -> Clip:
    """Draws and encodes a script, and writes its sidecar beside it; arguments as for make_clip.

    Raises:
        UsageError: fps, size or crf are not what can be encoded.
    """
    target = Path(path)
    check_encoding(fps, size, crf)
    pictures = frames(script, fps=fps, size=size, background=background)
    total = frame_count(script.seconds, fps)
    partial = _partial(target)
    try:
        encode(_reported(pictures, total, progress), partial, fps=fps, size=size, crf=crf)
        size_written, content = partial.stat().st_size, hash_of(partial)
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)
    known = clip_of(script, questions, target, fps=fps, size=size)
    clip = attrs.evolve(known, bytes=size_written, sha256=content)
    clip.save(target.with_suffix(".json"))
    return clip


def clip_of(
    script: Script, questions: tuple[Question, ...], path: Path, *, fps: float, size: int
) -> Clip:
    """What is true of a script's video, whether it is written or not."""
    known = attrs.asdict(script, recurse=False)
    return Clip(path=path, fps=fps, size=size, questions=questions, **known)


def hash_of(path: Path) -> str:
    """The SHA-256 of a file, read in pieces."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def encode(pictures: Iterator[Frame], path: Path, *, fps: float, size: int, crf: int) -> None:
    """Streams square RGB frames into an H.264 mp4 file."""
    # x264's macroblock tree rounds differently from run to run; without it bytes repeat.
    options = {"crf": str(crf), "preset": "veryfast", "x264-params": "mbtree=0"}
    with av.open(str(path), "w", format="mp4") as container:
        rate = Fraction(fps).limit_denominator(1001)
        video = container.add_stream("libx264", rate=rate, options=options)
        video.width = video.height = size
        video.pix_fmt = "yuv420p"
        video.thread_count = 1  # more would make the bytes depend on the machine
        for picture in pictures:
            container.mux(video.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(video.encode(None))


def decode(path: str | os.PathLike[str]) -> Iterator[Frame]:
    """All frames of a video file in order, uint8 RGB."""
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            yield np.asarray(frame.to_ndarray(format="rgb24"), dtype=np.uint8)


def check_encoding(fps: float, size: int, crf: int) -> None:
    """Refuses, as a UsageError, what cannot be encoded."""
    if not 0 < fps <= 120:
        raise UsageError(f"fps must lie between 0 and 120, got {fps:g}.")
    if size < 32 or size % 2:
        raise UsageError(f"The size of a clip must be even and at least 32, got {size}.")
    if not 0 <= crf <= 51:
        raise UsageError(f"crf must lie between 0 and 51, got {crf}.")


def _partial(target: Path) -> Path:
    return target.with_name(f".{target.name}.{os.getpid()}-{token_hex(4)}.partial")


def _reported(
    pictures: Iterator[Frame], total: int, progress: Callable[[float], None] | None
) -> Iterator[Frame]:
    """The same frames, with the fraction done told after every hundredth and the last."""
    every = max(1, total // 100)
    for index, picture in enumerate(pictures, start=1):
        yield picture
        if progress is not None and (index % every == 0 or index == total):
            progress(index / total)
