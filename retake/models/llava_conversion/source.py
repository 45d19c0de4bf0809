"""The folders that are converted: their configuration, and which file holds which tensor."""

import hashlib
import json
from pathlib import Path
from typing import Any

from attrs import frozen

from retake.core.errors import ModelError
from retake.models.documents import json_object
from retake.models.llava_conversion.tensor_file import Stored, stored_tensors

_SAMPLE = 512  # bytes of a tensor that tell it from another
_INDEX = "model.safetensors.index.json"
_PICKLES = ("pytorch_model*.bin", "mm_projector*.bin", "consolidated*.pth")
_ADAPTERS = ("adapter_config.json", "adapter_model.*", "non_lora_trainables.bin")


@frozen
class Source:
    """A checkpoint in safetensors files.

    Attributes:
        folder: where it lies.
        config: its config.json.
        shards: the tensors of each of its files, in the files' order.
        identity: a hash of its configuration, of its files' headers and of the first numbers of
            each tensor, for telling two checkpoints apart: those of two trainings of one model
            differ in nothing but numbers.
    """

    folder: Path
    config: dict[str, Any]
    shards: tuple[tuple[Stored, ...], ...]
    identity: str

    @property
    def tensors(self) -> dict[str, Stored]:
        """Every tensor, by its name."""
        return {stored.name: stored for shard in self.shards for stored in shard}


def read_config(folder: Path) -> dict[str, Any]:
    """A folder's config.json.

    Raises:
        ModelError: there is no such folder, no such file in it, or it is no JSON object.
    """
    if not folder.is_dir():
        raise ModelError(
            f"There is no folder '{folder}'.",
            hint="Download the checkpoint first: hf download ID --local-dir FOLDER.",
        )
    path = folder / "config.json"
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ModelError(f"'{folder}' holds no config.json.") from None
    except (ValueError, OSError) as error:
        raise ModelError(f"'{path}' cannot be read: {error}.") from error
    return json_object(text, str(path))


def read_source(folder: Path) -> Source:
    """A checkpoint's configuration and the places of its tensors, of which none is read whole.

    Raises:
        ModelError: files are missing or damaged, weights are pickled, or it is an adapter (LoRA).
    """
    config = read_config(folder)
    _refuse_adapters(folder)
    files = _files(folder)
    digest = hashlib.sha256((folder / "config.json").read_bytes())
    shards = []
    seen: dict[str, Path] = {}
    for file in files:
        found, header = stored_tensors(file)
        digest.update(header)
        digest.update(_first_numbers(file, found))
        for stored in found:
            if stored.name in seen:
                raise ModelError(
                    f"'{seen[stored.name].name}' and '{file.name}' in '{folder}' both hold "
                    f"'{stored.name}'.",
                    hint="Remove files that belong to another checkpoint.",
                )
            seen[stored.name] = file
        shards.append(tuple(found))
    return Source(folder, config, tuple(shards), digest.hexdigest())


def _first_numbers(file: Path, tensors: list[Stored]) -> bytes:
    try:
        with file.open("rb", buffering=0) as opened:
            first = []
            for each in tensors:
                opened.seek(each.start)
                first.append(opened.read(min(_SAMPLE, each.stop - each.start)))
    except OSError as error:
        raise ModelError(f"Cannot read '{file}': {error.strerror}.") from error
    return b"".join(first)


def _refuse_adapters(folder: Path) -> None:
    held = sorted(path.name for pattern in _ADAPTERS for path in folder.glob(pattern))
    if held:
        raise ModelError(
            f"'{folder}' is a LoRA checkpoint: it holds {', '.join(held)}.",
            hint="Merge it into its base model first, and convert the merged checkpoint.",
        )


def _files(folder: Path) -> list[Path]:
    """The files with weights, as the index lists them, or whatever files there are."""
    index = folder / _INDEX
    if not index.is_file():
        found = sorted(folder.glob("model*.safetensors"))
        if not found:
            raise _no_weights(folder)
        return found
    try:
        names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
        elsewhere = [name for name in names if Path(name).name != name]
    except (ValueError, KeyError, AttributeError, TypeError, OSError) as error:
        raise ModelError(f"'{index}' is damaged: {error!r}.") from error
    if elsewhere:
        raise ModelError(f"'{index}' names files outside its folder: {shortened(elsewhere)}.")
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        raise ModelError(
            f"'{folder}' lacks {shortened(missing)}, which its index lists.",
            hint="Download the rest of the checkpoint.",
        )
    return [folder / name for name in names]


def _no_weights(folder: Path) -> ModelError:
    pickled = sorted(path.name for pattern in _PICKLES for path in folder.glob(pattern))
    if pickled:
        return ModelError(
            f"The weights of '{folder}' are pickled: {shortened(pickled)}.",
            hint="Only safetensors are read: a pickle can run any code. Save the checkpoint as "
            "safetensors, or download that version of it.",
        )
    return ModelError(f"'{folder}' holds no weights: no *.safetensors file.")


def shortened(names: list[str], most: int = 4) -> str:
    """The first few of several names, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
