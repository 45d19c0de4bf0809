"""Videos that several tests read, each made once a session."""

from collections.abc import Callable
from pathlib import Path

import pytest

from retake.video import VideoReader
from tests.video.make import frame_number, make_video

Make = Callable[..., Path]
Numbers = Callable[..., list[tuple[int, int]]]


@pytest.fixture(scope="session")
def video(tmp_path_factory: pytest.TempPathFactory) -> Make:
    """`video("name.mp4", **options)`: a sound video, made at the first asking."""
    folder = tmp_path_factory.mktemp("videos")
    made: dict[str, Path] = {}

    def make(name: str, **options: object) -> Path:
        key = f"{name} {sorted(options.items())}"
        if key not in made:
            path = folder / str(len(made)) / name
            path.parent.mkdir()
            made[key] = make_video(path, **options)  # type: ignore[arg-type] # any of its options
        return made[key]

    return make


@pytest.fixture(scope="session")
def numbers() -> Numbers:
    """`numbers(reader, indices)`: pairs of the number given to a frame and the one it shows."""

    def read(reader: VideoReader, indices: object = None) -> list[tuple[int, int]]:
        asked = range(reader.info.frame_count) if indices is None else indices
        return [
            (int(index), frame_number(frame.numpy()))
            for batch in reader.read(asked)  # type: ignore[arg-type] # any sequence
            for index, frame in zip(batch.indices, batch.frames, strict=True)
        ]

    return read
