"""Phase three: tower and language model learn on together, at a falling rate.

The idea: once letters and lookups are learned, what is left to gain is sight. The tower
gets its naming lessons again, on heads fitted to what it says already, while the language
model keeps answering from whatever the tower says by then.
"""

import numpy as np
import torch
from torch import nn

from training.embedded.architecture import Model
from training.embedded.batches import Writer, draw_batch
from training.embedded.footage import Footage
from training.embedded.forward import encode_steps
from training.embedded.language import (
    LAST_STAGE,
    Course,
    Helpers,
    answer_loss,
    choose_eviction,
    draw_lesson,
    helper_loss,
    run,
)
from training.embedded.report import Progress
from training.embedded.vision import CLASSES, draw_steps, naming_loss

SIGHT_RATE = 1e-3


def train_together(
    model: Model,
    footage: Footage,
    writer: Writer,
    rng: np.random.Generator,
    course: Course,
    progress: Progress,
) -> None:
    """Trains the whole model, in place."""
    tower = model.model.visual.requires_grad_(True)
    heads = fit_heads(model, footage, rng, course.samples)
    seeing = [*tower.parameters(), *heads.parameters()]
    helpers = Helpers(128, len(model.lm_head.weight))
    language = [*model.model.language_model.parameters(), *model.lm_head.parameters()]
    speaking = [*language, *helpers.parameters()]
    groups = [{"params": speaking, "lr": course.rate}, {"params": seeing, "lr": SIGHT_RATE}]
    optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.98), weight_decay=0.03)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min(1.0, (step + 1) / 30) * (1 - step / course.steps)
    )
    for step in range(course.steps):
        batch = draw_batch(draw_lesson(LAST_STAGE, course, rng), footage, writer, rng)
        eviction = choose_eviction(LAST_STAGE, rng)
        patches, targets, shares = draw_steps(footage, rng, course.sights)
        with torch.autocast("cpu", torch.bfloat16):
            named, sight = naming_loss(heads, encode_steps(model, patches), targets, shares)
            states = run(model, batch, writer, rng, eviction)
            loss, right = answer_loss(model, states[-1], batch)
            loss = loss + helper_loss(helpers, states, batch)
        optimizer.zero_grad()
        torch.autograd.backward(named + loss)
        nn.utils.clip_grad_norm_(seeing, 1.0)
        nn.utils.clip_grad_norm_(speaking, 1.0)
        optimizer.step()
        schedule.step()
        progress.log("sight", step, course.steps, named.item(), sight)
        progress.log("together", step, course.steps, loss.item(), right)


@torch.no_grad()
def fit_heads(
    model: Model, footage: Footage, rng: np.random.Generator, batches: int
) -> nn.ModuleList:
    """Naming heads that read the tower as it is: least squares, scaled up to be logits."""
    seen: list[torch.Tensor] = []
    wanted: list[list[torch.Tensor]] = []
    for _ in range(batches):
        patches, targets, _ = draw_steps(footage, rng)
        seen.append(encode_steps(model, patches).flatten(0, 1))
        wanted.append([target.repeat_interleave(4, dim=0) for target in targets])
    inputs = torch.cat(seen)
    inputs = torch.cat([inputs, torch.ones(len(inputs), 1)], dim=1)
    gram = inputs.T @ inputs + 1e-2 * len(inputs) * torch.eye(inputs.shape[1])
    heads = nn.ModuleList()
    for index, classes in enumerate(CLASSES):
        target = torch.cat([batch[index] for batch in wanted])
        solution = torch.linalg.solve(gram, inputs.T @ target) * 6
        head = nn.Linear(inputs.shape[1] - 1, classes)
        head.weight.copy_(solution[:-1].T)
        head.bias.copy_(solution[-1])
        heads.append(head)
    return heads
