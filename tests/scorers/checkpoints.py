"""Tiny random picture–text checkpoints in the real layouts."""

import json
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import pre_tokenizers
from transformers import CLIPTokenizer, Siglip2Tokenizer

SIDE = 32

# As the hub's checkpoints have them: CLIP's in the old form, with one number a size.
CLIP_PICTURES = {
    "crop_size": SIDE,
    "do_center_crop": True,
    "do_normalize": True,
    "do_resize": True,
    "feature_extractor_type": "CLIPFeatureExtractor",
    "image_mean": [0.48145466, 0.4578275, 0.40821073],
    "image_std": [0.26862954, 0.26130258, 0.27577711],
    "resample": 3,
    "size": SIDE,
}
SIGLIP_PICTURES = {
    "do_normalize": True,
    "do_rescale": True,
    "do_resize": True,
    "image_mean": [0.5, 0.5, 0.5],
    "image_processor_type": "SiglipImageProcessor",
    "image_std": [0.5, 0.5, 0.5],
    "resample": 2,
    "rescale_factor": 0.00392156862745098,
    "size": {"height": SIDE, "width": SIDE},
}
NAFLEX_PICTURES = {
    "do_normalize": True,
    "do_rescale": True,
    "do_resize": True,
    "image_mean": [0.5, 0.5, 0.5],
    "image_processor_type": "Siglip2ImageProcessor",
    "image_std": [0.5, 0.5, 0.5],
    "max_num_patches": 16,
    "patch_size": 8,
    "resample": 2,
    "rescale_factor": 0.00392156862745098,
}
PICTURES = {"clip": CLIP_PICTURES, "siglip": SIGLIP_PICTURES, "siglip2": NAFLEX_PICTURES}

_TOWER = {
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
}
_MODELS = {
    "clip": (transformers.CLIPConfig, transformers.CLIPModel),
    "siglip": (transformers.SiglipConfig, transformers.SiglipModel),
    "siglip2": (transformers.Siglip2Config, transformers.Siglip2Model),
}


def make(folder: Path, kind: str, *, tokenizer: bool = True, **pictures: Any) -> Path:
    """Save a checkpoint of a kind; keywords change its picture settings."""
    folder.mkdir(parents=True, exist_ok=True)
    words = _tokenizer(kind)
    _save_model(folder, kind, len(words), words)
    if tokenizer:
        words.save_pretrained(folder)
    settings = {**PICTURES[kind], **pictures}
    (folder / "preprocessor_config.json").write_text(json.dumps(settings))
    return folder


def make_sentencepiece(folder: Path) -> Path:
    """A SigLIP with the tokenizer of its first kind, which needs the extra `scorers`."""
    import sentencepiece
    from transformers import SiglipTokenizer

    folder.mkdir(parents=True)
    lines = ["which shape flashed in orange", "a circle or a square", "the red one moves"] * 9
    with (folder / "spiece.model").open("wb") as file:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(lines),
            model_writer=file,
            vocab_size=64,
            hard_vocab_limit=False,
            pad_id=-1,
            unk_id=0,
            bos_id=-1,
            eos_id=1,
            minloglevel=2,
        )
    words = SiglipTokenizer(str(folder / "spiece.model"), model_max_length=64)
    _save_model(folder, "siglip", len(words), words)
    words.save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(SIGLIP_PICTURES))
    return folder


def _tokenizer(kind: str) -> Any:
    """CLIP's own; SigLIP 2's, which needs no sentencepiece, for the others."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    if kind == "clip":
        names = [*letters, *(f"{letter}</w>" for letter in letters)]
        special = ["<|startoftext|>", "<|endoftext|>"]
        vocabulary = {name: number for number, name in enumerate([*names, *special])}
        return CLIPTokenizer(vocab=vocabulary, merges=[], model_max_length=77)
    special = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", "▁"]
    names = [*special, *(chr(code) for code in range(33, 127))]
    vocabulary = {name: number for number, name in enumerate(names)}
    return Siglip2Tokenizer(vocab=vocabulary, merges=[], padding_side="right", model_max_length=64)


def _save_model(folder: Path, kind: str, vocabulary: int, words: Any) -> None:
    config_of, model_of = _MODELS[kind]
    text = {
        **_TOWER,
        "vocab_size": vocabulary,
        "max_position_embeddings": 77 if kind == "clip" else 64,
        "bos_token_id": words.bos_token_id,
        "eos_token_id": words.eos_token_id,
        "pad_token_id": words.pad_token_id,
    }
    vision: dict[str, Any] = {**_TOWER, "patch_size": 8}
    vision |= {"num_patches": 16} if kind == "siglip2" else {"image_size": SIDE}
    if kind == "clip":
        text["projection_dim"] = vision["projection_dim"] = 12
        config = config_of(text_config=text, vision_config=vision, projection_dim=12)
    else:
        config = config_of(text_config=text, vision_config=vision)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        model = model_of(config).eval()
        with torch.no_grad():
            for weight in model.parameters():
                if weight.ndim > 1:
                    weight.normal_(std=weight[0].numel() ** -0.5)
    model.save_pretrained(folder)
