"""The two towers of a CLIP or SigLIP checkpoint: one sees frames, the other reads text."""

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import attrs
import torch
import torch.nn.functional as F
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from torch import Tensor

from retake.core.errors import MissingExtraError, ModelError, UsageError
from retake.scorers.documents import Settings, read_json
from retake.scorers.pictures import PatchPictures, SquarePictures

# What `transformers` 5 saves comes before what older releases did.
_PICTURE_RULES = (("processor_config.json", "image_processor"), ("preprocessor_config.json", None))
# What `transformers` raises for a wrong value depends on where it comes to matter.
_DAMAGE = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    SafetensorError,
    StrictDataclassError,
)
_TOKENIZER_FILES = ("tokenizer.json", "spiece.model", "tokenizer.model", "vocab.json")


@attrs.frozen
class Kind:
    """What is particular to one kind of checkpoint.

    Attributes:
        model: its class in `transformers`.
        pictures: reads how frames are prepared.
        padding: of a text; SigLIP was trained on texts of one length, padding and all.
    """

    model: str
    pictures: Callable[[Settings], SquarePictures | PatchPictures]
    padding: str | bool


#: By model type. Most SigLIP 2 checkpoints call themselves siglip; siglip2 are the NaFlex ones.
KINDS = {
    "clip": Kind("CLIPModel", SquarePictures.clip, False),
    "siglip": Kind("SiglipModel", SquarePictures.siglip, "max_length"),
    "siglip2": Kind("Siglip2Model", PatchPictures.naflex, "max_length"),
}


class Towers:
    """A checkpoint in memory."""

    def __init__(self, folder: Path, device: str) -> None:
        kind = _kind(folder)
        self._pictures = kind.pictures(_picture_settings(folder))
        self._tokenizer = _tokenizer(folder)
        self._model = _model(folder, kind, device)
        self._padding = kind.padding
        self._window = int(self._model.config.text_config.max_position_embeddings)
        self.width = int(self.read("").shape[0])
        _check_size(folder, self._pictures, self._model.config.vision_config)

    def look(self, frames: Tensor) -> Tensor:
        """Embeddings of frames, uint8 `[F, H, W, 3]`: float32 `[F, E]` on the host."""
        return self._embedded(self._model.get_image_features, self._pictures.prepare(frames))

    def read(self, text: str) -> Tensor:
        """The embedding of a text: float32 `[E]` on the host."""
        # All three were trained on texts in lower case; not every tokenizer sees to it.
        tokens = self._tokenizer(
            [text.lower()],
            padding=self._padding,
            truncation=True,
            max_length=self._window,
            return_tensors="pt",
        )
        # No mask: a lone text of CLIP's has no padding, and SigLIP's reads its own.
        return self._embedded(self._model.get_text_features, {"input_ids": tokens["input_ids"]})[0]

    def _embedded(self, tower: Callable[..., Any], inputs: dict[str, Tensor]) -> Tensor:
        placed = {name: value.to(self._model.device) for name, value in inputs.items()}
        with torch.inference_mode():
            return F.normalize(tower(**placed).pooler_output.float(), dim=-1).cpu().clone()


def towers(path: str, device: str) -> Towers:
    """The checkpoint of a folder, read once however many scorers of a session name it."""
    return _load(Path(path).expanduser().resolve(), device)


@lru_cache(maxsize=2)
def _load(folder: Path, device: str) -> Towers:
    return Towers(folder, device)


def _kind(folder: Path) -> Kind:
    """What kind of checkpoint a folder holds.

    Raises:
        ModelError: none, or none that is known.
    """
    if not folder.is_dir():
        raise ModelError(
            f"There is no folder '{folder}' for the scorer clip.",
            hint="Give the folder of a CLIP or SigLIP checkpoint: clip:path=….",
        )
    if not (folder / "config.json").is_file():
        held = ", ".join(sorted(entry.name for entry in folder.iterdir())[:8]) or "nothing"
        raise ModelError(f"'{folder}' holds no config.json (it holds: {held}).")
    given = read_json(folder / "config.json").get("model_type")
    if not isinstance(given, str) or given not in KINDS:
        raise ModelError(
            f"The scorer clip does not know the model type {given!r} of '{folder}'.",
            hint=f"It takes {', '.join(sorted(KINDS))}: picture–text models with two towers.",
        )
    return KINDS[given]


def _picture_settings(folder: Path) -> Settings:
    """How the checkpoint wants frames prepared."""
    for name, part in _PICTURE_RULES:
        file = folder / name
        given = read_json(file) if file.is_file() else {}
        given = given.get(part, {}) if part else given
        if isinstance(given, dict) and given:
            return Settings(given, str(file))
    raise ModelError(
        f"'{folder}' holds no preprocessor_config.json.",
        hint="It says how frames are prepared, and belongs to the checkpoint.",
    )


def _tokenizer(folder: Path) -> Any:
    """The checkpoint's tokenizer."""
    from transformers import AutoTokenizer

    # Without its files, `transformers` would make up a tokenizer that knows no words.
    if not any((folder / name).is_file() for name in _TOKENIZER_FILES):
        raise ModelError(
            f"'{folder}' holds no tokenizer.",
            hint=f"Add one of {', '.join(_TOKENIZER_FILES)} and what belongs to it.",
        )
    try:
        return AutoTokenizer.from_pretrained(str(folder), local_files_only=True)
    except ImportError as error:
        raise MissingExtraError(
            f"The tokenizer of '{folder}' needs sentencepiece and protobuf, "
            "which are not installed.",
            hint="pip install 'retake[scorers]'",
        ) from error
    except Exception as error:  # the library beneath raises plain ones
        raise _damaged(folder, "tokenizer", error) from error


def _model(folder: Path, kind: Kind, device: str) -> Any:
    """The checkpoint's model, in float32."""
    import transformers

    where = _device(device)
    try:
        model, report = getattr(transformers, kind.model).from_pretrained(
            str(folder), local_files_only=True, dtype=torch.float32, output_loading_info=True
        )
    except _DAMAGE as error:
        raise _damaged(folder, "model", error) from error
    # What is missing would be drawn at random.
    missing = sorted(report["missing_keys"])
    if missing:
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        raise ModelError(f"'{folder}' lacks the weights {', '.join(missing[:3])}{more}.")
    return model.eval().to(where)


def _device(name: str) -> torch.device:
    """The device of that name.

    Raises:
        UsageError: there is none here.
    """
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise UsageError(
            f"The scorer clip cannot use the device '{name}': {_first_line(error)}",
            hint="Name one of this machine's, such as cpu or cuda:0; `retake doctor` shows them.",
        ) from error
    return device


def _check_size(folder: Path, pictures: SquarePictures | PatchPictures, tower: Any) -> None:
    """Refuse pictures of another size than the tower takes."""
    if isinstance(pictures, PatchPictures):
        given, side = [pictures.patch] * 2, tower.patch_size
    else:
        blank = torch.zeros(1, 8, 8, 3, dtype=torch.uint8)
        given, side = list(pictures.prepare(blank)["pixel_values"].shape[2:]), tower.image_size
    if given != [side] * 2:
        raise ModelError(
            f"The picture settings of '{folder}' give {given[0]} × {given[1]} pixels, "
            f"its tower takes {side} × {side}.",
            hint="Is preprocessor_config.json the one of this checkpoint?",
        )


def _damaged(folder: Path, part: str, error: Exception) -> ModelError:
    return ModelError(f"Cannot load the {part} of '{folder}': {_first_line(error)}")


def _first_line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), repr(error))
