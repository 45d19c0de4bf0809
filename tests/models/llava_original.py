"""A tiny LLaVA-Video checkpoint as LLaVA-NeXT writes it, and its model computed from those names.

Nothing here knows `transformers`' model or retake: the forward pass is written out from the
tensors' original names, so that it can judge what a conversion makes of them.
"""

import json
import math
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor

from tests.tiny import saving

TOWER = "model.vision_tower.vision_tower.vision_model."
VISION = {
    "hidden_size": 24,
    "image_size": 20,
    "intermediate_size": 40,
    "num_attention_heads": 2,
    "num_hidden_layers": 3,
    "patch_size": 4,
}
TEXT = {
    "vocab_size": 320,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    "rms_norm_eps": 1e-6,
    "rope_theta": 1000000.0,
}
CONFIG = {
    **TEXT,
    "add_faster_video": False,
    "add_time_instruction": True,
    "architectures": ["LlavaQwenForCausalLM"],
    "attention_dropout": 0.0,
    "bos_token_id": 256,
    "eos_token_id": 258,
    "force_sample": True,
    "hidden_act": "silu",
    "image_aspect_ratio": "anyres_max_9",
    "image_grid_pinpoints": [[20, 20], [20, 40]],
    "image_token_index": 151646,
    "max_window_layers": 28,
    "mm_hidden_size": 24,
    "mm_newline_position": "grid",
    "mm_patch_merge_type": "spatial_unpad",
    "mm_projector_type": "mlp2x_gelu",
    "mm_resampler_type": None,
    "mm_spatial_pool_mode": "bilinear",
    "mm_spatial_pool_stride": 2,
    "mm_tunable_parts": "mm_vision_tower,mm_mlp_adapter,mm_language_model",
    "mm_use_im_start_end": False,
    "mm_vision_select_layer": -2,
    "mm_vision_tower": "google/siglip-tiny",
    "model_type": "llava",
    "rope_scaling": None,
    "sliding_window": 131072,
    "text_config": {"model_type": "llama"},
    "tie_word_embeddings": False,
    "torch_dtype": "float32",
    "transformers_version": "4.40.0.dev0",
    "use_cache": True,
    "use_mm_proj": True,
    "use_sliding_window": False,
    "vision_config": {"model_type": "clip_vision_model", "hidden_size": 1024},
}


def text_tensors(config: dict[str, Any], tied: bool = False) -> dict[str, tuple[int, ...]]:
    """Shapes of the language model, the projector and the newline."""
    width, inner = config["hidden_size"], config["intermediate_size"]
    keys = width // config["num_attention_heads"] * config["num_key_value_heads"]
    shapes: dict[str, tuple[int, ...]] = {
        "model.embed_tokens.weight": (config["vocab_size"], width),
        "model.norm.weight": (width,),
        "model.image_newline": (width,),
        "model.mm_projector.0.weight": (width, config["mm_hidden_size"]),
        "model.mm_projector.0.bias": (width,),
        "model.mm_projector.2.weight": (width, width),
        "model.mm_projector.2.bias": (width,),
    }
    if not tied:
        shapes["lm_head.weight"] = (config["vocab_size"], width)
    for number in range(config["num_hidden_layers"]):
        layer = f"model.layers.{number}."
        for part, size in (("q", width), ("k", keys), ("v", keys)):
            shapes[f"{layer}self_attn.{part}_proj.weight"] = (size, width)
            shapes[f"{layer}self_attn.{part}_proj.bias"] = (size,)
        shapes |= {
            f"{layer}self_attn.o_proj.weight": (width, width),
            f"{layer}mlp.gate_proj.weight": (inner, width),
            f"{layer}mlp.up_proj.weight": (inner, width),
            f"{layer}mlp.down_proj.weight": (width, inner),
            f"{layer}input_layernorm.weight": (width,),
            f"{layer}post_attention_layernorm.weight": (width,),
        }
    return shapes


def tower_tensors(layers: int, prefix: str = TOWER) -> dict[str, tuple[int, ...]]:
    """Shapes of a SigLIP tower of so many layers."""
    width, inner, patch = (VISION[k] for k in ("hidden_size", "intermediate_size", "patch_size"))
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.patch_embedding.weight": (width, 3, patch, patch),
        "embeddings.patch_embedding.bias": (width,),
        "embeddings.position_embedding.weight": ((VISION["image_size"] // patch) ** 2, width),
        "post_layernorm.weight": (width,),
        "post_layernorm.bias": (width,),
    }
    for number in range(layers):
        layer = f"encoder.layers.{number}."
        for part in ("q_proj", "k_proj", "v_proj", "out_proj"):
            shapes[f"{layer}self_attn.{part}.weight"] = (width, width)
            shapes[f"{layer}self_attn.{part}.bias"] = (width,)
        for part, (out, given) in {"fc1": (inner, width), "fc2": (width, inner)}.items():
            shapes[f"{layer}mlp.{part}.weight"] = (out, given)
            shapes[f"{layer}mlp.{part}.bias"] = (out,)
        for part in ("layer_norm1", "layer_norm2"):
            shapes[f"{layer}{part}.weight"] = shapes[f"{layer}{part}.bias"] = (width,)
    return {prefix + name: shape for name, shape in shapes.items()}


def drawn(shapes: dict[str, tuple[int, ...]], seed: int = 0) -> dict[str, Tensor]:
    """Random tensors that react to their input."""
    random = torch.Generator().manual_seed(seed)
    tensors = {}
    for name, shape in shapes.items():
        values = torch.randn(shape, generator=random)
        wide = values[0].numel() if values.ndim > 1 else 16
        norm = "norm" in name and name.endswith("weight")
        tensors[name] = 1 + 0.1 * values if norm else values * wide**-0.5
    return tensors


def save(folder: Path, config: dict[str, Any], shards: list[dict[str, Tensor]]) -> Path:
    """Write config.json and weights, with an index where there are several files."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    names = {}
    for number, tensors in enumerate(shards, 1):
        file = f"model-{number:05}-of-{len(shards):05}.safetensors"
        save_file(tensors, folder / file, metadata={"format": "pt"})
        names |= dict.fromkeys(tensors, file)
    index = {"metadata": {"total_size": 0}, "weight_map": names}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return folder


def make_original(
    folder: Path,
    *,
    tokenizer: bool = True,
    tied: bool = False,
    tower: bool = True,
    shards: int = 3,
    dtype: torch.dtype = torch.float32,
    drop: tuple[str, ...] = (),
    add: dict[str, Tensor] | None = None,
    seed: int = 0,
    **config: Any,
) -> Path:
    """A tiny checkpoint in the original layout.

    Args:
        folder: where.
        tokenizer: there is one, with Qwen2's three special tokens and no chat template.
        tied: the head is the embeddings, and not stored.
        tower: the vision tower is among the weights.
        shards: how many files.
        dtype: of the weights.
        drop: tensors to leave out.
        add: tensors to put in, or to put in place of others.
        seed: of the weights.
        config: entries of config.json to override; those that are `...` are left out.
    """
    whole = {**CONFIG, "tie_word_embeddings": tied, **config}
    whole = {key: value for key, value in whole.items() if value is not ...}
    shapes = text_tensors({**CONFIG, **config}, tied)
    if tower:
        shapes |= tower_tensors(VISION["num_hidden_layers"] - 1)
    tensors = {name: each.to(dtype) for name, each in drawn(shapes, seed).items()} | (add or {})
    names = sorted(name for name in tensors if name not in drop)
    each = math.ceil(len(names) / shards)
    parts = [names[start : start + each] for start in range(0, len(names), each)]
    save(folder, whole, [{name: tensors[name] for name in part} for part in parts])
    if tokenizer:
        saving.save_tokenizer(folder, ("<|endoftext|>", "<|im_start|>", "<|im_end|>"), None)
    return folder


def save_qwen2_tokenizer(folder: Path) -> None:
    """A tokenizer in the several files of Qwen2's own, one token a byte."""
    special = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
    vocabulary = saving.byte_vocabulary(special)
    added = {name: vocabulary.pop(name) for name in special}
    described = {"lstrip": False, "normalized": False, "rstrip": False, "special": True}
    settings = {
        "added_tokens_decoder": {
            str(number): {"content": name, "single_word": False, **described}
            for name, number in added.items()
        },
        "additional_special_tokens": special[1:],
        "chat_template": "{% for message in messages %}another{% endfor %}",
        "eos_token": "<|im_end|>",
        "model_max_length": 32768,
        "pad_token": "<|endoftext|>",
        "tokenizer_class": "Qwen2Tokenizer",
    }
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    (folder / "added_tokens.json").write_text(json.dumps(added))
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))


def make_siglip(folder: Path, *, weights: bool = True, seed: int = 9, **config: Any) -> Path:
    """A tiny SigLIP checkpoint, with the last layer, head and text tower LLaVA does not use."""
    folder.mkdir(parents=True, exist_ok=True)
    vision = {**VISION, "model_type": "siglip_vision_model", **config}
    (folder / "config.json").write_text(
        json.dumps({"model_type": "siglip", "text_config": {}, "vision_config": vision})
    )
    if weights:
        shapes = tower_tensors(VISION["num_hidden_layers"], "vision_model.")
        unused = {"vision_model.head.probe": (1, 1, 24), "text_model.x.weight": (4,)}
        tensors = drawn({**shapes, **unused, "logit_scale": (1,)}, seed)
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def tensors_of(folder: Path) -> dict[str, Tensor]:
    """Every tensor of a checkpoint, by its name there."""
    found = {}
    for file in sorted(folder.glob("*.safetensors")):
        found |= load_file(file)
    return {name: each.float() for name, each in found.items()}


class Original:
    """LLaVA-Video's arithmetic on tensors under their original names, in float32."""

    def __init__(self, tensors: dict[str, Tensor], config: dict[str, Any]) -> None:
        self.tensors = tensors
        self.config = config

    def _linear(self, name: str, x: Tensor) -> Tensor:
        return F.linear(x, self.tensors[f"{name}.weight"], self.tensors.get(f"{name}.bias"))

    def _layer_norm(self, name: str, x: Tensor) -> Tensor:
        weight, bias = self.tensors[f"{name}.weight"], self.tensors[f"{name}.bias"]
        return F.layer_norm(x, x.shape[-1:], weight, bias, 1e-6)

    def _rms_norm(self, name: str, x: Tensor) -> Tensor:
        scale = (x.square().mean(-1, keepdim=True) + self.config["rms_norm_eps"]).rsqrt()
        return x * scale * self.tensors[f"{name}.weight"]

    def tower(self, pixels: Tensor) -> Tensor:
        """Frames [T, 3, H, W] to features [T, patches, width], before the norm behind the tower."""
        t = self.tensors
        patches = F.conv2d(
            pixels,
            t[f"{TOWER}embeddings.patch_embedding.weight"],
            t[f"{TOWER}embeddings.patch_embedding.bias"],
            stride=VISION["patch_size"],
        )
        x = patches.flatten(2).mT + t[f"{TOWER}embeddings.position_embedding.weight"]
        for number in range(VISION["num_hidden_layers"] - 1):
            layer = f"{TOWER}encoder.layers.{number}."
            y = self._layer_norm(f"{layer}layer_norm1", x)
            q, k, v = (
                self._linear(f"{layer}self_attn.{part}_proj", y)
                .unflatten(-1, (VISION["num_attention_heads"], -1))
                .transpose(1, 2)
                for part in "qkv"
            )
            weights = (q @ k.mT / q.shape[-1] ** 0.5).softmax(-1)
            mixed = (weights @ v).transpose(1, 2).flatten(2)
            x = x + self._linear(f"{layer}self_attn.out_proj", mixed)
            y = F.gelu(
                self._linear(f"{layer}mlp.fc1", self._layer_norm(f"{layer}layer_norm2", x)),
                approximate="tanh",
            )
            x = x + self._linear(f"{layer}mlp.fc2", y)
        return x

    def video(self, pixels: Tensor, newline: str) -> Tensor:
        """Frames [T, 3, H, W] to the video's tokens [tokens, C]."""
        x = F.gelu(self._linear("model.mm_projector.0", self.tower(pixels)))
        x = self._linear("model.mm_projector.2", x)
        side = VISION["image_size"] // VISION["patch_size"]
        grid = x.mT.unflatten(-1, (side, side))
        half = math.ceil(side / 2)
        x = F.interpolate(grid, size=(half, half), mode="bilinear").permute(0, 2, 3, 1)
        line = self.tensors["model.image_newline"]
        if newline == "grid":
            x = torch.cat((x, line.expand(*x.shape[:2], 1, -1)), dim=2)
        x = x.flatten(1, 2)
        if newline == "frame":
            x = torch.cat((x, line.expand(len(x), 1, -1)), dim=1)
        flat = x.flatten(0, 1)
        return torch.cat((flat, line[None])) if newline == "one_token" else flat

    def logits(self, embedded: Tensor) -> Tensor:
        """Embeddings [n, C] to logits [n, vocabulary]."""
        heads, pairs = self.config["num_attention_heads"], self.config["num_key_value_heads"]
        size = embedded.shape[-1] // heads
        angles = torch.arange(len(embedded))[:, None] * (
            self.config["rope_theta"] ** (-torch.arange(0, size, 2) / size)
        )
        cos, sin = (f(torch.cat((angles, angles), -1)) for f in (torch.cos, torch.sin))

        def turned(x: Tensor) -> Tensor:
            first, second = x.chunk(2, -1)
            return x * cos + torch.cat((-second, first), -1) * sin

        x = embedded
        future = torch.ones(len(x), len(x), dtype=torch.bool).triu(1)
        for number in range(self.config["num_hidden_layers"]):
            layer = f"model.layers.{number}."
            y = self._rms_norm(f"{layer}input_layernorm", x)
            q, k, v = (
                self._linear(f"{layer}self_attn.{part}_proj", y)
                .unflatten(-1, (-1, size))
                .transpose(0, 1)
                for part in "qkv"
            )
            k, v = (each.repeat_interleave(heads // pairs, 0) for each in (k, v))
            scores = turned(q) @ turned(k).mT / size**0.5
            weights = scores.masked_fill(future, -math.inf).softmax(-1)
            mixed = (weights @ v).transpose(0, 1).flatten(1)
            x = x + self._linear(f"{layer}self_attn.o_proj", mixed)
            y = self._rms_norm(f"{layer}post_attention_layernorm", x)
            y = F.silu(self._linear(f"{layer}mlp.gate_proj", y)) * self._linear(
                f"{layer}mlp.up_proj", y
            )
            x = x + self._linear(f"{layer}mlp.down_proj", y)
        x = self._rms_norm("model.norm", x)
        head = self.tensors.get("lm_head.weight", self.tensors["model.embed_tokens.weight"])
        return x @ head.T

    def ask(self, before: Tensor, pixels: Tensor, behind: Tensor, newline: str) -> Tensor:
        """Logits of token ids, a video and more token ids."""
        words = self.tensors["model.embed_tokens.weight"]
        parts = (words[before], self.video(pixels, newline), words[behind])
        return self.logits(torch.cat(parts))
