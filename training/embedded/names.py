"""A running start for the language model: words begin where the tower's names are.

The idea: finding "star" in a video means matching a word with visual tokens, and telling
its colour means passing a visual token on. So the words for shapes and colours start as
the directions in which the tower names them, queries start equal to keys (like finds
like), and attention's output starts as a copy of what was found. Everything is trained
from there; it saves most of an hour of waiting for the first match.
"""

import numpy as np
import torch
from torch import Tensor

from retake.datasets.scenes.world import COLOURS, SHAPES
from training.embedded.architecture import Model
from training.embedded.batches import Writer
from training.embedded.footage import Footage
from training.embedded.forward import encode_steps
from training.embedded.vision import NONE, draw_steps

COPY = 0.5  # how much of what was found attention passes on at first


@torch.no_grad()
def start_from_names(
    model: Model, footage: Footage, writer: Writer, rng: np.random.Generator, batches: int
) -> None:
    """Sets the initial words, queries and outputs of a language model, in place."""
    embeddings = model.model.language_model.embed_tokens.weight
    for name, direction in _directions(model, footage, rng, batches).items():
        scaled = direction / direction.norm() * embeddings.shape[1] ** 0.5
        embeddings[writer.encode(name)[0]] = scaled
    model.lm_head.weight.copy_(embeddings / embeddings.shape[1] ** 0.5)
    for layer in model.model.language_model.layers:
        _like_finds_like(layer.self_attn)


def _directions(
    model: Model, footage: Footage, rng: np.random.Generator, batches: int
) -> dict[str, Tensor]:
    """For each shape and colour, the mean visual token of its cards, and half its scenes'."""
    tokens, labels = [], []
    for _ in range(batches):
        patches, targets, _ = draw_steps(footage, rng)
        tokens.append(encode_steps(model, patches).mean(1))
        labels.append(torch.stack([target.argmax(-1) for target in targets], dim=1))
    seen, known = torch.cat(tokens), torch.cat(labels)  # [S, C], [S, 4]
    bare, carded = known[:, 2] == NONE, known[:, 2] != NONE
    found = {}
    for scene_head, card_head, names in ((0, 2, SHAPES), (1, 3, COLOURS)):
        for index, name in enumerate(names):
            card = seen[carded & (known[:, card_head] == index)].mean(0) - seen[carded].mean(0)
            scene = seen[bare & (known[:, scene_head] == index)].mean(0) - seen[bare].mean(0)
            found[name] = card / card.norm() + 0.5 * scene / scene.norm()
    return found


def _like_finds_like(attention: Model) -> None:
    """Queries equal to their group's keys; outputs the transpose of the values."""
    groups, size = attention.num_key_value_groups, attention.head_dim
    keys, values = attention.k_proj.weight, attention.v_proj.weight
    per_head = [w.view(-1, size, w.shape[1]).repeat_interleave(groups, 0) for w in (keys, values)]
    attention.q_proj.weight.copy_(per_head[0].flatten(0, 1))
    attention.o_proj.weight.copy_(COPY * per_head[1].flatten(0, 1).T)
