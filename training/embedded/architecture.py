"""The embedded model's shape: a Qwen2-VL small enough to ship, and the folder it is saved as.

The idea: a genuine `Qwen2VLForConditionalGeneration` in every file and key, so that what
loads the 7B model loads this one, with no special path.
"""

import json
import math
from pathlib import Path
from typing import Any, TypeAlias

import torch
from torch import nn
from transformers import GenerationConfig, Qwen2VLConfig, Qwen2VLForConditionalGeneration
from transformers import PreTrainedTokenizerFast as Tokenizer

# A Qwen2VLForConditionalGeneration: what its class declares hides its modules from type checkers.
Model: TypeAlias = Any

SIDE = 56  # pixels of a frame's side: 2 × 2 tokens a temporal step
PIXELS = SIDE * SIDE
MEAN = [0.48145466, 0.4578275, 0.40821073]
STD = [0.26862954, 0.26130258, 0.27577711]
TRAINED_STEPS = 64


def build_config(tokenizer: Tokenizer) -> Qwen2VLConfig:
    """Qwen2-VL's configuration at about a millionth of its computation."""
    ids: dict[str, Any] = {
        token: tokenizer.convert_tokens_to_ids(token) for token in tokenizer.all_special_tokens
    }
    return Qwen2VLConfig(
        text_config={
            "vocab_size": len(tokenizer),
            "hidden_size": 128,
            "intermediate_size": 384,
            "num_hidden_layers": 6,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "max_position_embeddings": 32768,
            "rms_norm_eps": 1e-6,
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": 1000000.0,
                "mrope_section": [8, 4, 4],
            },
            "bos_token_id": ids["<|endoftext|>"],
            "eos_token_id": ids["<|im_end|>"],
            "pad_token_id": ids["<|endoftext|>"],
            "tie_word_embeddings": False,
        },
        vision_config={
            "depth": 3,
            "embed_dim": 96,
            "hidden_size": 128,
            "num_heads": 4,
            "mlp_ratio": 4,
            "patch_size": 14,
            "spatial_merge_size": 2,
            "temporal_patch_size": 2,
        },
        image_token_id=ids["<|image_pad|>"],
        video_token_id=ids["<|video_pad|>"],
        vision_start_token_id=ids["<|vision_start|>"],
        vision_end_token_id=ids["<|vision_end|>"],
        tie_word_embeddings=False,
    )


def build_model(tokenizer: Tokenizer) -> Model:
    """A fresh model: embeddings of unit variance, every other matrix scaled by its fan-in."""
    model = Qwen2VLForConditionalGeneration(build_config(tokenizer))
    for module in model.modules():
        if isinstance(module, nn.Embedding):
            nn.init.normal_(module.weight, std=1.0)
        elif isinstance(module, (nn.Linear, nn.Conv3d)):
            nn.init.normal_(module.weight, std=1 / math.sqrt(module.weight[0].numel()))
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    return model


def save(model: Model, tokenizer: Tokenizer, folder: Path) -> None:
    """Writes the whole checkpoint in fp16: weights, configs, tokenizer, preprocessor."""
    folder.mkdir(parents=True, exist_ok=True)
    eos = tokenizer.convert_tokens_to_ids("<|im_end|>")
    settings: Any = GenerationConfig
    model.generation_config = settings(
        bos_token_id=tokenizer.pad_token_id,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=[eos, tokenizer.pad_token_id],
        do_sample=False,
    )
    halved: Model = Qwen2VLForConditionalGeneration(model.config)
    halved.load_state_dict(model.state_dict())
    halved.generation_config = model.generation_config
    halved.to(torch.float16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    for name, kind in (
        ("preprocessor_config.json", "Qwen2VLImageProcessor"),
        ("video_preprocessor_config.json", "Qwen2VLVideoProcessor"),
    ):
        text = json.dumps(_preprocessor(kind), indent=2)
        (folder / name).write_text(text + "\n", encoding="utf-8")


def _preprocessor(kind: str) -> dict[str, Any]:
    video = kind.endswith("VideoProcessor")
    return {
        ("video_processor_type" if video else "image_processor_type"): kind,
        "processor_class": "Qwen2VLProcessor",
        "do_convert_rgb": True,
        "do_normalize": True,
        "do_rescale": True,
        "do_resize": True,
        "image_mean": MEAN,
        "image_std": STD,
        "min_pixels": PIXELS,
        "max_pixels": PIXELS,
        "size": {"shortest_edge": PIXELS, "longest_edge": PIXELS},
        "merge_size": 2,
        "patch_size": 14,
        "temporal_patch_size": 2,
        "resample": 3,
        "rescale_factor": 1 / 255,
        **({"min_frames": 2, "max_frames": 768, "fps": 2.0} if video else {}),
    }
