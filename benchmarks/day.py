"""A day of video: 24 hours at 1 frame a second, on two cores, by the embedded model.

A generated mp4 of 24:00:00 (scenes of 8 to 64 seconds, stored at 1 frame a second) in which eight
cards are flashed for 4 seconds each, one in every three hours. It is watched once and then asked,
in words: each card's colour (1 of 8), its shape (1 of 8), whether it flashed, and whether something
that did not flash did. Time goes from the path to the memory; memory is the peak of the whole
process tree.
"""

import sys
from collections import defaultdict
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import attrs
import numpy as np
from attrs import frozen

from benchmarks import harness
from benchmarks.contestants import Job, compete
from benchmarks.footage import Held, encode_held, still
from retake.datasets.scenes.render import CardView, SceneView, add_noise
from retake.datasets.scenes.world import Needle, Scene, Script, stream, write_script

_NEEDLES = 8
_CARD_SECONDS = 4.0
_SIZE = 224
CHUNK_FRAMES = 256
GIB = 2**30


@frozen
class Asked:
    """A question, its true answer, and which needle it is about."""

    kind: str
    text: str
    answer: str
    needle: int


def write_day(seconds: float, seed: int) -> Script:
    """Scenes from the usual generator; one card at a random time in each eighth of the day."""
    script = write_script(seconds, seed, needles=_NEEDLES)
    rng = stream("test", seed, 0xDA7)
    part = seconds / _NEEDLES
    needles = []
    for number, needle in enumerate(script.needles):
        start = round(part * number + rng.uniform(1, part - _CARD_SECONDS - 1))
        needles.append(attrs.evolve(needle, start=float(start), end=start + _CARD_SECONDS))
    return attrs.evolve(script, needles=tuple(needles))


def draw(script: Script) -> Iterator[Held]:
    """Still scenes and cards, each held for whole seconds."""
    cuts = {0.0, script.seconds}
    moments: list[Scene | Needle] = [*script.scenes, *script.needles]
    for moment in moments:
        cuts |= {float(round(moment.start)), float(round(min(moment.end, script.seconds)))}
    times = sorted(cuts)
    scenes = iter(script.scenes)
    scene = next(scenes)
    for start, end in pairwise(times):
        while round(scene.end) <= start and scene.end < script.seconds:
            scene = next(scenes)
        needle = script.needle_at(start)
        picture = still(scene, _SIZE) if needle is None else _with_card(scene, needle)
        yield picture, round(end - start)


def _with_card(scene: Scene, needle: Needle) -> Any:
    image = SceneView(scene, _SIZE).draw(scene.start)
    CardView(needle, _SIZE).draw(image)
    return add_noise(image, np.random.default_rng([needle.seed, 1]))


def video_of(script: Script) -> Path:
    """The script as an mp4 of 1 frame a second, made on first use."""
    folder = harness.CACHE / "videos"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"day-{script.seconds:g}s-{script.seed}.mp4"
    if not path.exists():
        encode_held(draw(script), path, fps=1)
    return path


def questions_of(script: Script) -> list[Asked]:
    """Four for each needle. What is absent has a needle's shape and another needle's colour."""
    asked = []
    for number, needle in enumerate(script.needles):
        wrong = script.needles[(number + 3) % len(script.needles)].colour
        colour, shape = needle.colour, needle.shape
        asked += [
            Asked("colour", f"What colour is the flashed {shape}?", colour, number),
            Asked("shape", f"Which shape flashed in {colour}?", shape, number),
            Asked("present", f"Did {_article(colour)} {shape} flash?", "yes", number),
            Asked("absent", f"Did {_article(wrong)} {shape} flash?", "no", number),
        ]
    return asked


def _article(colour: str) -> str:
    return f"{'an' if colour[0] in 'aeiou' else 'a'} {colour}"


def job_of(
    video: Path,
    asked: list[Asked],
    *,
    budget: int,
    chunk_frames: int = CHUNK_FRAMES,
    cores: int | None = None,
) -> Job:
    """Watch at 1 frame a second and ask everything."""
    return Job(
        video=str(video),
        fps=1.0,
        budget=budget,
        chunk_frames=chunk_frames,
        questions=[question.text for question in asked],
        max_new_tokens=8,
        cores=cores,
    )


def right_of(asked: list[Asked], answers: list[str]) -> dict[tuple[int, str], bool]:
    """Whether each answer is right, by needle and kind."""
    given = zip(asked, answers, strict=True)
    return {(q.needle, q.kind): reply.strip().casefold() == q.answer for q, reply in given}


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60:02}:{minutes % 60:02}:{rest:02}"


def _sum(parts: tuple[int, ...]) -> str:
    return " + ".join(f"{part / GIB:.2f}" for part in parts)


def rows_of(script: Script, right: dict[tuple[int, str], bool]) -> list[list[object]]:
    """A row for each needle in order of time, and one for all of them."""
    kinds = ("colour", "shape", "present", "absent")
    rows: list[list[object]] = [["needle", "at", *kinds, "right"]]
    for number, needle in enumerate(script.needles):
        marks = [right[number, kind] for kind in kinds]
        cells = ["✓" if mark else "✗" for mark in marks]
        name = f"{needle.colour} {needle.shape}"
        rows.append([name, _clock(needle.start), *cells, f"{sum(marks)} of {len(marks)}"])
    by_kind: dict[str, list[bool]] = defaultdict(list)
    for (_, kind), mark in right.items():
        by_kind[kind].append(mark)
    totals = [f"{sum(by_kind[kind])} of {len(by_kind[kind])}" for kind in kinds]
    rows.append(["all", "", *totals, f"{sum(right.values())} of {len(right)}"])
    return rows


def kept_near(script: Script, reply: dict[str, Any], tokens_per_step: int) -> list[int]:
    """How many tokens of each card's steps the first layer kept."""
    kept = [number // tokens_per_step * 2 for number in reply["kept_first_layer"]]
    return [
        sum(1 for time in kept if needle.start - 1 <= time < needle.end)
        for needle in script.needles
    ]


def notes_of(
    script: Script, job: Job, reply: dict[str, Any], peak: harness.Peak, right: dict[Any, bool]
) -> list[str]:
    """What it took, what came out, and what limits it."""
    tokens, kept = reply["tokens"], reply["kept"]
    per_step = tokens * 2 // len(reply["indices"])
    near = kept_near(script, reply, per_step)
    spoken = [mark for (_, kind), mark in right.items() if kind in ("colour", "shape")]
    judged = [mark for (_, kind), mark in right.items() if kind in ("present", "absent")]
    per_chunk = kept / (tokens / (job.chunk_frames // 2 * per_step))
    return [
        f"{_clock(script.seconds)} of video, {len(reply['indices']):,} frames, watched in "
        f"{reply['watch'] / 60:.1f} minutes on {job.cores} cores: "
        f"{script.seconds / reply['watch']:.0f} times as fast as it was filmed.",
        f"Peak of the process tree {peak.peak_bytes / GIB:.2f} GiB (the goal is less than 2 GB); "
        f"at that moment its processes had {_sum(peak.parts)}.",
        f"Accuracy: {sum(right.values()) / len(right):.0%} of {len(right)} questions; in words "
        f"{sum(spoken)} of {len(spoken)} (chance 1 in 8), yes or no {sum(judged)} of {len(judged)} "
        "(chance 1 in 2).",
        f"What limits it. Budget: {tokens:,} tokens become {kept:,} ({kept / tokens:.1%}), "
        f"{per_chunk:.1f} for each chunk of {job.chunk_frames} frames, whatever it shows; of the 8 "
        f"tokens of each card the first layer kept {', '.join(map(str, near))}.",
        "The model: it was trained on 4 to 64 steps with 1 to 4 cards, and reads "
        f"{len(reply['indices']) // 2:,} steps with {len(script.needles)} cards here.",
        f"Stages, seconds: {', '.join(f'{k} {v:.1f}' for k, v in reply['stages'].items())}.",
    ]


def main() -> None:
    """Measure, print, save."""
    parser = harness.arguments(__doc__)
    parser.add_argument("--hours", type=float, default=24)
    parser.add_argument("--budget", type=int, default=2048, help="tokens each layer keeps")
    parser.add_argument("--chunk-frames", type=int, default=CHUNK_FRAMES)
    parser.add_argument("--seed", type=int, default=24)
    parser.add_argument("--cores", type=int, default=2)
    given = parser.parse_args()
    seconds = 120.0 if given.quick else given.hours * 3600
    script = write_day(seconds, given.seed)
    asked = questions_of(script)
    print(f"drawing {_clock(seconds)} of video, if it is not there", file=sys.stderr)
    budget, chunk_frames, cores = given.budget, given.chunk_frames, given.cores
    if given.quick:
        # Beside other work, threads that wait for one another take longer than one.
        budget, chunk_frames, cores = min(budget, 96), min(chunk_frames, 48), 1
    job = job_of(
        video_of(script),
        asked,
        budget=budget,
        chunk_frames=chunk_frames,
        cores=cores,
    )
    reply, peak = compete("retake", job)
    right = right_of(asked, reply["answers"])
    data = {
        "options": attrs.asdict(job),
        "tree_bytes": peak.tree_bytes,
        "main_bytes": peak.main_bytes,
        "parts": peak.parts,
        "watch_seconds": reply["watch"],
        "stages": reply["stages"],
        "answers": [
            {**attrs.asdict(question), "given": answer}
            for question, answer in zip(asked, reply["answers"], strict=True)
        ],
    }
    notes = notes_of(script, job, reply, peak, right)
    harness.finish("day", harness.Result(rows_of(script, right), notes, data), given)


if __name__ == "__main__":
    main()
