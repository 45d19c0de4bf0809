"""GPU hours and memory of each row of the paper's main table. ESTIMATES: none of it was run.

Operations and bytes are computed from the true 7B shapes (`benchmarks/estimating.py`, which
`python -m benchmarks.reproduce_check` holds against `retake bench`). They become hours by the peak
rates of data sheets and an assumed share of them; how long videos are is taken from the benchmarks'
own statistics, evenly spread. Decoding is measured here on a generated film.

    python -m benchmarks.reproduce_estimates [--quick]
"""

import itertools
import time
from collections.abc import Sequence
from typing import Any

from attrs import asdict, field, frozen

from benchmarks import decoding, harness
from benchmarks.estimating import (
    Bytes,
    Plan,
    Shape,
    Work,
    first_token,
    llava_video,
    memory,
    qwen2_vl,
    watching,
)
from retake import presets
from retake.core.config import RunConfig, structure
from retake.video import open_video

# Frames of 16 : 9 whose longer side is 448, rounded to 28: 252 x 448 pixels.
_GRID = (18, 32)
# The chat template's own tokens before a video; a question with its options; an answer.
_PREFIX, _QUESTION, _ANSWER = 15, 150, 2
# Pairs that the arena has for an answer at most.
_ROOM = 128
# Of peak: what prefill of a 7B model reaches is assumed to lie between.
_SHARES = (0.2, 0.5)
# Of bandwidth, for tokens after the first.
_READING = 0.6
# Temporaries, as a multiple of the activations that the formula knows: `reproduce_check` found
# 76 MiB beyond its 42. Then the CUDA context, and what an allocator leaves between.
_TEMPORARIES = 3
_BESIDE, _SLACK = 2**30, 1.1
_FILM_RATE = 30
# Of the generated film, from one sampled frame to the next: about 2 a second.
_SAMPLED = 12
_STEPS = 50


@frozen
class Group:
    """Videos of a benchmark whose lengths are taken to be evenly spread.

    Attributes:
        videos: how many.
        low, high: seconds of the shortest and the longest.
    """

    videos: int
    low: float
    high: float

    def lengths(self) -> list[float]:
        """Lengths that stand for all."""
        span = self.high - self.low
        return [self.low + span * (number + 0.5) / _STEPS for number in range(_STEPS)]


@frozen
class Asked:
    """A benchmark as far as its cost depends on it.

    Attributes:
        title: as the paper calls it.
        questions: that are answered by a letter.
        mean_seconds: of its videos, as published; said beside that of the groups, which counts.
        groups: of its videos.
        source: of these numbers.
    """

    title: str
    questions: int
    mean_seconds: float
    groups: Sequence[Group]
    source: str

    @property
    def videos(self) -> int:
        """How many there are."""
        return sum(group.videos for group in self.groups)

    @property
    def seconds(self) -> float:
        """Of all of them together, as the groups have it."""
        return sum(group.videos * (group.low + group.high) / 2 for group in self.groups)


BENCHMARKS = {
    "videomme": Asked(
        "VideoMME",
        2700,
        1018,
        (Group(300, 11, 120), Group(300, 240, 900), Group(300, 1800, 3600)),
        "arXiv 2405.21075: 11 s to 2 min, 4 to 15, 30 to 60",
    ),
    "mlvu": Asked(
        "MLVU",
        2174,
        930,
        (Group(1242, 180, 1680),),
        "arXiv 2406.04264 (the mean, of dev and test); dev's choices",
    ),
    "longvideobench": Asked(
        "LongVideoBench",
        1337,
        473,
        (Group(106, 8, 15), Group(97, 15, 60), Group(232, 180, 600), Group(317, 900, 3600)),
        "arXiv 2407.15754 (the mean, of val and test); val's videos as its questions per group",
    ),
    "lvbench": Asked(
        "LVBench", 1549, 4101, (Group(103, 1800, 6402),), "arXiv 2406.08035: above 30 min"
    ),
}


@frozen
class Card:
    """A GPU by its data sheet.

    Attributes:
        flops: bfloat16 operations a second, dense.
        bandwidth: bytes of its memory read a second.
    """

    flops: float
    bandwidth: float


CARDS = {"A100 80 GB": Card(312e12, 2.0e12), "H100 SXM": Card(989e12, 3.35e12)}
_FAST = "H100 SXM"


@frozen
class Estimate:
    """A row of the paper's table, estimated.

    Attributes:
        preset: by which it is run.
        frames: a video, the mean.
        longest: operations of watching the longest video.
        operations: of all videos and questions.
        anew: of the same, every video watched anew for each question.
        hours: of each card, at the better and the worse share of its peak.
        hours_anew: of each card at the worse share, watched anew.
        decoding: core hours, every frame of every video decoded once.
        memory: on the card, at the highest moment.
    """

    preset: str
    frames: float
    longest: Work
    operations: float
    anew: float
    memory: Bytes
    decoding: float
    hours: dict[str, tuple[float, float]] = field(factory=dict)
    hours_anew: dict[str, float] = field(factory=dict)

    def cores(self, card: str) -> tuple[float, float]:
        """So many decode as fast as a card watches, at the worse and the better share."""
        best, worst = self.hours[card]
        return self.decoding / worst, self.decoding / best

    @property
    def gib(self) -> float:
        """Memory with what lies beside it, in GiB."""
        needed = self.memory.total + (_TEMPORARIES - 1) * self.memory.activations
        return (needed * _SLACK + _BESIDE) / 2**30


def frames_of(config: RunConfig, seconds: float, pace: int) -> int:
    """Frames sampled of a video of such a length; as many as fill whole steps."""
    video = config.video
    most = video.max_frames or round(seconds * 1000)
    count = most if video.fps is None else min(most, int(seconds * video.fps))
    return max(pace, count // pace * pace)


def plan_of(config: RunConfig, shape: Shape, frames: int, closing: int) -> Plan:
    """How so many frames are watched."""
    pace = shape.tower.frames
    return Plan(
        steps=frames // pace,
        chunk_steps=config.prefill.chunk_frames // pace,
        prefix=_PREFIX,
        closing=closing,
        reserve=_QUESTION,
        budget=config.prefill.budget,
    )


def estimate(family: str, name: str, shape: Shape, rate: float) -> Estimate:
    """A row.

    Args:
        family: of the preset.
        name: of the preset: a benchmark's, with "-baseline" for the full cache.
        shape: of the model.
        rate: frames that a core decodes a second.
    """
    asked = BENCHMARKS[name.removesuffix("-baseline")]
    config = structure(RunConfig, presets.load(f"{family}/{name}"), "configuration key")
    closing = int(family == "llava-video")
    each = asked.questions / asked.videos
    frames = watched = answered = 0.0
    tokens_read: list[int] = []
    longest = plan_of(config, shape, shape.tower.frames, closing)
    for group in asked.groups:
        for seconds in group.lengths():
            count = frames_of(config, seconds, shape.tower.frames)
            plan = plan_of(config, shape, count, closing)
            work = watching(shape, plan)
            weight = group.videos / _STEPS
            frames += weight * count
            watched += weight * work.total
            cached = plan.text + work.kept
            answered += weight * each * first_token(shape, cached, _QUESTION)
            tokens_read.append(cached)
            longest = max(longest, plan, key=lambda plan: plan.steps)
    weights = 2 * (shape.linear + shape.head)
    pairs = 2 * shape.pair_numbers * sum(tokens_read) / len(tokens_read)
    further = (_ANSWER - 1) * asked.questions * (weights + pairs)
    hours, anew = {}, {}
    for card, of in CARDS.items():
        reading = further / (of.bandwidth * _READING)
        best, worst = (
            ((watched + answered) / (of.flops * share) + reading) / 3600
            for share in reversed(_SHARES)
        )
        hours[card] = (best, worst)
        anew[card] = ((watched * each + answered) / (of.flops * _SHARES[0]) + reading) / 3600
    return Estimate(
        preset=f"{family}/{name}",
        frames=frames / asked.videos,
        longest=watching(shape, longest),
        operations=watched + answered,
        anew=watched * each + answered,
        memory=memory(shape, longest, size=2, room=_ROOM),
        decoding=asked.seconds * _FILM_RATE / rate / 3600,
        hours=hours,
        hours_anew=anew,
    )


def decoding_rate(quick: bool) -> float:
    """Frames of a 640 × 360 film that a core passes a second, keeping 2 a second; best of three."""
    seconds = 4 if quick else 30
    path = decoding.film(seconds, 250)
    rates = []
    for _ in range(1 if quick else 3):
        with open_video(path, reader="pyav", threads=1) as video:
            start = time.process_time()
            for _batch in video.read(range(0, video.info.frame_count, _SAMPLED)):
                pass
            rates.append(video.info.frame_count / (time.process_time() - start))
    return max(rates)


def _row(one: Estimate) -> list[str]:
    hours = [f"{low:,.2g} to {high:,.2g}" for low, high in one.hours.values()]
    kept = f"{one.longest.kept:,}" if one.longest.kept < one.longest.seen else "all"
    return [
        f"`{one.preset}`",
        f"{one.frames:,.0f}",
        f"{one.longest.seen:,} → {kept}",
        f"{one.longest.total / 1e15:.2f}",
        *hours,
        f"{one.hours_anew[_FAST]:,.2g}",
        f"{one.decoding:,.0f}",
        "{:.0f} to {:.0f}".format(*one.cores(_FAST)),
        f"{one.gib:.0f}",
    ]


def _cores(rows: Sequence[Estimate], *, baseline: bool) -> str:
    """The fewest and the most cores that any such row wants beside the faster card."""
    chosen = [one for one in rows if one.preset.endswith("-baseline") is baseline]
    low = min(one.cores(_FAST)[0] for one in chosen)
    high, most = max((one.cores(_FAST)[1], one.preset) for one in chosen)
    return f"{low:.0f} to {high:.0f} (most for `{most}`)"


def main() -> None:
    """Estimate, print, save."""
    given = harness.arguments(__doc__).parse_args()
    rate = decoding_rate(given.quick)
    shapes = {"qwen2-vl": qwen2_vl(_GRID), "llava-video": llava_video()}
    kinds = ("-baseline", "")
    rows = [
        estimate(family, name + kind, shape, rate)
        for (family, shape), name, kind in itertools.product(shapes.items(), BENCHMARKS, kinds)
    ]
    header = ["preset", "frames a video", "tokens → kept, longest", "PFLOP, longest"]
    header += [f"{card} hours" for card in CARDS]
    header += ["H100 hours, watched anew", "core hours to decode"]
    header += ["cores beside an H100", "GiB on the card"]
    low, high = (f"{share:.0%}" for share in _SHARES)
    said = "; ".join(
        f"{one.title} {one.videos:,} videos, {one.questions:,} questions ({one.source})"
        for one in BENCHMARKS.values()
    )
    means = ", ".join(
        f"{one.seconds / one.videos:,.0f} s for {one.title} (published: {one.mean_seconds:,.0f})"
        for one in BENCHMARKS.values()
    )
    cards = "; ".join(
        f"{name} {card.flops / 1e12:.0f} TFLOP/s and {card.bandwidth / 1e12:.2f} TB/s"
        for name, card in CARDS.items()
    )
    notes = [
        "**Estimates. None of these rows was run: no weights and no GPU were there.**",
        f"Hours of one card, {high} to {low} of its bfloat16 peak by the data sheet ({cards}; an "
        f"assumption). Each video is watched once for all its questions; *watched anew* is what "
        f"it takes to watch it for each, at {low}, as the published code does.",
        f"Benchmarks: {said}. Lengths are spread evenly within each group, for frames and for "
        f"decoding alike. Their means are so {means}.",
        f"Frames of 252 × 448 for Qwen2-VL (16 : 9; squarer ones have up to 1.8 times the tokens), "
        "384 × 384 for LLaVA-Video (196 tokens; 210, 7 % more, where a newline closes each row); "
        f"{_QUESTION} tokens a question, {_ANSWER} an answer.",
        f"Decoding: one core decodes {rate:,.0f} frames a second of a 640 × 360 film here; every "
        f"frame of {_FILM_RATE} a second is counted, also those that sparse sampling can skip. It "
        "goes on beside the GPU: enough cores a card are core hours divided by hours. Beside an "
        f"H100 that is {_cores(rows, baseline=False)} with ReTaKe, {_cores(rows, baseline=True)} "
        "with the full cache, whose few frames are of films as long.",
        f"Memory: weights and cache in bfloat16, {_TEMPORARIES} times the activations of a chunk "
        f"or a slice of frames (as the check below found); {_SLACK:g} times all of it for what the "
        f"allocator leaves between, and {_BESIDE / 2**30:g} GiB for CUDA (both assumed).",
    ]
    data: dict[str, Any] = {
        "estimates": [asdict(one) for one in rows],
        "benchmarks": {name: asdict(asked) for name, asked in BENCHMARKS.items()},
        "cards": {name: asdict(card) for name, card in CARDS.items()},
        "shares_of_peak": _SHARES,
        "decoded_frames_per_core_second": rate,
    }
    harness.finish(
        "reproduce_estimates", harness.Result([header, *map(_row, rows)], notes, data), given
    )


if __name__ == "__main__":
    main()
