"""The model that ships with retake: where its checkpoint and its example clips are."""

from pathlib import Path

_HERE = Path(__file__).parent


def checkpoint_path() -> Path:
    """The folder of the embedded checkpoint, to load like any Qwen2-VL."""
    return _HERE / "checkpoint"


def clips() -> tuple[Path, ...]:
    """The bundled mp4 files, by name; each has a sidecar JSON of questions and answers."""
    return tuple(sorted((_HERE / "clips").glob("*.mp4")))
