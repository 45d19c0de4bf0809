"""A tiny Qwen2-VL checkpoint."""

import json
from pathlib import Path
from typing import Any

from transformers import Qwen2VLConfig, Qwen2VLForConditionalGeneration

from tests.tiny import saving

SPECIAL = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|image_pad|>",
    "<|video_pad|>",
)

# The template that Qwen2-VL's checkpoints carry, without its option to number the pictures.
TEMPLATE = (
    "{% for message in messages %}"
    "{% if loop.first and message['role'] != 'system' %}"
    "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n{% endif %}"
    "<|im_start|>{{ message['role'] }}\n"
    "{% if message['content'] is string %}{{ message['content'] }}<|im_end|>\n"
    "{% else %}{% for content in message['content'] %}"
    "{% if content['type'] == 'image' %}<|vision_start|><|image_pad|><|vision_end|>"
    "{% elif content['type'] == 'video' %}<|vision_start|><|video_pad|><|vision_end|>"
    "{% elif 'text' in content %}{{ content['text'] }}{% endif %}"
    "{% endfor %}<|im_end|>\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)

_VISION = {"depth": 2, "embed_dim": 32, "mlp_ratio": 2, "num_heads": 2}


def make(
    folder: Path,
    *,
    seed: int = 0,
    tokenizer: bool = True,
    template: str | None = TEMPLATE,
    preprocessor: dict[str, Any] | None = None,
    vision: dict[str, Any] | None = None,
    **text: Any,
) -> Path:
    """Save the checkpoint; keywords beyond those named are entries of the text configuration."""
    tied = text.pop("tie_word_embeddings", False)
    whole = text_config(**text)
    tower = {**_VISION, "hidden_size": whole["hidden_size"], **(vision or {})}
    config = Qwen2VLConfig(
        text_config=whole, vision_config=tower, tie_word_embeddings=tied, **token_ids()
    )
    saving.save_model(folder, Qwen2VLForConditionalGeneration, config, seed)
    finish(folder, tokenizer, template, preprocessor)
    return folder


def text_config(**changes: Any) -> dict[str, Any]:
    """A language model of two layers."""
    vocabulary = saving.byte_vocabulary(SPECIAL)
    text = {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "vocab_size": len(vocabulary),
        "max_position_embeddings": 512,
        "bos_token_id": vocabulary["<|endoftext|>"],
        "eos_token_id": vocabulary["<|im_end|>"],
        "rope_parameters": {
            "rope_type": "default",
            "rope_theta": 10000.0,
            "mrope_section": [1, 1, 2],
        },
    }
    return {**text, **changes}


def token_ids() -> dict[str, int]:
    """The special tokens that the configuration names."""
    vocabulary = saving.byte_vocabulary(SPECIAL)
    return {
        "image_token_id": vocabulary["<|image_pad|>"],
        "video_token_id": vocabulary["<|video_pad|>"],
        "vision_start_token_id": vocabulary["<|vision_start|>"],
        "vision_end_token_id": vocabulary["<|vision_end|>"],
    }


def finish(
    folder: Path, tokenizer: bool, template: str | None, preprocessor: dict[str, Any] | None
) -> None:
    """Save what belongs to the weights: the preprocessor's rules and a tokenizer."""
    rules = {
        "min_pixels": 28 * 28,
        "max_pixels": 64 * 28 * 28,
        "patch_size": 14,
        "temporal_patch_size": 2,
        "merge_size": 2,
        "image_mean": [0.48145466, 0.4578275, 0.40821073],
        "image_std": [0.26862954, 0.26130258, 0.27577711],
        "image_processor_type": "Qwen2VLImageProcessor",
    }
    (folder / "preprocessor_config.json").write_text(json.dumps({**rules, **(preprocessor or {})}))
    if tokenizer:
        saving.save_tokenizer(folder, SPECIAL, template)
