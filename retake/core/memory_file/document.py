"""The JSON document of a memory file: all of a memory that is no tensor.

What this module does not know: files and tensors.
"""

import re
from pathlib import Path
from typing import Any

import attrs
import torch

from retake.core.config import RunConfig, merge, strict_converter, structure, unstructure
from retake.core.errors import MemoryFileError, UsageError
from retake.core.frames import VideoInfo
from retake.core.memory import Compression, Frames, Source, StageCost, VideoMemory
from retake.core.memory_file.container import damaged
from retake.core.plain import plain as as_json

#: Changes with every change of what a file holds.
FORMAT = "retake.memory/1"
_CONVERTER = strict_converter()


@attrs.frozen
class Document:
    """What stands beside the tensors.

    Attributes:
        format: FORMAT.
        fingerprint: of the model that watched.
        device: on which it did.
        versions: of the packages that decide the numbers.
        config: the whole resolved configuration.
        next_position, source, video, frames, compression, costs: as in `VideoMemory`.
    """

    format: str
    fingerprint: str
    device: str
    versions: dict[str, str]
    config: dict[str, Any]
    next_position: int
    source: Source | None
    video: VideoInfo | None
    frames: Frames | None
    compression: Compression
    costs: tuple[StageCost, ...]


# What a memory's configuration holds besides a run's.
_ABOUT = ("fingerprint", "device", "versions")


def describe(memory: VideoMemory) -> dict[str, Any]:
    """A memory's document, as plain data."""
    config = {key: value for key, value in memory.config.items() if key not in _ABOUT}
    document = Document(
        format=FORMAT,
        config=config,
        next_position=memory.next_position,
        source=memory.source,
        video=memory.video,
        frames=memory.frames,
        compression=memory.compression,
        costs=memory.costs,
        **{key: memory.config[key] for key in _ABOUT},
    )
    plain: dict[str, Any] = as_json(attrs.asdict(document))
    return plain


def check_format(document: dict[str, Any], path: Path) -> None:
    """Refuse a document of another format.

    Raises:
        MemoryFileError: it is of a later version, or of none that there is.
    """
    given = document.get("format")
    if given == FORMAT:
        return
    newer = re.fullmatch(r"retake\.memory/([0-9]{1,9})", given) if isinstance(given, str) else None
    if newer and int(newer[1]) > int(FORMAT.rpartition("/")[2]):
        raise MemoryFileError(
            f"The memory '{path}' was made by a newer retake: its format is {given}, and this "
            f"retake reads {FORMAT}.",
            hint="Upgrade retake to open it.",
        )
    raise damaged(path, f"its format is {given!r:.60}, not {FORMAT}")


def understand(plain: dict[str, Any], path: Path) -> Document:
    """A document from plain data, every field checked.

    Raises:
        MemoryFileError: a field is missing, unknown or wrong.
    """
    try:
        document = _CONVERTER.structure(plain, Document)
    except Exception as error:
        raise damaged(path, f"its document is wrong ({_short(error)})") from error
    # A model that was attached may compute in a dtype that none is loaded in.
    dtype = _dtype(document.config, path)
    config = merge(document.config, {"model": {"dtype": "auto"}})
    try:
        config = unstructure(structure(RunConfig, config, "configuration key"))
    except UsageError as error:
        raise damaged(path, f"its configuration is wrong ({_short(error)})") from error
    return attrs.evolve(document, config=merge(config, {"model": {"dtype": dtype}}))


def _dtype(config: dict[str, Any], path: Path) -> str:
    """In which dtype the model computed, by its name in torch."""
    model = config.get("model")
    dtype = model.get("dtype") if isinstance(model, dict) else None
    if not isinstance(dtype, str) or not isinstance(getattr(torch, dtype, None), torch.dtype):
        raise damaged(path, f"its dtype {dtype!r:.40} is none")
    return dtype


def settings(document: Document) -> dict[str, Any]:
    """The configuration as a `VideoMemory` has it."""
    return {**document.config, **{key: getattr(document, key) for key in _ABOUT}}


def _short(error: Exception) -> str:
    """An error in one line of bearable length."""
    text = " ".join(((error.args and str(error.args[0])) or type(error).__name__).split())
    return text if len(text) <= 120 else f"{text[:119]}…"
