"""From a video's path to the first token: retake, stock transformers, and a naive chunked engine.

A mid-size Qwen2-VL of random weights (hidden 512, 8 layers), a generated video of 448 × 196, the
same frames for all, float32, each contestant in a fresh process. Time starts when the model is
loaded and ends with the first token (TTFT); memory is the peak of the whole process tree,
Python and the model included. `--height 252` for 16:9.
"""

import sys
from pathlib import Path
from typing import Any

from attrs import frozen

from benchmarks import harness
from benchmarks.checkpoint import mid_size
from benchmarks.contestants import Job, compete
from benchmarks.footage import moving_scenes

_STOCK, _NAIVE = "stock transformers, one shot", "naive chunked engine, ¼ kept"
_RETAKE, _FULL = "retake, dpselect + pivotkv, ¼ kept", "retake, nothing evicted"
# Who, by which program, with which compressor and share kept.
CONTESTANTS: dict[str, tuple[str, str, float | None]] = {
    _STOCK: ("stock", "none", None),
    _NAIVE: ("naive", "pivotkv", 0.25),
    _FULL: ("retake", "none", None),
    _RETAKE: ("retake", "pivotkv", 0.25),
}
GIB = 2**30


@frozen
class Run:
    """One contestant's reply in one round, and its memory."""

    reply: dict[str, Any]
    peak: harness.Peak


def measure(
    video: Path, checkpoint: Path, frames: int, rounds: int, names: list[str], quick: bool
) -> dict[str, list[Run]]:
    """Contestants in turn, as often as asked; the one that evicts nothing only in round 1."""
    runs: dict[str, list[Run]] = {name: [] for name in names}
    for number in range(rounds):
        for name in [name for name in names if name != _FULL or number == 0]:
            way, compressor, ratio = CONTESTANTS[name]
            job = Job(
                video=str(video),
                checkpoint=str(checkpoint),
                frames=frames,
                compressor=compressor,
                keep_ratio=ratio,
            )
            reply, peak = compete(way, job, quick=quick)
            runs[name].append(Run(reply, peak))
            print(f"{frames} frames, round {number + 1}, {name}: {reply['ttft']:.1f} s, "
                  f"{peak.peak_bytes / GIB:.2f} GiB", file=sys.stderr)  # fmt: skip
    check_same_frames(runs)
    return runs


def check_same_frames(runs: dict[str, list[Run]]) -> None:
    """Refuse a comparison of different frames or tokens."""
    seen = {(tuple(r.reply["indices"]), r.reply["tokens"]) for rs in runs.values() for r in rs}
    if len(seen) != 1:
        raise RuntimeError("the contestants did not look at the same frames and tokens")


def ttft(runs: list[Run]) -> list[float]:
    """Seconds to the first token, of each round."""
    return [run.reply["ttft"] for run in runs]


def gib(runs: list[Run]) -> float:
    """The largest peak of all rounds, in GiB."""
    return max(run.peak.peak_bytes for run in runs) / GIB


def rows_of(frames: int, runs: dict[str, list[Run]]) -> list[list[object]]:
    """A row of the table for each contestant, compared with stock transformers."""
    rows: list[list[object]] = []
    for name, own in runs.items():
        faster = harness.ratio(ttft(runs[_STOCK])[: len(own)], ttft(own))
        rows.append(
            [
                f"{frames:,} frames · {name}",
                f"{own[0].reply['tokens']:,} → {own[0].reply['kept']:,}",
                harness.median_and_spread(ttft(own)).text(1),
                f"{faster.median:.2f}×",
                f"{gib(own):.2f}",
                f"{gib(runs[_STOCK]) / gib(own):.1f}×",
                ", ".join(f"{k} {v:.1f}" for k, v in own[-1].reply["stages"].items()),
            ]
        )
    return rows


def notes_of(frames: int, runs: dict[str, list[Run]]) -> list[str]:
    """What came out, in sentences."""
    faster = harness.ratio(ttft(runs[_STOCK]), ttft(runs[_RETAKE]))
    naive = harness.ratio(ttft(runs[_NAIVE]), ttft(runs[_RETAKE]))
    mine, theirs = (runs[n][0].reply["kept_first_layer"] for n in (_RETAKE, _NAIVE))
    same = len(set(mine) & set(theirs)) / len(mine)
    return [
        f"At {frames:,} frames retake at ¼ is {faster.text(2)} times as fast as stock transformers "
        f"and takes {gib(runs[_STOCK]) / gib(runs[_RETAKE]):.1f} times less memory; against the "
        f"naive engine {naive.text(2)} times and "
        f"{gib(runs[_NAIVE]) / gib(runs[_RETAKE]):.1f} times.",
        f"Both engines that evict keep the same number of tokens, and in the first layer "
        f"{same:.2%} the same ones.",
    ]


def main() -> None:
    """Measure, print, save."""
    parser = harness.arguments(__doc__)
    parser.add_argument("--frames", type=int, nargs="+", default=[512, 1024])
    parser.add_argument("--rounds", type=int, nargs="+", default=[2, 1], help="each length")
    parser.add_argument("--height", type=int, default=196, help="of frames 448 wide")
    given = parser.parse_args()
    frames, rounds, width, height = given.frames, given.rounds, 448, given.height
    if given.quick:
        frames, rounds, width, height = [16], [1], 112, 56
    checkpoint = mid_size(tiny=given.quick)
    video = moving_scenes(max(frames), width=width, height=height)
    table: list[list[object]] = [
        [
            "",
            "video tokens → kept",
            "TTFT s, median (range)",
            "faster",
            "peak GiB",
            "less",
            "stages s",
        ]
    ]
    notes, data = [], {}
    for count, times in zip(frames, rounds, strict=True):
        # With nothing evicted it takes as long as stock: shown at the first length only.
        names = [name for name in CONTESTANTS if name != _FULL or count == frames[0]]
        runs = measure(video, checkpoint, count, times, names, given.quick)
        table += rows_of(count, runs)
        notes += notes_of(count, runs)
        data[str(count)] = {
            name: {
                "ttft": ttft(own),
                "peak_bytes": [run.peak.peak_bytes for run in own],
                "stages": [run.reply["stages"] for run in own],
            }
            for name, own in runs.items()
        }
    notes.append(
        "“faster” and “less” compare with stock transformers, round by round; memory includes "
        f"Python, torch and the model. Rounds: {', '.join(map(str, rounds))}; “nothing evicted” "
        f"once, at {frames[0]:,} frames."
    )
    harness.finish("end_to_end", harness.Result(table, notes, data), given)


if __name__ == "__main__":
    main()
