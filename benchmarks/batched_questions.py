"""15 questions about one watched video: one by one, and in batches.

A mid-size Qwen2-VL of random weights (hidden 512, 8 layers), a generated video of 448 × 196 of
which nothing is evicted, so that the memory holds every visual token. All answers are equally
long: random weights seldom end one. Ways are timed in turn; the memory that each adds to that of
the process is measured in a process of its own, which asks once.
"""

import argparse
import json
import sys
from pathlib import Path

import torch
from attrs import frozen

import retake
from benchmarks import harness
from benchmarks.checkpoint import mid_size
from benchmarks.fifteen_questions import QUESTIONS
from benchmarks.footage import moving_scenes

MIB = 2**20


@frozen
class Way:
    """How many questions at a time; None is all of them, 0 is `ask`, which knows no batches."""

    name: str
    batch: int | None

    def ask(self, model: retake.VideoModel, memory: retake.VideoMemory) -> list[retake.Answer]:
        """Every question's answer."""
        if self.batch == 0:
            return [model.ask(question, memory) for question in QUESTIONS]
        return model.ask_many(QUESTIONS, memory, batch=self.batch)


WAYS = (
    Way("one by one", 0),
    Way("5 at a time", 5),
    Way("all 15 at once", None),
)


def load(given: argparse.Namespace) -> retake.VideoModel:
    """The model, which evicts nothing and answers in so many tokens."""
    torch.set_num_threads(given.threads)
    return retake.load(
        mid_size(tiny=given.quick),
        compressor="none",
        selector="none",
        backend=given.backend,
        dtype=given.dtype,
        video={"fps": 25.0, "max_frames": given.frames},
        generate={"max_new_tokens": given.new_tokens},
    )


def extra_bytes(model: retake.VideoModel, memory: retake.VideoMemory, way: Way) -> int:
    """What asking adds to the memory of the device, at its highest."""
    model.backend.reset_peak_memory()
    before = model.backend.peak_memory() or 0
    way.ask(model, memory)
    return (model.backend.peak_memory() or 0) - before


def weighed(path: Path, way: Way) -> int:
    """The same in a process of its own, where nothing was asked before."""
    words = [*sys.argv[1:], "--weigh", str(path), "--way", str(WAYS.index(way))]
    peak = harness.peak_of([sys.executable, "-m", "benchmarks.batched_questions", *words])
    return int(peak.reply["extra_bytes"])


def result(
    memory: retake.VideoMemory,
    seconds: dict[str, list[float]],
    told: dict[str, list[tuple[int, ...]]],
    extra: dict[str, int],
    given: argparse.Namespace,
) -> harness.Result:
    """The table, and how it came out in sentences."""
    single, whole = WAYS[0].name, WAYS[-1].name
    table = [["", "seconds, median (range)", "faster", "same answers", "extra peak MiB"]]
    for way in WAYS:
        faster = harness.ratio(seconds[single], seconds[way.name])
        same = sum(a == b for a, b in zip(told[single], told[way.name], strict=True))
        table.append(
            [
                way.name,
                harness.median_and_spread(seconds[way.name]).text(2),
                f"{faster.text(2)}×",
                f"{same} of {len(QUESTIONS)}",
                f"{extra[way.name] / MIB:.1f}",
            ]
        )
    faster = harness.ratio(seconds[single], seconds[whole])
    held = memory.cache.nbytes()
    notes = [
        f"{len(QUESTIONS)} questions of a memory of {memory.cache.lengths()[0]:,} pairs a layer, "
        f"{given.new_tokens} tokens an answer, {given.dtype}: {faster.text(2)} times as fast in "
        "one batch as one by one.",
        f"The video's pairs take {held / MIB:.0f} MiB and are held once; copied for every row they "
        f"would add {(len(QUESTIONS) - 1) * held / MIB:.0f} MiB. “Extra” is what asking adds to "
        "the process at its highest: rows of question and answer, a block of logits, activations.",
        "A batch computes the same sums in another order, so an answer may differ where two tokens "
        "are as good as equally likely.",
    ]
    data = {"seconds": seconds, "extra_bytes": extra, "memory_bytes": held}
    return harness.Result(table, notes, data)


def main() -> None:
    """Measure, print, save."""
    parser = harness.arguments(__doc__)
    parser.add_argument("--frames", type=int, default=80, help="56 visual tokens each")
    parser.add_argument("--new-tokens", type=int, default=16, help="of each answer")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--backend", default="auto")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--weigh", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--way", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.quick:
        given.frames, given.new_tokens, given.rounds = 16, 4, 1
    model = load(given)
    if given.weigh:
        memory = retake.load_memory(given.weigh)
        print(json.dumps({"extra_bytes": extra_bytes(model, memory, WAYS[given.way])}))
        return
    width, height = (112, 56) if given.quick else (448, 196)
    memory = model.watch(moving_scenes(given.frames, width=width, height=height))
    path = memory.save(harness.CACHE / "batched_questions.retake")
    told: dict[str, list[tuple[int, ...]]] = {}

    def timed(way: Way) -> None:
        told[way.name] = [answer.token_ids for answer in way.ask(model, memory)]

    cases = {way.name: lambda way=way: timed(way) for way in WAYS}
    seconds = harness.interleaved(cases, rounds=given.rounds)
    extra = {way.name: weighed(path, way) for way in WAYS}
    path.unlink()
    harness.finish("batched_questions", result(memory, seconds, told, extra, given), given)


if __name__ == "__main__":
    main()
