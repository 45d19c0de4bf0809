"""Phase two: the language model learns to find, to tell and to choose a letter.

The idea: videos grow from 4 to 64 steps; positions are sometimes stretched or squeezed, so
that longer videos and renumbered caches look familiar; and in a share of the batches the
model reads with its own keys evicted, as it will be used. Three extra losses, whose heads
are thrown away, make letters learnable: the plain answer at the question's end, and at
each option its letter and whether it is right.
"""

import attrs
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.embedded.architecture import TRAINED_STEPS, Model
from training.embedded.batches import PREFIX, Batch, Lesson, Writer, draw_batch
from training.embedded.footage import Footage
from training.embedded.forward import Eviction, answer, encode_steps, read_video
from training.embedded.pixels import patchify
from training.embedded.report import Progress


@attrs.frozen
class Course:
    """How long phase two is and how much is asked at once."""

    steps: int = 1000
    videos: int = 16
    questions: int = 8
    longest: int = TRAINED_STEPS
    rate: float = 2e-3


class Helpers(nn.Module):
    """Heads used in training only."""

    def __init__(self, width: int, words: int) -> None:
        super().__init__()
        self.direct = nn.Linear(width, words)
        self.letter = nn.Linear(width, 8)
        self.right = nn.Linear(width, 2)


def train_language(
    model: Model,
    footage: Footage,
    writer: Writer,
    rng: np.random.Generator,
    course: Course,
    progress: Progress,
) -> None:
    """Trains everything but the vision tower, in place."""
    helpers = Helpers(128, model.config.text_config.vocab_size)
    weights = [p for p in model.parameters() if p.requires_grad] + [*helpers.parameters()]
    optimizer = torch.optim.AdamW(weights, lr=course.rate, betas=(0.9, 0.98), weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _rate(step, course.steps))
    for step in range(course.steps):
        done = step / course.steps
        batch = draw_batch(_lesson(done, course, rng), footage, writer, rng)
        eviction = _eviction(done, rng)
        with torch.autocast("cpu", torch.bfloat16):
            hidden = run(model, batch, writer, rng, eviction)
            loss, right = _loss(model, helpers, hidden, batch)
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        schedule.step()
        progress.log("language", step, course.steps, loss.item(), right)


def run(
    model: Model,
    batch: Batch,
    writer: Writer,
    rng: np.random.Generator,
    eviction: Eviction | None,
) -> Tensor:
    """Last hidden states of a batch's questions, [B, Q, M, C]."""
    videos = batch.frames.shape[0]
    embed = model.model.language_model.embed_tokens
    with torch.no_grad():
        tokens = encode_steps(model, patchify(batch.frames.flatten(0, 1)))
    prefix = embed(torch.tensor(writer.encode(PREFIX))).expand(videos, -1, -1)
    embeds = torch.cat([prefix, tokens.float().reshape(videos, -1, tokens.shape[-1])], dim=1)
    steps = batch.frames.shape[1] // 2
    positions = torch.stack(
        [place(prefix.shape[1], steps, stretch) for stretch in _stretches(videos, rng)], dim=1
    )
    reading = read_video(model, embeds, positions, prefix.shape[1], eviction)
    return answer(model, reading, embed(batch.ids[:, :, :-1]))


def place(prefix: int, steps: int, stretch: float = 1.0) -> Tensor:
    """Qwen2-VL's own positions [3, prefix + 4 × steps] of text, then video of 2 × 2 tokens."""
    text = torch.arange(prefix).expand(3, -1)
    grid = torch.cartesian_prod(torch.arange(steps), torch.arange(2), torch.arange(2)).T.clone()
    grid[0] = (grid[0] * stretch).floor().long()
    return torch.cat([text, prefix + grid], dim=1)


def _stretches(videos: int, rng: np.random.Generator) -> list[float]:
    """Half the videos as they are; the rest with time squeezed or stretched up to four times."""
    factors = np.exp(rng.uniform(np.log(0.25), np.log(4), videos))
    return [float(f) if rng.random() < 0.5 else 1.0 for f in factors]


def _rate(step: int, steps: int) -> float:
    """Warm-up, flat for three tenths, then a cosine to zero."""
    warm, flat = min(100, steps // 10 + 1), 0.3 * steps
    if step < flat:
        return min(1.0, (step + 1) / warm)
    return 0.5 * (1 + float(np.cos(np.pi * (step - flat) / (steps - flat))))


def _lesson(done: float, course: Course, rng: np.random.Generator) -> Lesson:
    """What to teach when a share of the course is done."""
    low, high = (4, 12) if done < 0.12 else (8, 24) if done < 0.3 else (12, course.longest)
    steps = int(rng.integers(min(low, course.longest), min(high, course.longest) + 1))
    return Lesson(
        steps=steps,
        videos=course.videos,
        questions=course.questions,
        open_share=1.0 if done < 0.06 else 0.5 if done < 0.2 else 0.25,
        copy_share=0.15 if done < 0.4 else 0.0,
    )


def _eviction(done: float, rng: np.random.Generator) -> Eviction | None:
    """In the second half, a third of the batches are read with a quarter to a half kept."""
    if done < 0.45 or rng.random() > 0.33:
        return None
    return Eviction(keep=float(rng.choice([0.25, 0.25, 0.5])), chunk=int(rng.choice([8, 16, 32])))


def _loss(model: Model, helpers: Helpers, hidden: Tensor, batch: Batch) -> tuple[Tensor, float]:
    flat = hidden.flatten(0, 1)  # [B × Q, M, C]
    rows = torch.arange(flat.shape[0])
    at, answers = batch.answer_at.flatten(), batch.answers.flatten()
    logits = model.lm_head(flat[rows, at]).float()
    end = model.lm_head(flat[rows, at + 1]).float()
    stop = batch.ids.flatten(0, 1)[rows, at + 2]
    loss = F.cross_entropy(logits, answers) + 0.1 * F.cross_entropy(end, stop)
    direct = helpers.direct(flat[rows, batch.ask_at.flatten()]).float()
    loss = loss + F.cross_entropy(direct, batch.direct.flatten())
    row, where, letter, right = batch.options.T
    chosen = flat[row, where]
    loss = loss + 0.3 * F.cross_entropy(helpers.letter(chosen).float(), letter)
    loss = loss + F.cross_entropy(helpers.right(chosen).float(), right)
    return loss, float((logits.argmax(-1) == answers).float().mean())
