"""Small generated videos for miniatures of published benchmarks: made once, copied where asked."""

import atexit
import shutil
import tempfile
from functools import cache
from pathlib import Path

import attrs

from retake.datasets.scenes import Clip, make_clip

#: Pixels of a side.
SIZE = 112


def clip(path: Path, seconds: float = 8, seed: int = 0, fps: float = 2) -> Clip:
    """A scene clip at `path`, whose folder is made; nothing is written beside it.

    The same arguments give the same bytes. They are encoded once a process: asking again is a
    copy, which a test may damage.

    Args:
        path: what it is to be called; whatever its suffix, it holds an mp4.
        seconds: its length, from 4; a minute takes a quarter of a second to make.
        seed: what is seen, and so what is asked and answered in `Clip.questions`.
        fps: frames per second.
    """
    made = _made(float(seconds), seed, float(fps))
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(made.path, path)
    return attrs.evolve(made, path=path)


@cache
def _made(seconds: float, seed: int, fps: float) -> Clip:
    path = _folder() / f"{seconds:g}s-seed{seed}-{fps:g}fps.mp4"
    return make_clip(path, seconds=seconds, seed=seed, fps=fps, size=SIZE)


@cache
def _folder() -> Path:
    """A folder of this process's own, gone with it."""
    folder = Path(tempfile.mkdtemp(prefix="retake-miniatures-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder
