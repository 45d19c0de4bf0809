"""The formulas behind `docs/reproduce.md`, against what `retake bench` counts and weighs.

Checkpoints with random weights, Qwen2-VL and LLaVA-OneVision, are watched by `retake bench`
with PivotKV within a budget and with everything kept. Operations and the bytes of the KV arena must
come out as computed from the shapes, to the last one. Resident memory is compared between a
middling checkpoint and the smallest, so that Python and its libraries cancel.

    python -m benchmarks.reproduce_check [--quick]
"""

import json
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

from attrs import frozen
from retake_cli import bench_runs
from retake_cli.main import run

from benchmarks import checkpoint, harness
from benchmarks.estimating import (
    Bytes,
    Plan,
    Shape,
    first_token,
    llava_video,
    memory,
    qwen2_vl,
    watching,
)
from benchmarks.forking import Forked, finished
from tests.tiny import llava_onevision

_ANSWER = 2
_CHUNK_FRAMES = 16
_VOCABULARY = 263
# Of the tiny LLaVA: seven patches a side, as its own file has it.
_LLAVA_TEXT = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 261,
}
_LLAVA_TOWER = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": 42,
    "patch_size": 6,
}


@frozen
class Case:
    """A checkpoint that is watched, and its shape.

    Attributes:
        name: of the table's row.
        folder: of the checkpoint.
        shape: computed from its configuration.
        closing: tokens with which the family closes a video.
        frames, side: of the video.
        budget: tokens a layer may hold.
    """

    name: str
    folder: Path
    shape: Shape
    closing: int
    frames: int
    side: int
    budget: int


@frozen
class Compared:
    """One variant of a case: what was computed, what was measured.

    Attributes:
        name: of the case and of the compressor.
        flops: computed and counted, of watching and of the question.
        pairs: computed and reserved bytes of the KV arena.
        memory: computed.
        resident: measured, the highest of encoding and prefill.
    """

    name: str
    flops: tuple[int, int]
    pairs: tuple[int, int]
    memory: Bytes
    resident: int


def cases(quick: bool) -> list[Case]:
    """What is watched; the first is the smallest."""
    tower = {**checkpoint.TINY_VISION}
    text = {**checkpoint.TINY_TEXT, "vocab_size": _VOCABULARY}
    side = 112 if quick else 224
    grid = (side // 14, side // 14)
    tiny = Case(
        "Qwen2-VL, tiny",
        checkpoint.mid_size(tiny=True),
        qwen2_vl(grid, text, tower),
        0,
        64,
        side,
        300 if quick else 700,
    )
    folder = harness.CACHE / "checkpoints" / "llava-tiny"
    if not (folder / "model.safetensors").exists():
        folder.mkdir(parents=True, exist_ok=True)
        llava_onevision.make(folder, max_position_embeddings=8192)
    shape = llava_video(_LLAVA_TEXT, _LLAVA_TOWER)
    llava = Case("LLaVA-OneVision, tiny", folder, shape, 1, 64, side, 500)
    if quick:
        return [tiny, llava]
    text = {**checkpoint.TEXT, "vocab_size": _VOCABULARY}
    shape = qwen2_vl(grid, text, checkpoint.VISION)
    mid = Case("Qwen2-VL, 29 million", checkpoint.mid_size(), shape, 0, 64, side, 700)
    return [tiny, llava, mid]


def compare(case: Case, quick: bool) -> list[Compared]:
    """Run `retake bench` on a case, and compute the same."""
    words = ["--compressor", "pivotkv", "--compressor", "none", "--selector", "dpselect"]
    words += ["--budget", str(case.budget), "--chunk-frames", str(_CHUNK_FRAMES)]
    words += ["--frames", str(case.frames), "--long-side", str(case.side), "--json"]
    words += ["--repeat", "1", "--max-new-tokens", str(_ANSWER), "--model", str(case.folder)]
    process = (
        Forked(_with_small_products, ["bench", *words])
        if quick
        else subprocess.Popen(
            [sys.executable, "-m", "retake_cli", "bench", *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
    )
    printed, errors = finished(process)
    if process.returncode:
        raise RuntimeError(f"retake bench ended with {process.returncode}: {errors}")
    return [_compared(case, variant) for variant in json.loads(printed)["variants"]]


def _with_small_products() -> None:
    """`retake`, whose `bench` takes seconds less to find the machine's best rate: unused here."""
    bench_runs.matmul_rate = partial(bench_runs.matmul_rate, sizes=(256,))
    run()


def _compared(case: Case, variant: dict[str, Any]) -> Compared:
    shape, told = case.shape, variant["compression"]
    text = told["text_tokens"]
    plan = Plan(
        steps=case.frames // shape.tower.frames,
        chunk_steps=_CHUNK_FRAMES // shape.tower.frames,
        prefix=text - case.closing,
        closing=case.closing,
        reserve=told["reserved"],
        budget=told["budget"],
    )
    work = watching(shape, plan)
    computed = work.total + first_token(shape, text + work.kept, variant["prompt_tokens"])
    counted = sum(
        number
        for key in ("watch", "first_token")
        for kinds in variant["flops"][key].values()
        for number in kinds.values()
    )
    needed = memory(shape, plan, size=4, room=_ANSWER)
    peaks = [
        stage["host_peak_bytes"]
        for stage in variant["stages"]
        if stage["name"] in ("encode", "prefill")
    ]
    pairs = (needed.pairs, told["kv_bytes_reserved"])
    return Compared(
        f"{case.name}, {variant['label']}", (computed, counted), pairs, needed, max(peaks)
    )


def _row(one: Compared) -> list[str]:
    return [
        one.name,
        *(f"{number:,}" for number in (*one.flops, *one.pairs)),
        f"{one.resident / 2**20:,.0f}",
    ]


def main() -> None:
    """Compare, print, save."""
    given = harness.arguments(__doc__).parse_args()
    tried = cases(given.quick)
    found = [each for case in tried for each in compare(case, given.quick)]
    header = ["", "operations computed", "counted", "arena bytes computed", "reserved", "peak MiB"]
    exact = sum(one.flops[0] == one.flops[1] and one.pairs[0] == one.pairs[1] for one in found)
    notes = [
        f"Operations of watching and of the question up to its first token, and bytes of the KV "
        f"arena: {exact} of {len(found)} agree to the last one. {tried[0].frames} frames of "
        f"{tried[0].side} × {tried[0].side}, chunks of {_CHUNK_FRAMES} frames, float32.",
    ]
    if not given.quick:
        smallest, largest = found[0], found[-2]
        measured = (largest.resident - smallest.resident) / 2**20
        computed = (largest.memory.total - smallest.memory.total) / 2**20
        notes.append(
            f"Resident memory: the mid-size checkpoint's peak is {measured:.0f} MiB above the "
            f"smallest's; computed {computed:.0f} MiB ({measured / computed:.2f} times that: "
            "buffers that the allocator keeps, and temporaries that the formula leaves out)."
        )
    data = {
        "compared": [
            {
                "name": one.name,
                "flops": one.flops,
                "arena_bytes": one.pairs,
                "resident_bytes": one.resident,
                "computed_bytes": one.memory.total,
            }
            for one in found
        ]
    }
    result = harness.Result([header, *map(_row, found)], notes, data)
    harness.finish("reproduce_check", result, given)


if __name__ == "__main__":
    main()
