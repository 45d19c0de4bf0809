"""A mid-size Qwen2-VL checkpoint with random weights, in the real layout.

Its answers mean nothing; its arithmetic is that of the real thing, small enough for two cores.
"""

import json
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, pre_tokenizers
from tokenizers.models import BPE
from transformers import PreTrainedTokenizerFast, Qwen2VLConfig, Qwen2VLForConditionalGeneration

from benchmarks.harness import CACHE
from retake.models.embedded import checkpoint_path

_SPECIAL = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|image_pad|>",
    "<|video_pad|>",
)
# Widths of the language model and of the vision tower, and how deep each is.
TEXT = {
    "hidden_size": 512,
    "intermediate_size": 1536,
    "num_hidden_layers": 8,
    "num_attention_heads": 8,
    "num_key_value_heads": 2,
}
VISION = {"depth": 4, "embed_dim": 256, "num_heads": 4, "mlp_ratio": 4}
# For --quick: the same architecture, as small as it gets.
TINY_TEXT = {**TEXT, "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2}
TINY_VISION = {"depth": 1, "embed_dim": 32, "num_heads": 2, "mlp_ratio": 2}


def mid_size(*, tiny: bool = False, seed: int = 0) -> Path:
    """The checkpoint's folder, made on first use.

    Args:
        tiny: for a quick look.
        seed: of its weights.
    """
    folder = CACHE / "checkpoints" / f"{'tiny' if tiny else 'mid'}-{seed}"
    if not (folder / "model.safetensors").exists():
        folder.mkdir(parents=True, exist_ok=True)
        _make(folder, TINY_TEXT if tiny else TEXT, TINY_VISION if tiny else VISION, seed)
    return folder


def _make(folder: Path, text: dict[str, int], vision: dict[str, int], seed: int) -> None:
    ids = _save_tokenizer(folder)
    quarter = text["hidden_size"] // text["num_attention_heads"] // 4
    config = Qwen2VLConfig(
        text_config={
            **text,
            "vocab_size": len(ids),
            "max_position_embeddings": 32768,
            "bos_token_id": ids["<|endoftext|>"],
            "eos_token_id": ids["<|im_end|>"],
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": 1e6,
                "mrope_section": [quarter, quarter // 2, quarter // 2],
            },
        },
        vision_config={**vision, "hidden_size": text["hidden_size"]},
        image_token_id=ids["<|image_pad|>"],
        video_token_id=ids["<|video_pad|>"],
        vision_start_token_id=ids["<|vision_start|>"],
        vision_end_token_id=ids["<|vision_end|>"],
        tie_word_embeddings=False,
    )
    torch.manual_seed(seed)
    model: Any = Qwen2VLForConditionalGeneration(config)
    model.eval()
    # Freshly drawn weights hardly react to their input; these do.
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim > 1:
                weight.normal_(std=weight[0].numel() ** -0.5)
    rules = {
        "min_pixels": 56 * 56,
        "max_pixels": 768 * 28 * 28,
        "patch_size": 14,
        "temporal_patch_size": 2,
        "merge_size": 2,
        "image_processor_type": "Qwen2VLImageProcessor",
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(rules))
    model.save_pretrained(folder)


def _save_tokenizer(folder: Path) -> dict[str, int]:
    """A token a byte, the special tokens, and the embedded model's chat template."""
    names = [*sorted(pre_tokenizers.ByteLevel.alphabet()), *_SPECIAL]
    ids = {name: number for number, name in enumerate(names)}
    tokenizer = Tokenizer(BPE(vocab=ids, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(list(_SPECIAL))
    make: Any = PreTrainedTokenizerFast
    fast = make(tokenizer_object=tokenizer, eos_token="<|im_end|>", pad_token="<|endoftext|>")
    fast.chat_template = (checkpoint_path() / "chat_template.jinja").read_text()
    fast.save_pretrained(folder)
    return ids
