"""Measures the embedded model on fresh mp4 files: `python -m training.evaluate`.

The idea: nothing is assumed of the film used in training. Every clip is drawn from the
test split, encoded as H.264, decoded, sampled at 2 frames a second and read once; every
question is answered by the most likely token of the whole vocabulary. With `--card` the
table is written into the model card.
"""

import argparse
import math
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import torch
from torch import Tensor
from transformers import AutoTokenizer, Qwen2VLConfig, Qwen2VLForConditionalGeneration

from retake.datasets.scenes.clip import decode, make_clip
from retake.datasets.scenes.questions import KINDS, NEEDLE_KINDS, Question, ask
from retake.datasets.scenes.world import stream
from training.embedded.__main__ import CHECKPOINT
from training.embedded.architecture import TRAINED_STEPS, Model
from training.embedded.batches import PLAIN, PREFIX, Writer
from training.embedded.forward import Eviction, answer, encode_steps, read_video
from training.embedded.language import place
from training.embedded.pixels import patchify, resize

FINAL_SEED = 2_000_000  # the table's clips; development looked at other seeds only
MARKS = ("<!-- accuracy -->", "<!-- /accuracy -->")
Counts = dict[str, list[int]]


@attrs.frozen
class Setting:
    """One column of the table: a length, a RoPE setting, and what of the cache is kept."""

    times: int
    yarn: bool = False
    keep: float = 1.0
    by: str = "attention mass"
    open: bool = False

    @property
    def title(self) -> str:
        """How the column is headed."""
        parts = [f"{TRAINED_STEPS * self.times} s"]
        parts += ["YaRN ×4"] if self.yarn else []
        parts += ["open"] if self.open else []
        parts += [f"{self.keep:g} kept by {self.by}"] if self.keep < 1 else []
        return ", ".join(parts)


SETTINGS = (
    Setting(1),
    Setting(1, open=True),
    Setting(2),
    Setting(4),
    Setting(4, yarn=True),
    Setting(1, keep=0.25),
    Setting(1, keep=0.25, by="chance"),
    Setting(4, keep=0.25),
    Setting(4, keep=0.25, by="chance"),
)


def load(folder: Path, yarn: bool) -> Model:
    """The checkpoint in fp32, with YaRN ×4 if asked for."""
    config: Any = Qwen2VLConfig.from_pretrained(folder)
    if yarn:
        config.text_config.rope_parameters |= {
            "rope_type": "yarn",
            "factor": 4.0,
            "original_max_position_embeddings": TRAINED_STEPS + 64,
        }
    model: Model = Qwen2VLForConditionalGeneration.from_pretrained(
        folder, config=config, dtype=torch.float32
    )
    return model.eval()


@torch.no_grad()
def watched(model: Model, path: Path, every: int = 2) -> Tensor:
    """The visual tokens [T, 4, C] of an mp4 file, of which every n-th frame is sampled."""
    sampled = [frame for index, frame in enumerate(decode(path)) if index % every == 0]
    frames = torch.cat([resize(torch.from_numpy(frame)[None]) for frame in sampled])
    return encode_steps(model, patchify(frames))


def filmed(seconds: int, seed: int, model: Model) -> tuple[Tensor, list[Question]]:
    """A fresh clip's visual tokens from its mp4 file, and two questions of each kind."""
    with tempfile.TemporaryDirectory() as folder:
        clip = make_clip(Path(folder) / "clip.mp4", seconds=seconds, seed=seed)
        tokens = watched(model, clip.path)
    questions = ask(clip.script, stream("test", seed, 1), kinds=KINDS * 2)
    return tokens, list(dict.fromkeys(questions))


@torch.no_grad()
def replies(
    model: Model,
    writer: Writer,
    tokens: Tensor,
    questions: list[Question],
    setting: Setting,
) -> Iterator[bool]:
    """Whether each question is answered rightly."""
    embed = model.model.language_model.embed_tokens
    prefix = embed(torch.tensor(writer.encode(PREFIX)))
    embeds = torch.cat([prefix, tokens.flatten(0, 1)])[None]
    positions = place(len(prefix), tokens.shape[0])[:, None]
    blind = torch.rand_like if setting.by == "chance" else None
    eviction = Eviction(setting.keep, score=blind) if setting.keep < 1 else None
    reading = read_video(model, embeds, positions, len(prefix), eviction)
    rng = np.random.default_rng(0)
    for question in questions:
        line = writer.line(question, PLAIN, setting.open, rng)
        hidden = answer(model, reading, embed(torch.tensor(line.ids[:-2]))[None, None])
        yield int(model.lm_head(hidden[0, 0, -1]).argmax()) == line.answer


def measure(
    folder: Path, videos: int, settings: tuple[Setting, ...] = SETTINGS, seed: int = FINAL_SEED
) -> dict[Setting, Counts]:
    """Right answers and questions asked, per setting and kind."""
    torch.manual_seed(seed)
    models = {yarn: load(folder, yarn) for yarn in (False, True)}
    writer = Writer(AutoTokenizer.from_pretrained(folder))
    counts: dict[Setting, Counts] = {s: defaultdict(lambda: [0, 0]) for s in settings}
    for times in sorted({setting.times for setting in settings}):
        for index in range(videos):
            tokens, questions = filmed(
                TRAINED_STEPS * times, seed + 1000 * times + index, models[False]
            )
            for setting in (s for s in settings if s.times == times):
                right = replies(models[setting.yarn], writer, tokens, questions, setting)
                for question, hit in zip(questions, right, strict=True):
                    for kind in (question.kind, *_groups(question.kind)):
                        counts[setting][kind][0] += hit
                        counts[setting][kind][1] += 1
    return counts


def _groups(kind: str) -> tuple[str, ...]:
    return ("all needle kinds",) if kind in NEEDLE_KINDS else ()


def interval(right: int, asked: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share."""
    z, share = 1.96, right / asked
    centre = share + z * z / (2 * asked)
    reach = z * math.sqrt(share * (1 - share) / asked + z * z / (4 * asked * asked))
    return (centre - reach) / (1 + z * z / asked), (centre + reach) / (1 + z * z / asked)


def table(counts: dict[Setting, Counts]) -> str:
    """A Markdown table: kinds down, settings across, percent with interval and questions."""
    lines = [
        "| kind | " + " | ".join(setting.title for setting in counts) + " |",
        "|---|" + "---|" * len(counts),
    ]
    for kind in ("all needle kinds", *KINDS):
        cells = [_cell(*counts[setting][kind]) for setting in counts]
        lines.append(f"| {kind} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cell(right: int, asked: int) -> str:
    if not asked:
        return "–"
    low, high = interval(right, asked)
    return f"{100 * right / asked:.1f} ({100 * low:.0f}–{100 * high:.0f}; {asked})"


def write_card(card: Path, text: str) -> None:
    """Puts the table between the card's marks."""
    before, rest = card.read_text(encoding="utf-8").split(MARKS[0])
    after = rest.split(MARKS[1])[1]
    card.write_text(f"{before}{MARKS[0]}\n{text}\n{MARKS[1]}{after}", encoding="utf-8")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m training.evaluate", description=__doc__)
    parser.add_argument("--checkpoint", type=Path, default=CHECKPOINT)
    parser.add_argument("--videos", type=int, default=60, help="clips of each length")
    parser.add_argument("--seed", type=int, default=FINAL_SEED)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--card", action="store_true", help="write the table into the card")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    text = table(measure(options.checkpoint, options.videos, seed=options.seed))
    print(text)
    if options.card:
        write_card(options.checkpoint / "README.md", text)


if __name__ == "__main__":
    main()
