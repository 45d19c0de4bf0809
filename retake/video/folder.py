"""A folder of numbered pictures read as a video at a stated frame rate."""

import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import av
import numpy as np

from retake.core.errors import UsageError, VideoError
from retake.core.frames import VideoInfo
from retake.video.base import BadFramePolicy, Image, ImageChange, VideoReader

SUFFIXES = (".png", ".jpg", ".jpeg")


class FolderReader(VideoReader):
    """Frame `k` is the picture with the `k`-th number, shown at `k / fps` seconds."""

    def __init__(self, path: Path, fps: float, *, on_bad_frame: BadFramePolicy = "error") -> None:
        if not (fps > 0 and np.isfinite(fps)):
            raise UsageError(f"folder_fps must be a number above 0, got {fps}.")
        self._files = numbered_pictures(path)
        first = read_picture(self._files[0])
        info = VideoInfo(
            path=str(path),
            width=first.shape[1],
            height=first.shape[0],
            frame_count=len(self._files),
            fps=float(fps),
            duration=len(self._files) / fps,
            codec="frames",
            reader="frames",
        )
        times = np.arange(len(self._files)) / fps
        super().__init__(info, times, on_bad_frame=on_bad_frame)

    def _decode(self, indices: list[int], each: ImageChange) -> Iterator[tuple[int, Image]]:
        for index in indices:
            file = self._files[index]
            try:
                image = read_picture(file)
            except VideoError as error:
                self._bad(index, error.message)
                continue
            height, width = image.shape[:2]
            if (width, height) != (self.info.width, self.info.height):
                raise VideoError(
                    f"{file} is {width}x{height}, but {self._files[0].name} is "
                    f"{self.info.width}x{self.info.height}.",
                    hint="All pictures of a folder must be of one size.",
                )
            yield index, each(image)


def numbered_pictures(path: Path) -> list[Path]:
    """The folder's pictures in the order of the last number in their names.

    Raises:
        VideoError: there are none, two have the same number, or a number is missing.
    """
    found: dict[int, Path] = {}
    for file in sorted(path.iterdir()):
        digits = re.findall(r"\d+", file.stem)
        if file.suffix.lower() not in SUFFIXES or file.name.startswith("."):
            continue
        if not digits:
            raise VideoError(
                f"{file} has no number in its name, so its place in the video is not known.",
                hint="Name the pictures by number (0001.png, 0002.png, ...), or move it away.",
            )
        number = int(digits[-1])
        if number in found:
            raise VideoError(f"{found[number]} and {file.name} have the same number, {number}.")
        found[number] = file
    if not found:
        raise VideoError(f"{path} holds no numbered picture ({', '.join(SUFFIXES)}).")
    _check_gaps(path, sorted(found))
    return [found[number] for number in sorted(found)]


def read_picture(file: Path) -> Image:
    """One picture as RGB `[H, W, 3]`."""
    if file.stat().st_size == 0:
        raise VideoError(f"{file} is empty (0 bytes)")
    try:
        with av.open(str(file.absolute())) as container:
            for frame in container.decode(video=0):
                if frame.is_corrupt:
                    raise VideoError(f"{file} is damaged")
                return np.asarray(frame.to_ndarray(format="rgb24"), dtype=np.uint8)
    except (av.error.FFmpegError, IndexError) as error:
        raise VideoError(f"{file} is not a picture that can be read ({error})") from None
    raise VideoError(f"{file} holds no picture")


def _check_gaps(path: Path, numbers: list[int]) -> None:
    missing = [
        number
        for before, after in pairwise(numbers)
        for number in range(before + 1, min(after, before + 6))
    ]
    if missing:
        total = numbers[-1] - numbers[0] + 1 - len(numbers)
        some = ", ".join(map(str, missing[:5])) + (", ..." if total > 5 else "")
        raise VideoError(
            f"{path}: {total} of its numbered frames are missing ({some}), so the times of "
            f"those after would be wrong.",
            hint="Supply them, or number the pictures anew without gaps.",
        )
