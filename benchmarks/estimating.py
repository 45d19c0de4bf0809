"""What watching and asking takes, from a model's shapes alone: operations and bytes.

Operations follow the formulas of `retake.measure`, applied to shapes that a run would have;
`python -m benchmarks.reproduce_check` holds them against what `retake bench` counts and weighs.
No weights are needed: a model of the true shape is laid out without memory behind it.
"""

from collections.abc import Iterator
from typing import Any

import torch
from attrs import frozen
from torch import nn
from transformers import (
    LlavaOnevisionConfig,
    LlavaOnevisionForConditionalGeneration,
    Qwen2VLConfig,
    Qwen2VLForConditionalGeneration,
)

from retake.core.budget import share_of
from retake.measure.flops import attention_flops, is_counted, mass_flops

#: What is encoded at a time (`retake/encoding.py`).
SLICE_FRAMES = 32

# Both are Qwen2-7B behind a tower. The checkpoints' config.json, as facts.
_QWEN2_7B = {
    "hidden_size": 3584,
    "intermediate_size": 18944,
    "num_hidden_layers": 28,
    "num_attention_heads": 28,
    "num_key_value_heads": 4,
    "vocab_size": 152064,
    "bos_token_id": None,
    "eos_token_id": None,
}
_QWEN2_VL_TOWER = {"depth": 32, "embed_dim": 1280, "num_heads": 16, "mlp_ratio": 4}
_SIGLIP = {
    "model_type": "siglip_vision_model",
    "hidden_size": 1152,
    "intermediate_size": 4304,
    "num_hidden_layers": 26,
    "num_attention_heads": 16,
    "image_size": 384,
    "patch_size": 14,
    "vision_use_head": False,
}


@frozen
class Tower:
    """What encoding one temporal step takes.

    Attributes:
        flops: of a step, attention included.
        rows: patches a step.
        widest: numbers a patch has at the widest point of a layer, all that is alive counted.
        frames: frames a step.
    """

    flops: int
    rows: int
    widest: int
    frames: int


@frozen
class Shape:
    """A model as far as costs depend on it.

    Attributes:
        weights: numbers in all of its matrices and vectors.
        linear: numbers in the matrices of the language model's layers.
        head: numbers in the matrix of token logits.
        layers, heads, groups, width: of its attention.
        hidden, mlp: widths of a token between layers, and inside the MLP.
        tower: what stands before it.
        tokens: visual tokens a step.
    """

    weights: int
    linear: int
    head: int
    layers: int
    heads: int
    groups: int
    width: int
    hidden: int
    mlp: int
    tower: Tower
    tokens: int

    @property
    def pair_numbers(self) -> int:
        """Numbers of a token's keys and values, all layers."""
        return 2 * self.layers * self.groups * self.width


@frozen
class Plan:
    """How a video is watched.

    Attributes:
        steps: temporal steps looked at.
        chunk_steps: steps prefilled at a time.
        prefix: tokens before the video.
        closing: tokens with which the family closes a video.
        reserve: tokens of the budget set aside for a question.
        budget: tokens a layer may hold; None: everything stays.
    """

    steps: int
    chunk_steps: int
    prefix: int
    closing: int
    reserve: int
    budget: int | None

    @property
    def text(self) -> int:
        """Tokens that stay beside the video."""
        return self.prefix + self.closing


@frozen
class Work:
    """Operations of watching a video, by part.

    Attributes:
        encoder, linear, attention, mass: as `retake bench` names them.
        seen, kept: visual tokens that enter the language model, and that stay in each layer.
    """

    encoder: int
    linear: int
    attention: int
    mass: int
    seen: int
    kept: int

    @property
    def total(self) -> int:
        """All of them."""
        return self.encoder + self.linear + self.attention + self.mass


@frozen
class Bytes:
    """Memory at the highest moment, by what it is for."""

    weights: int
    pairs: int
    activations: int
    waiting: int

    @property
    def total(self) -> int:
        """All of it."""
        return self.weights + self.pairs + self.activations + self.waiting


def qwen2_vl(grid: tuple[int, int], text: Any = None, vision: Any = None) -> Shape:
    """Qwen2-VL's shape, the 7B's unless widths are given, for frames of so many patches."""
    whole, tower = {**_QWEN2_7B, **(text or {})}, {**_QWEN2_VL_TOWER, **(vision or {})}
    config = Qwen2VLConfig(
        text_config=whole, vision_config={**tower, "hidden_size": whole["hidden_size"]}
    )
    with torch.device("meta"):
        model: Any = Qwen2VLForConditionalGeneration(config)
    rows = grid[0] * grid[1]
    wide, heads = tower["embed_dim"], tower["num_heads"]
    flops = tower["depth"] * attention_flops(
        queries=rows, keys=rows, heads=heads, width=wide // heads
    )
    for name, weights in _matrices(model.model.visual):
        # Four patches are merged into a token before the last two layers.
        flops += 2 * weights * (rows // 4 if name.startswith("merger") else rows)
    # Residual, normed, and the MLP before and behind its activation.
    widest = 2 * wide + 2 * round(wide * tower["mlp_ratio"])
    return _shape(model, whole, Tower(flops, rows, widest, frames=2), tokens=rows // 4)


def llava_video(text: Any = None, vision: Any = None) -> Shape:
    """LLaVA-Video's shape as `retake convert` leaves it, the 7B's unless widths are given."""
    whole, tower = {**_QWEN2_7B, **(text or {})}, {**_SIGLIP, **(vision or {})}
    config = LlavaOnevisionConfig(
        text_config={"model_type": "qwen2", **whole}, vision_config=tower, vision_feature_layer=-1
    )
    with torch.device("meta"):
        model: Any = LlavaOnevisionForConditionalGeneration(config)
    side = tower["image_size"] // tower["patch_size"]
    rows, wide, heads = side * side, tower["hidden_size"], tower["num_attention_heads"]
    flops = tower["num_hidden_layers"] * attention_flops(
        queries=rows, keys=rows, heads=heads, width=wide // heads
    )
    for part in (model.model.vision_tower, model.model.multi_modal_projector):
        flops += sum(2 * weights * rows for _, weights in _matrices(part))
    widest = 2 * wide + 2 * tower["intermediate_size"]
    pooled = -(-side // 2)
    return _shape(model, whole, Tower(flops, rows, widest, frames=1), tokens=pooled * pooled)


def _shape(model: Any, text: Any, tower: Tower, tokens: int) -> Shape:
    return Shape(
        weights=sum(each.numel() for each in model.parameters()),
        linear=sum(weights for _, weights in _matrices(model.model.language_model)),
        head=model.lm_head.weight.numel(),
        layers=text["num_hidden_layers"],
        heads=text["num_attention_heads"],
        groups=text["num_key_value_heads"],
        width=text["hidden_size"] // text["num_attention_heads"],
        hidden=text["hidden_size"],
        mlp=text["intermediate_size"],
        tower=tower,
        tokens=tokens,
    )


def _matrices(module: nn.Module) -> Iterator[tuple[str, int]]:
    """Name and size of every matrix that a counted module multiplies by."""
    for name, part in module.named_modules():
        if is_counted(part):
            weight: Any = part.weight
            yield name, weight.numel()


def watching(shape: Shape, plan: Plan) -> Work:
    """Operations of watching a video, chunk by chunk as the engine goes."""
    seen = plan.steps * shape.tokens
    share = None
    if plan.budget is not None:
        text = plan.text + plan.reserve
        share = share_of(video=seen, text=text, budget=plan.budget, keep_ratio=None)
    attention = _attention(shape, plan.prefix, plan.prefix)
    mass = kept = done = 0
    for start in range(0, plan.steps, plan.chunk_steps):
        queries = min(plan.chunk_steps, plan.steps - start) * shape.tokens
        attention += _attention(shape, queries, plan.prefix + kept + queries)
        staying = queries if share is None else share.keep(done, queries)
        if staying < queries:
            mass += shape.layers * mass_flops(
                queries=queries, keys=queries, heads=shape.heads, width=shape.width
            )
        kept, done = kept + staying, done + queries
    attention += _attention(shape, plan.closing, plan.text + kept)
    linear = 2 * (plan.text + seen) * shape.linear
    return Work(plan.steps * shape.tower.flops, linear, attention, mass, seen, kept)


def first_token(shape: Shape, cached: int, tokens: int) -> int:
    """Operations from a question of so many tokens to its answer's first, on a cache."""
    linear = 2 * (tokens * shape.linear + shape.head)
    return linear + _attention(shape, tokens, cached + tokens)


def _attention(shape: Shape, queries: int, keys: int) -> int:
    return shape.layers * attention_flops(
        queries=queries, keys=keys, heads=shape.heads, width=shape.width, causal=True
    )


def memory(shape: Shape, plan: Plan, *, size: int, room: int) -> Bytes:
    """Bytes at the highest moment of watching.

    Args:
        shape: of the model.
        plan: of the video.
        size: bytes a number.
        room: pairs of the arena for an answer.
    """
    work = watching(shape, plan)
    chunk = min(plan.chunk_steps, plan.steps) * shape.tokens
    # An engine that evicts needs room for the chunk that is still whole.
    spare = chunk if plan.budget is not None and work.kept < work.seen else 0
    pairs = (plan.text + work.kept + spare + plan.reserve + room) * shape.pair_numbers * size
    # Residual, normed, and the MLP's gate, up and product.
    language = chunk * (2 * shape.hidden + 3 * shape.mlp)
    slice_steps = min(SLICE_FRAMES // shape.tower.frames, plan.steps)
    tower = slice_steps * shape.tower.rows * shape.tower.widest
    # Tokens encoded and not yet prefilled: a chunk, and a slice that comes beside it.
    waiting = (chunk + slice_steps * shape.tokens) * shape.hidden
    return Bytes(shape.weights * size, pairs, max(language, tower) * size, waiting * size)
