"""What every family's tiny checkpoint is made of: a byte-level tokenizer and lively weights."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, pre_tokenizers
from tokenizers.models import BPE
from transformers import PreTrainedTokenizerFast


def byte_vocabulary(special: Sequence[str]) -> dict[str, int]:
    """One token a byte, so that every text makes the round trip, and the special tokens."""
    names = [*sorted(pre_tokenizers.ByteLevel.alphabet()), *special]
    return {name: number for number, name in enumerate(names)}


def save_tokenizer(folder: Path, special: Sequence[str], template: str | None) -> None:
    """Save a tokenizer; the first special token pads, and "<|im_end|>" ends a turn."""
    tokenizer = Tokenizer(BPE(vocab=byte_vocabulary(special), merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(list(special))
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="<|im_end|>",
        pad_token=special[0],
        additional_special_tokens=list(special[1:]),
        clean_up_tokenization_spaces=False,
    )
    fast.chat_template = template
    fast.save_pretrained(folder)


def save_model(folder: Path, stock: Any, config: Any, seed: int) -> None:
    """Save a model with random weights.

    Freshly drawn weights hardly react to their input; these do.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = stock(config).eval()
        with torch.no_grad():
            for weight in model.parameters():
                if weight.ndim > 1:
                    weight.normal_(std=weight[0].numel() ** -0.5)
    model.save_pretrained(folder)
