"""Videos that benchmarks read: real mp4 files, drawn once and kept in a cache folder."""

from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from benchmarks.harness import CACHE
from retake.datasets.scenes.render import Frame, SceneView, add_noise
from retake.datasets.scenes.world import Scene, write_script

# Frames of one picture: a held picture and how long it is held.
Held = tuple[Frame, int]


def encode_held(pictures: Iterable[Held], path: Path, *, fps: float) -> None:
    """Encode pictures, each held for a number of frames, as H.264.

    A held picture is converted once and shown again and again, so hours take seconds.
    """
    partial = path.with_suffix(".partial")
    with av.open(str(partial), "w", format="mp4") as container:
        rate = Fraction(fps).limit_denominator(1001)
        options = {"preset": "ultrafast", "crf": "23"}
        stream = None
        time = 0
        for picture, frames in pictures:
            if stream is None:
                stream = container.add_stream("libx264", rate=rate, options=options)
                stream.height, stream.width = picture.shape[:2]
                stream.pix_fmt = "yuv420p"
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format="yuv420p")
            for _ in range(frames):
                frame.pts, frame.time_base = time, 1 / rate
                container.mux(stream.encode(frame))
                time += 1
        if stream is None:
            raise ValueError("no picture to encode")
        container.mux(stream.encode(None))
    partial.replace(path)


def still(scene: Scene, size: int, time: float | None = None) -> Frame:
    """A scene as it looks at one moment, with the noise of a sensor."""
    moment = scene.start if time is None else time
    noise = np.random.default_rng([scene.seed, round(moment * 1000)])
    return add_noise(SceneView(scene, size).draw(moment), noise)


def static_scenes(frames: int, *, fps: float = 2, size: int = 224, seed: int = 0) -> Path:
    """A long video of still scenes, 8 to 64 seconds each, square.

    Args:
        frames: how many the file has; its length is `frames / fps` seconds.
        fps: native frame rate.
        size: pixels of a side.
        seed: same arguments, same pictures.
    """
    path = _cached(f"static-{frames}x{fps:g}fps-{size}px-{seed}.mp4")
    if not path.exists():
        encode_held(_stills(frames, fps, size, seed), path, fps=fps)
    return path


def _stills(frames: int, fps: float, size: int, seed: int) -> Iterator[Held]:
    done = 0
    for scene in write_script(max(8.0, frames / fps), seed).scenes:
        until = min(frames, round(scene.end * fps))
        if until > done:
            yield still(scene, size), until - done
            done = until
    if done < frames:  # a last moment lost in rounding
        yield still(scene, size), frames - done


def moving_scenes(frames: int, *, width: int, height: int, fps: float = 2, seed: int = 0) -> Path:
    """A video of scenes that move, drawn square and cropped to its middle rows."""
    path = _cached(f"moving-{frames}x{fps:g}fps-{width}x{height}-{seed}.mp4")
    if not path.exists():
        encode_held(_moving(frames, fps, width, height, seed), path, fps=fps)
    return path


def _moving(frames: int, fps: float, width: int, height: int, seed: int) -> Iterator[Held]:
    script = write_script(max(8.0, frames / fps), seed)
    top = (width - height) // 2
    view: SceneView | None = None
    for number in range(frames):
        time = number / fps
        scene = script.scene_at(time)
        if view is None or view.scene != scene:
            view = SceneView(scene, width)
        picture = add_noise(view.draw(time), np.random.default_rng([seed, number]))
        yield np.ascontiguousarray(picture[top : top + height]), 1


def _cached(name: str) -> Path:
    folder = CACHE / "videos"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / name
