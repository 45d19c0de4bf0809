"""What all tests share: where the goldens are, and a summary of how many cases they checked."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, decoders, pre_tokenizers
from tokenizers.models import BPE
from transformers import PreTrainedTokenizerFast, Qwen2VLConfig, Qwen2VLForConditionalGeneration

import retake
from retake.datasets.scenes import make_clip

_HERE = Path(__file__).parent

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def goldens() -> Path:
    """The folder of recorded numbers: the repository's own, or the one RETAKE_GOLDENS names."""
    return Path(os.environ.get("RETAKE_GOLDENS") or _HERE / "goldens")


_SPECIAL = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|image_pad|>",
    "<|video_pad|>",
)

# The template that Qwen2-VL's checkpoints carry, without its option to number the pictures.
_TEMPLATE = (
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


def _byte_vocabulary() -> dict[str, int]:
    """One token a byte, so that every text makes the round trip, and the special tokens."""
    names = [*sorted(pre_tokenizers.ByteLevel.alphabet()), *_SPECIAL]
    return {name: number for number, name in enumerate(names)}


def _save_tokenizer(folder: Path, *, template: str | None = _TEMPLATE) -> None:
    tokenizer = Tokenizer(BPE(vocab=_byte_vocabulary(), merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(list(_SPECIAL))
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        additional_special_tokens=list(_SPECIAL[1:]),
        clean_up_tokenization_spaces=False,
    )
    fast.chat_template = template
    fast.save_pretrained(folder)


def _make_checkpoint(
    folder: Path,
    *,
    seed: int = 0,
    tokenizer: bool = True,
    template: str | None = _TEMPLATE,
    preprocessor: dict[str, Any] | None = None,
    vision: dict[str, Any] | None = None,
    **config: Any,
) -> Path:
    vocabulary = _byte_vocabulary()
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
    tied = config.pop("tie_word_embeddings", False)
    settings = Qwen2VLConfig(
        text_config={**text, **config},
        vision_config={
            "depth": 2,
            "embed_dim": 32,
            "hidden_size": {**text, **config}["hidden_size"],
            "mlp_ratio": 2,
            "num_heads": 2,
            **(vision or {}),
        },
        image_token_id=vocabulary["<|image_pad|>"],
        video_token_id=vocabulary["<|video_pad|>"],
        vision_start_token_id=vocabulary["<|vision_start|>"],
        vision_end_token_id=vocabulary["<|vision_end|>"],
        tie_word_embeddings=tied,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = Qwen2VLForConditionalGeneration(settings).eval()
        # Freshly drawn weights hardly react to their input; these do.
        with torch.no_grad():
            for weight in model.parameters():
                if weight.ndim > 1:
                    weight.normal_(std=weight[0].numel() ** -0.5)
    model.save_pretrained(folder)
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
        _save_tokenizer(folder, template=template)
    return folder


@pytest.fixture(scope="session")
def save_tokenizer() -> Callable[..., None]:
    """Call it with a folder: saves a byte-level tokenizer with Qwen2-VL's special tokens."""
    return _save_tokenizer


@pytest.fixture(scope="session")
def make_checkpoint() -> Callable[..., Path]:
    """Call it with a folder: saves a tiny random Qwen2-VL checkpoint in the real layout.

    Keywords change it: `seed`, `tokenizer=False`, `template`, `preprocessor` and `vision`
    (entries to override), and any entry of the text configuration.
    """
    return _make_checkpoint


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random Qwen2-VL checkpoint; do not change its files."""
    return _make_checkpoint(tmp_path_factory.mktemp("checkpoint") / "qwen2-vl-tiny")


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clip of 40 seconds: 80 frames at 2 fps, 40 steps."""
    path = tmp_path_factory.mktemp("clips") / "scenes.mp4"
    make_clip(path, seconds=40, seed=5, size=112)
    return path


@pytest.fixture(scope="session")
def load(checkpoint: Path) -> Any:
    """`retake.load` of the tiny checkpoint, with short answers."""

    def loaded(**given: Any) -> retake.VideoModel:
        return retake.load(checkpoint, **{"generate": {"max_new_tokens": 6}, **given})

    return loaded


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say how many recorded cases the parity tests compared."""
    lines = [
        value
        for reports in terminalreporter.stats.values()
        for report in reports
        if getattr(report, "when", "") == "call"
        for name, value in getattr(report, "user_properties", ())
        if name == "parity"
    ]
    if lines:
        terminalreporter.section("parity with the published code")
        for line in sorted(set(lines)):
            terminalreporter.write_line(line)
