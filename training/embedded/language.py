"""Phase two: the language model learns to find, to tell and to choose a letter.

The idea: videos grow from 4 to 64 steps as answers get better; positions are sometimes
stretched or squeezed, so that longer videos and renumbered caches look familiar; at last, in
a third of the lessons, the model reads with its own keys evicted, as it will be used. Extra
losses, whose heads are thrown away, make it learnable: the plain answer where the thing
asked about is named and at the question's end, and at each option its letter and whether it
is right.
"""

import attrs
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from retake.datasets.scenes.questions import KINDS
from training.embedded.architecture import TRAINED_STEPS, Model
from training.embedded.batches import PREFIX, Batch, Lesson, Writer, draw_batch
from training.embedded.footage import Footage
from training.embedded.forward import Eviction, answer_by_layer, encode_steps, read_video
from training.embedded.names import start_from_names
from training.embedded.pixels import patchify
from training.embedded.report import Progress


@attrs.frozen
class Course:
    """How long phase two is and how much is asked at once."""

    steps: int = 850
    videos: int = 16
    questions: int = 8
    longest: int = TRAINED_STEPS
    rate: float = 2e-3
    samples: int = 8  # batches that starting points are fitted to
    sights: int = 160  # steps of video to name at once, once the tower learns again


@attrs.frozen
class Stage:
    """What is taught until the grade exceeds the goal, or a share of the course is over.

    Attributes:
        steps: the shortest and longest video.
        goal, until: the running share of right answers that ends the stage; at the latest
            it ends after this share of the course.
        open_share, copy_share, kinds: see `Lesson`.
        varied, evicted: shares of the lessons with varied wordings, and with eviction.
    """

    steps: tuple[int, int]
    goal: float
    until: float
    open_share: float
    kinds: tuple[str, ...] = KINDS
    copy_share: float = 0.0
    varied: float = 1.0
    evicted: float = 0.0


LOOKUPS = ("needle_colour", "needle_shape", "scene_colour", "scene_shape")
STAGES = (
    Stage((8, 16), 0.8, 0.25, 0.6, LOOKUPS, copy_share=0.2, varied=0.0),
    Stage((8, 16), 0.8, 0.6, 0.4, copy_share=0.1, varied=0.3),
    Stage((8, 24), 0.85, 0.85, 0.3, copy_share=0.05),
    Stage((8, TRAINED_STEPS), 1.0, 1.0, 0.2, evicted=0.3),
)
LAST_STAGE = Stage((8, TRAINED_STEPS), 1.0, 1.0, 0.08, varied=0.6, evicted=0.2)


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
    start_from_names(model, footage, writer, rng, course.samples)
    helpers = Helpers(128, len(model.lm_head.weight))
    weights = [p for p in model.parameters() if p.requires_grad] + [*helpers.parameters()]
    optimizer = torch.optim.AdamW(weights, lr=course.rate, betas=(0.9, 0.98), weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(1, (step + 1) / 60))
    stage, grade = 0, 0.0
    for step in range(course.steps):
        batch = draw_batch(draw_lesson(STAGES[stage], course, rng), footage, writer, rng)
        eviction = choose_eviction(STAGES[stage], rng)
        with torch.autocast("cpu", torch.bfloat16):
            states = run(model, batch, writer, rng, eviction)
            loss, right = answer_loss(model, states[-1], batch)
            loss = loss + helper_loss(helpers, states, batch)
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        schedule.step()
        progress.log(f"language, stage {stage}", step, course.steps, loss.item(), right)
        grade = 0.95 * grade + 0.05 * right
        if stage + 1 < len(STAGES) and (
            grade > STAGES[stage].goal or step + 1 >= STAGES[stage].until * course.steps
        ):
            stage, grade = stage + 1, 0.0


def run(
    model: Model,
    batch: Batch,
    writer: Writer,
    rng: np.random.Generator,
    eviction: Eviction | None,
) -> list[Tensor]:
    """Hidden states of a batch's questions after every layer, [B, Q, M, C] each."""
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
    return answer_by_layer(model, reading, embed(batch.ids[:, :, :-1]))


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


def draw_lesson(stage: Stage, course: Course, rng: np.random.Generator) -> Lesson:
    """One lesson of a stage."""
    low, high = (min(bound, course.longest) for bound in stage.steps)
    return Lesson(
        steps=int(np.exp(rng.uniform(np.log(low), np.log(high + 0.99)))),
        videos=course.videos,
        questions=course.questions,
        kinds=stage.kinds,
        varied=bool(rng.random() < stage.varied),
        open_share=stage.open_share,
        copy_share=stage.copy_share,
    )


def choose_eviction(stage: Stage, rng: np.random.Generator) -> Eviction | None:
    """In some lessons a quarter to a half of the keys are kept, in chunks of some length."""
    if rng.random() > stage.evicted:
        return None
    return Eviction(keep=float(rng.choice([0.25, 0.25, 0.5])), chunk=int(rng.choice([8, 16, 32])))


def answer_loss(model: Model, hidden: Tensor, batch: Batch) -> tuple[Tensor, float]:
    """The loss of the answers and their ends, and the share of answers that are right."""
    flat = hidden.flatten(0, 1)  # [B × Q, M, C]
    rows = torch.arange(flat.shape[0])
    at, answers = batch.answer_at.flatten(), batch.answers.flatten()
    logits = model.lm_head(flat[rows, at]).float()
    end = model.lm_head(flat[rows, at + 1]).float()
    stop = batch.ids.flatten(0, 1)[rows, at + 2]
    loss = F.cross_entropy(logits, answers) + 0.1 * F.cross_entropy(end, stop)
    return loss, float((logits.argmax(-1) == answers).float().mean())


def helper_loss(helpers: Helpers, states: list[Tensor], batch: Batch) -> Tensor:
    """The plain answer at the question's end, two layers before the last; one layer later,
    letter and truth at every option. So each step of reasoning has a layer to build on."""
    early, late = (state.flatten(0, 1) for state in states[-3:-1])
    rows = torch.arange(early.shape[0])
    places = torch.stack([batch.ask_at.flatten(), batch.thing_at.flatten()])
    direct = helpers.direct(early[rows, places]).float()  # [2, B × Q, words]
    row, where, letter, right = batch.options.T
    options = late[row, where]
    loss = 2 * F.cross_entropy(direct.flatten(0, 1), batch.direct.flatten().repeat(2))
    loss = loss + 0.3 * F.cross_entropy(helpers.letter(options).float(), letter)
    return loss + F.cross_entropy(helpers.right(options).float(), right)
