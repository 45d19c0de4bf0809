"""A tiny LLaVA-OneVision checkpoint."""

import json
from pathlib import Path
from typing import Any

from transformers import LlavaOnevisionConfig, LlavaOnevisionForConditionalGeneration

from tests.tiny import saving

SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<image>", "<video>")

# As LLaVA-OneVision's checkpoints lay it out: pictures, then videos, then text.
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }} "
    "{% if message['content'] is string %}{{ '\n' + message['content'] }}{% else %}"
    "{% for content in message['content'] if content['type'] == 'image' %}<image>{% endfor %}"
    "{% for content in message['content'] if content['type'] == 'video' %}<video>{% endfor %}"
    "{% for content in message['content'] if content['type'] == 'text' %}"
    "{{ '\n' + content['text'] }}{% endfor %}{% endif %}<|im_end|>{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)

# Seven patches a side: pooling rounds up.
_VISION = {
    "model_type": "siglip_vision_model",
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": 42,
    "patch_size": 6,
    "vision_use_head": False,
}


def make(
    folder: Path,
    *,
    seed: int = 0,
    tokenizer: bool = True,
    template: str | None = TEMPLATE,
    preprocessor: dict[str, Any] | None = None,
    vision: dict[str, Any] | None = None,
    newline: str | None = None,
    config: dict[str, Any] | None = None,
    **text: Any,
) -> Path:
    """Save the checkpoint.

    Keywords beyond those named are entries of the text configuration, `config` those of the whole.
    """
    vocabulary = saving.byte_vocabulary(SPECIAL)
    tied = text.pop("tie_word_embeddings", False)
    tower = {**_VISION, **(vision or {})}
    settings = LlavaOnevisionConfig(
        text_config={
            "model_type": "qwen2",
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "vocab_size": len(vocabulary),
            "max_position_embeddings": 2048,
            "bos_token_id": vocabulary["<|endoftext|>"],
            "eos_token_id": vocabulary["<|im_end|>"],
            **text,
        },
        vision_config=tower,
        image_token_index=vocabulary["<image>"],
        video_token_index=vocabulary["<video>"],
        tie_word_embeddings=tied,
        **({"mm_newline_position": newline} if newline else {}),
        **(config or {}),
    )
    saving.save_model(folder, LlavaOnevisionForConditionalGeneration, settings, seed)
    rules = {
        "size": {"height": tower["image_size"], "width": tower["image_size"]},
        "image_mean": [0.5, 0.5, 0.5],
        "image_std": [0.5, 0.5, 0.5],
        "video_processor_type": "LlavaOnevisionVideoProcessor",
    }
    (folder / "video_preprocessor_config.json").write_text(
        json.dumps({**rules, **(preprocessor or {})})
    )
    if tokenizer:
        saving.save_tokenizer(folder, SPECIAL, template)
    return folder
