"""Phase one: the vision tower learns to name what a temporal step shows.

The idea: with four small heads per visual token (object and colour of the scene, object
and colour of the card or none), the tower learns in minutes what the language model's
loss would teach it in hours. Then the heads go, the tower's outputs are scaled to zero
mean and unit variance, and it is frozen.
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from retake.datasets.scenes.render import CardView, SceneView
from retake.datasets.scenes.world import COLOURS, SHAPES, Needle, Scene
from training.embedded.architecture import SIDE, Model
from training.embedded.footage import Footage, hold
from training.embedded.forward import encode_steps
from training.embedded.pixels import patchify
from training.embedded.report import Progress

NONE = 8  # the class of "no card here"
CLASSES = (8, 8, 9, 9)  # object and colour of the scene, object and colour of the card
STEPS = 320  # a batch
CARD_SHARE, CUT_SHARE, FRESH_SHARE = 0.55, 0.1, 0.6


def train_vision(
    model: Model,
    footage: Footage,
    rng: np.random.Generator,
    *,
    steps: int,
    progress: Progress,
    batch: int = STEPS,
) -> None:
    """Trains the vision tower in place, on so many steps at once, and freezes it."""
    tower = model.model.visual
    heads = nn.ModuleList([nn.Linear(128, classes) for classes in CLASSES])
    weights = [*tower.parameters(), *heads.parameters()]
    optimizer = torch.optim.AdamW(weights, lr=2e-3, betas=(0.9, 0.98), weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=2e-3, total_steps=steps + 1, pct_start=0.1
    )
    for step in range(steps):
        patches, targets, shares = draw_steps(footage, rng, batch)
        with torch.autocast("cpu", torch.bfloat16):
            tokens = encode_steps(model, patches).float()
            loss, right = naming_loss(heads, tokens, targets, shares)
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        schedule.step()
        progress.log("vision", step, steps, loss.item(), right)
    _standardise(model, footage, rng)
    tower.requires_grad_(False)


def draw_steps(
    footage: Footage, rng: np.random.Generator, count: int = STEPS
) -> tuple[Tensor, list[Tensor], Tensor]:
    """Patches of steps that have nothing to do with one another, four class targets
    [S, classes], and scene weights [S]."""
    pictures = np.empty((count, 2, SIDE, SIDE, 3), dtype=np.uint8)
    labels = np.full((count, 2, 4), NONE)
    for picture, label in zip(pictures, labels, strict=True):
        _draw_step(picture, label, footage, rng)
    known = torch.from_numpy(labels)
    card = known[:, :, 2] != NONE
    scene_weight = (~card).float() / (~card).sum(1, keepdim=True).clamp(min=1)
    first = torch.where(card[:, :1], known[:, 0], known[:, 1])  # the frame with a card, if any
    targets = [(F.one_hot(known[..., head], 8) * scene_weight[..., None]).sum(1) for head in (0, 1)]
    targets += [F.one_hot(first[:, head], 9).float() for head in (2, 3)]
    return patchify(torch.from_numpy(pictures).flatten(0, 1)), targets, (~card).any(1).float()


def _draw_step(
    picture: np.ndarray, label: np.ndarray, footage: Footage, rng: np.random.Generator
) -> None:
    """Fills one step's two frames [2, 56, 56, 3] and their labels [2, 4], in place."""
    kinds = rng.integers(8, size=(2, 2))
    picture[:] = _pair(footage, SHAPES[kinds[0, 0]], COLOURS[kinds[0, 1]], rng)
    if rng.random() < CUT_SHARE:
        picture[1] = _pair(footage, SHAPES[kinds[1, 0]], COLOURS[kinds[1, 1]], rng)[0]
    else:
        kinds[1] = kinds[0]
    label[:, :2] = kinds
    if rng.random() < CARD_SHARE:
        shape, colour = (int(x) for x in rng.integers(8, size=2))
        needle = Needle(0, 1, SHAPES[shape], COLOURS[colour], int(rng.integers(2**31)))
        shown = [[0, 1], [0, 1], [0], [1]][int(rng.integers(4))]
        hold(CardView(needle, SIDE), picture, shown, rng)
        label[shown, 2:] = shape, colour
    gain, lift = rng.uniform(0.9, 1.08), rng.uniform(-8, 8)  # another exposure
    picture[:] = np.clip(picture * np.float32(gain) + np.float32(lift), 0, 255).astype(np.uint8)


def _pair(footage: Footage, shape: str, colour: str, rng: np.random.Generator) -> np.ndarray:
    """Two neighbouring frames [2, 56, 56, 3]: as filmed, or on a background never seen before."""
    if rng.random() < FRESH_SHARE:
        view = SceneView(Scene(0, 8, shape, colour, int(rng.integers(2**31))), SIDE)
        start = float(rng.uniform(0, 60))
        noise = rng.normal(0, rng.uniform(0.3, 2.5), (2, SIDE, SIDE, 1))
        drawn = np.stack([view.draw(start), view.draw(start + 0.5)])
        return np.clip(drawn + noise + 0.5, 0, 255).astype(np.uint8)
    strip = footage.scene(shape, colour, rng)
    at = int(rng.integers(len(strip) - 1))
    return strip[at : at + 2]


def naming_loss(
    heads: nn.ModuleList, tokens: Tensor, targets: list[Tensor], scene_weight: Tensor
) -> tuple[Tensor, float]:
    total, right = tokens.new_zeros(()), []
    for index, (head, target) in enumerate(zip(heads, targets, strict=True)):
        weight = scene_weight if index < 2 else torch.ones_like(scene_weight)
        logits = head(tokens).float()  # [S, N, classes]
        wanted = target[:, None].expand_as(logits)
        each = -(wanted * logits.log_softmax(-1)).sum(-1).mean(1)
        total = total + (each * weight).sum() / weight.sum().clamp(min=1)
        hit = (logits.mean(1).argmax(-1) == target.argmax(-1)).float() * weight
        right.append(hit.sum() / weight.sum().clamp(min=1))
    return total, float(torch.stack(right).mean())


@torch.no_grad()
def _standardise(model: Model, footage: Footage, rng: np.random.Generator) -> None:
    """Bakes zero mean and unit variance into the merger's last matrix."""
    tokens = encode_steps(model, draw_steps(footage, rng)[0]).flatten(0, 1)
    mean, std = tokens.mean(0), tokens.std(0).clamp(min=1e-3)
    last = model.model.visual.merger.mlp[-1]
    last.weight.div_(std[:, None])
    last.bias.sub_(mean).div_(std)
