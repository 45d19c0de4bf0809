"""A tiny Qwen2.5-VL checkpoint: Qwen2-VL's language model, a tower with window attention."""

from pathlib import Path
from typing import Any

from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

from tests.tiny import qwen2_vl, saving

# Windows of two by two tokens, so that a small frame has several; the second layer sees it whole.
_VISION = {
    "depth": 2,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_heads": 2,
    "window_size": 56,
    "fullatt_block_indexes": [1],
    "tokens_per_second": 2,
}


def make(
    folder: Path,
    *,
    seed: int = 0,
    tokenizer: bool = True,
    template: str | None = qwen2_vl.TEMPLATE,
    preprocessor: dict[str, Any] | None = None,
    vision: dict[str, Any] | None = None,
    **text: Any,
) -> Path:
    """Save the checkpoint; keywords beyond those named are entries of the text configuration."""
    tied = text.pop("tie_word_embeddings", False)
    whole = qwen2_vl.text_config(**text)
    tower = {**_VISION, "out_hidden_size": whole["hidden_size"], **(vision or {})}
    config = Qwen2_5_VLConfig(
        text_config=whole, vision_config=tower, tie_word_embeddings=tied, **qwen2_vl.token_ids()
    )
    saving.save_model(folder, Qwen2_5_VLForConditionalGeneration, config, seed)
    qwen2_vl.finish(folder, tokenizer, template, preprocessor)
    return folder
