"""The model's forward pass as training wants it: many questions per video, and eviction on.

The idea: the stock modules hold every weight; only the wiring differs. The vision tower
runs over all steps at once (they share one grid). The language model reads each video
once and every question attends to that reading, not to the other questions. With
`Eviction` the reading is PivotKV's: chunk by chunk, every layer forgets the keys of least
attention mass and squeezes the temporal positions of the rest. A test holds the plain
pass against the stock model's.
"""

from collections.abc import Callable
from typing import Any

import attrs
import torch
import torch.nn.functional as F
from torch import Tensor
from transformers.models.qwen2_vl.modeling_qwen2_vl import apply_rotary_pos_emb_vision

from training.embedded.architecture import SIDE, Model

Kept = tuple[Tensor, Tensor, Tensor]  # keys, values [B, K, L, D], visibility [B, L]


@attrs.frozen
class Eviction:
    """How much of each chunk stays: `keep` of every `chunk` temporal steps, 4 tokens each.

    `score` ranks a layer's tokens: [B, L] masses in, [B, L] scores out; by default the mass.
    """

    keep: float
    chunk: int = 16
    score: Callable[[Tensor], Tensor] | None = None


@attrs.frozen
class Reading:
    """What remains of a read video: per layer keys, values [B, K, L, D] and visibility [B, L]."""

    layers: list[Kept]
    next_position: Tensor  # [B]


def encode_steps(model: Model, patches: Tensor) -> Tensor:
    """Visual tokens [S, N, C] of independent temporal steps, from patches [S, P, 1176]."""
    tower = model.model.visual
    steps, count, _ = patches.shape
    hidden = tower.patch_embed(patches.reshape(steps * count, -1)).view(steps, count, -1)
    cos, sin = tower.rotary_pos_emb(hidden, _patch_grid())
    for block in tower.blocks:
        attention = block.attn
        mixed = attention.qkv(block.norm1(hidden))
        q, k, v = mixed.view(steps, count, 3, attention.num_heads, -1).unbind(2)
        q, k = apply_rotary_pos_emb_vision(q, k, cos, sin)
        q, k, v = (x.transpose(1, 2) for x in (q, k, v))
        out = F.scaled_dot_product_attention(q, k, v)
        hidden = hidden + attention.proj(out.transpose(1, 2).reshape(steps, count, -1))
        hidden = hidden + block.mlp(block.norm2(hidden))
    merged: Tensor = tower.merger(hidden)
    return merged.view(steps, count // 4, -1)


def _patch_grid() -> Tensor:
    """Row and column [P, 2] of each patch of a frame, in merge order."""
    side = SIDE // 14
    rows = torch.arange(side).view(side, 1).expand(side, side)
    grids = torch.stack([rows, rows.T]).view(2, side // 2, 2, side // 2, 2)
    return grids.permute(0, 1, 3, 2, 4).reshape(2, -1).T


def read_video(
    model: Model,
    embeds: Tensor,
    positions: Tensor,
    prefix: int,
    eviction: Eviction | None = None,
) -> Reading:
    """Reads text prefix and video, [B, L, C] at positions [3, B, L], into every layer."""
    language = model.model.language_model
    cos, sin = (x[:, None] for x in language.rotary_emb(embeds, positions))
    plan = _Plan(language, embeds, positions, prefix, eviction) if eviction else None
    hidden, layers = embeds, []
    for layer in language.layers:
        normed = layer.input_layernorm(hidden)
        q, k, v = _project(layer.self_attn, normed)
        if plan is None:
            visible = torch.ones(embeds.shape[:2], dtype=torch.bool)
            rq, rk = _rotate(q, cos, sin), _rotate(k, cos, sin)
            out = F.scaled_dot_product_attention(rq, rk, v, is_causal=True, enable_gqa=True)
            layers.append((rk, v, visible))
        else:
            out, kept = plan.attend(q, k, v)
            layers.append(kept)
        hidden = _finish(layer, hidden, out)
    after = plan.next_position if plan else positions.amax((0, 2)) + 1
    return Reading(layers, after)


def answer(model: Model, reading: Reading, questions: Tensor) -> Tensor:
    """Last hidden states [B, Q, M, C] of questions embedded as [B, Q, M, C], after a video."""
    return answer_by_layer(model, reading, questions)[-1]


def answer_by_layer(model: Model, reading: Reading, questions: Tensor) -> list[Tensor]:
    """The same after every layer, each normalised as the last one is."""
    language = model.model.language_model
    batch, count, length, width = questions.shape
    hidden = questions.reshape(batch, count * length, width)
    own = torch.arange(length).repeat(count)[None] + reading.next_position[:, None]
    cos, sin = (x[:, None] for x in language.rotary_emb(hidden, own.expand(3, batch, -1)))
    causal = torch.ones(length, length, dtype=torch.bool).triu(1)
    states: list[Tensor] = []
    for layer, (keys, values, visible) in zip(language.layers, reading.layers, strict=True):
        q, k, v = _project(layer.self_attn, layer.input_layernorm(hidden))
        q, k = _rotate(q, cos, sin), _rotate(k, cos, sin)
        groups = q.shape[1] // k.shape[1]
        shape = (batch, k.shape[1], groups, count, length, q.shape[-1])
        q = q.reshape(shape) * q.shape[-1] ** -0.5
        k, v = (x.view(batch, x.shape[1], 1, count, length, -1) for x in (k, v))
        past = q.reshape(batch, shape[1], -1, shape[-1]) @ keys.mT
        past = past.masked_fill(~visible[:, None, None], float("-inf"))
        here = (q @ k.mT).masked_fill(causal, float("-inf"))
        scores = torch.cat([past.view(*shape[:-1], -1), here], dim=-1)
        weights = scores.softmax(-1).to(values.dtype)
        seen, new = weights[..., : keys.shape[2]], weights[..., keys.shape[2] :]
        out = (seen.reshape(batch, shape[1], -1, keys.shape[2]) @ values).view(shape)
        out = (out + new @ v).reshape(batch, -1, count * length, shape[-1])
        hidden = _finish(layer, hidden, out)
        states.append(language.norm(hidden).view(batch, count, length, width))
    return states


def _project(attention: Any, hidden: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    batch, length, _ = hidden.shape
    made = (proj(hidden) for proj in (attention.q_proj, attention.k_proj, attention.v_proj))
    q, k, v = (x.view(batch, length, -1, attention.head_dim).transpose(1, 2) for x in made)
    return q, k, v


def _rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    first, second = x.chunk(2, dim=-1)
    return x * cos.to(x.dtype) + torch.cat([-second, first], dim=-1) * sin.to(x.dtype)


def _finish(layer: Any, hidden: Tensor, out: Tensor) -> Tensor:
    batch, _, length, _ = out.shape
    hidden = hidden + layer.self_attn.o_proj(out.transpose(1, 2).reshape(batch, length, -1))
    widened: Tensor = layer.mlp(layer.post_attention_layernorm(hidden))
    return hidden + widened


class _Plan:
    """PivotKV in parallel: which chunk each token is of, where it stands while its chunk is
    read, and where it stands once squeezed. Prefix text is its own, never evicted chunk."""

    def __init__(
        self,
        language: Model,
        embeds: Tensor,
        positions: Tensor,
        prefix: int,
        eviction: Eviction,
    ) -> None:
        self.eviction, self.prefix = eviction, prefix
        length = embeds.shape[1]
        step = (torch.arange(length) - prefix).clamp(min=-1) // 4
        self.chunk = torch.where(step < 0, -1, step // eviction.chunk)  # [L]
        fresh, squeezed, self.next_position = self._positions(positions)
        self.fresh = [x[:, None] for x in language.rotary_emb(embeds, fresh)]
        self.squeezed = [x[:, None] for x in language.rotary_emb(embeds, squeezed)]
        same = self.chunk[:, None] == self.chunk[None]
        self.own = same & torch.ones(length, length, dtype=torch.bool).tril()
        self.past = self.chunk[:, None] > self.chunk[None]

    def _positions(self, positions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Temporal ids while a chunk is read, after its squeeze, and the text's first id."""
        fresh, squeezed = positions.clone(), positions.clone()
        start = positions[0, :, self.prefix].clone()
        for index in range(int(self.chunk.max()) + 1):
            inside = self.chunk == index
            ids = positions[0][:, inside]
            relative = ids - ids[:, :1]
            fresh[0][:, inside] = start[:, None] + relative
            small = (relative * self.eviction.keep).floor().long()
            squeezed[0][:, inside] = start[:, None] + small
            start = start + small[:, -1] + 1
        return fresh, squeezed, torch.maximum(start, positions[1:].amax((0, 2)) + 1)

    def attend(self, q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Kept]:
        """One layer's attention output and what it leaves behind: keys, values, visibility."""
        kept = self._keep(q, k)
        groups = q.shape[1] // k.shape[1]
        here, there = _rotate(k, *self.fresh), _rotate(k, *self.squeezed)
        scaled = _rotate(q, *self.fresh) * q.shape[-1] ** -0.5
        near = scaled @ here.repeat_interleave(groups, 1).mT
        far = scaled @ there.repeat_interleave(groups, 1).mT
        far = far.masked_fill(~(self.past & kept[:, None])[:, None], float("-inf"))
        weights = torch.where(self.own, near, far).softmax(-1).to(v.dtype)
        return weights @ v.repeat_interleave(groups, 1), (there, v, kept)

    @torch.no_grad()
    def _keep(self, q: Tensor, k: Tensor) -> Tensor:
        """The tokens [B, L] that survive: of each chunk those of largest score, and all text."""
        kept = torch.ones(q.shape[0], q.shape[2], dtype=torch.bool)
        k = k.repeat_interleave(q.shape[1] // k.shape[1], 1)
        for index in range(int(self.chunk.max()) + 1):
            where = (self.chunk == index).nonzero()[:, 0]
            inside = q[:, :, where] @ k[:, :, where].mT * q.shape[-1] ** -0.5
            mass = inside.float().softmax(-1).sum(2).mean(1)  # [B, chunk]
            score = self.eviction.score(mass) if self.eviction.score else mass
            budget = max(1, int(len(where) * self.eviction.keep))
            chosen = torch.zeros_like(mass, dtype=torch.bool)
            kept[:, where] = chosen.scatter(1, score.topk(budget, dim=1).indices, value=True)
        return kept
