"""The small files beside the weights: tokenizer, chat template, preprocessing, generation."""

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

from transformers import AddedToken, AutoTokenizer, Qwen2Config, SiglipVisionConfig

from retake.core.errors import ModelError
from retake.models import checkpoints

_TOKENIZER = (
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.json",
    "merges.txt",
    "added_tokens.json",
    "special_tokens_map.json",
)
IMAGE, VIDEO = "<image>", "<video>"

#: The conversation "qwen_1_5" that LLaVA-Video and LLaVA-OneVision were trained with: a system
#: turn, then pictures and videos on lines of their own before a turn's text.
TEMPLATE = (
    "{%- if not messages or messages[0]['role'] != 'system' -%}"
    "{{ '<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n' }}"
    "{%- endif -%}"
    "{%- for message in messages -%}"
    "{{ '<|im_start|>' + message['role'] + '\n' }}"
    "{%- if message['content'] is string -%}{{ message['content'] }}"
    "{%- else -%}"
    "{%- for part in message['content'] if part['type'] == 'image' -%}"
    "{{ '<image>\n' }}{%- endfor -%}"
    "{%- for part in message['content'] if part['type'] == 'video' -%}"
    "{{ '<video>\n' }}{%- endfor -%}"
    "{%- for part in message['content'] if part['type'] == 'text' -%}"
    "{{ part['text'] }}{%- endfor -%}"
    "{%- endif -%}"
    "{{ '<|im_end|>\n' }}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{ '<|im_start|>assistant\n' }}{%- endif -%}"
)


def tokenizer_files(
    folder: Path, text: Path | None, rows: int
) -> tuple[dict[str, bytes], tuple[int, int]]:
    """The tokenizer with its two placeholders and the chat template, and their ids.

    Args:
        folder: the checkpoint.
        text: where its tokenizer is, if not there.
        rows: of the embeddings. Qwen2's have more than its tokenizer has words, so that
            the placeholders need no new ones.

    Raises:
        ModelError: there is no tokenizer, or no room for the placeholders.
    """
    place = next((each for each in (folder, text) if each is not None and _has_words(each)), None)
    if place is None:
        raise ModelError(
            f"'{folder}' holds no tokenizer.",
            hint="Give the folder of the Qwen2 model it was made from: --text FOLDER.",
        )
    with tempfile.TemporaryDirectory() as room:
        # Alone: the original's config.json would have transformers look for another tokenizer.
        given, made = Path(room, "given"), Path(room, "made")
        given.mkdir()
        for name in _TOKENIZER:
            if (place / name).is_file():
                shutil.copyfile(place / name, given / name)
        with checkpoints.checkpoint_errors(str(place)):
            tokenizer = AutoTokenizer.from_pretrained(given)
        special = [AddedToken(name, special=True, normalized=False) for name in (IMAGE, VIDEO)]
        tokenizer.add_tokens(special, special_tokens=True)
        tokenizer.chat_template = TEMPLATE
        vocabulary = tokenizer.get_vocab()
        ids = vocabulary[IMAGE], vocabulary[VIDEO]
        tokenizer.name_or_path = ""
        tokenizer.save_pretrained(made)
        files = {path.name: path.read_bytes() for path in made.iterdir()}
    if max(ids) >= rows:
        raise ModelError(
            f"The embeddings of '{folder}' have {rows} rows, which leaves none for "
            f"{IMAGE} and {VIDEO} (rows {ids[0]} and {ids[1]}).",
            hint="Is the tokenizer the checkpoint's own?",
        )
    return files, ids


def _has_words(folder: Path) -> bool:
    return (folder / "tokenizer.json").is_file() or (folder / "vocab.json").is_file()


def preprocessing_files(vision: SiglipVisionConfig) -> dict[str, bytes]:
    """How pictures and frames become pixels: as LLaVA-NeXT's SigLIP tower takes them."""
    side = int(vision.image_size)  # type: ignore[arg-type]
    rules: dict[str, Any] = {
        "do_convert_rgb": True,
        "do_normalize": True,
        "do_rescale": True,
        "do_resize": True,
        "image_mean": [0.5, 0.5, 0.5],
        "image_std": [0.5, 0.5, 0.5],
        "processor_class": "LlavaOnevisionProcessor",
        "resample": 3,  # bicubic
        "rescale_factor": 1 / 255,
        "size": {"height": side, "width": side},
    }
    processor = {
        "image_token": IMAGE,
        "num_image_tokens": (side // int(vision.patch_size)) ** 2,  # type: ignore[arg-type]
        "processor_class": "LlavaOnevisionProcessor",
        "video_token": VIDEO,
        "vision_feature_select_strategy": "full",
    }
    return {
        "preprocessor_config.json": as_json(
            {**rules, "image_processor_type": "LlavaOnevisionImageProcessor"}
        ),
        "video_preprocessor_config.json": as_json(
            {**rules, "video_processor_type": "LlavaOnevisionVideoProcessor"}
        ),
        "processor_config.json": as_json(processor),
    }


def generation_file(folder: Path, text: Qwen2Config) -> dict[str, bytes]:
    """The checkpoint's own generation settings, or the ends of its text where it has none.

    Raises:
        ModelError: they are no JSON object.
    """
    path = folder / "generation_config.json"
    if not path.is_file():
        ends = {key: getattr(text, key) for key in ("bos_token_id", "eos_token_id", "pad_token_id")}
        return {path.name: as_json({key: end for key, end in ends.items() if end is not None})}
    try:
        given = dict(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise ModelError(f"'{path}' is damaged: {error}.") from error
    # A kernel is the choice of who loads the model, and transformers refuses it in this file.
    given.pop("attn_implementation", None)
    return {path.name: as_json(given)}


def as_json(data: Any) -> bytes:
    """A document as this conversion writes it."""
    return (json.dumps(data, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()
