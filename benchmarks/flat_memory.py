"""Peak memory against length: retake's `watch`, and stock transformers on the same file.

One generated mp4 (still scenes, 224 × 224, 2 frames a second), the embedded model, DPSelect at
keep_ratio 1 with PivotKV and a fixed budget. Each point is a fresh process; its peak is the RSS of
the whole process tree, decoder included, plus the kernel's own maximum for the main process. Every
point reads the same file at the rate that gives the frames asked for. The stock path decodes
all frames, preprocesses them with Pillow and runs one forward pass.
"""

import sys
from collections.abc import Sequence
from typing import Any

from attrs import frozen

from benchmarks import harness
from benchmarks.contestants import Job, compete
from benchmarks.footage import static_scenes
from benchmarks.harness import median_and_spread

MIB = 2**20
_BAR = 40  # characters of the longest bar


@frozen
class Point:
    """A length, and what it took in each round."""

    frames: int
    peaks: list[harness.Peak]
    replies: list[dict[str, Any]]

    def mib(self, name: str = "peak_bytes") -> list[float]:
        """MiB in each round, of a field of `Peak`."""
        return [getattr(peak, name) / MIB for peak in self.peaks]

    @property
    def typical(self) -> float:
        """Median peak in MiB."""
        return median_and_spread(self.mib()).median


def measure(
    way: str,
    total: int,
    lengths: Sequence[int],
    rounds: Sequence[int],
    budget: int,
    *,
    quick: bool = False,
) -> list[Point]:
    """A contestant at each length, as often as `rounds` says for it."""
    video = str(static_scenes(total))
    points = [Point(frames, [], []) for frames in lengths]
    for number in range(max(rounds)):
        for point in [p for p, most in zip(points, rounds, strict=True) if number < most]:
            job = Job(video=video, frames=point.frames, budget=budget)
            reply, peak = compete(way, job, quick=quick)
            if len(reply["indices"]) != point.frames:
                raise RuntimeError(f"{way} took {len(reply['indices'])} of {point.frames} frames")
            point.peaks.append(peak)
            point.replies.append({k: reply[k] for k in ("tokens", "kept", "ttft", "stages")})
            parts = " + ".join(f"{part / MIB:.0f}" for part in peak.parts)
            print(
                f"{way}, {point.frames:,} frames, round {number + 1}: "
                f"{peak.peak_bytes / MIB:.0f} MiB ({parts}), {peak.seconds:.0f} s",
                file=sys.stderr,
            )
    return points


def growth(points: Sequence[Point], name: str = "peak_bytes") -> float:
    """How much the last point exceeds the first, as a fraction of the first."""
    first, last = (median_and_spread(p.mib(name)).median for p in (points[0], points[-1]))
    return last / first - 1


def extrapolated(points: Sequence[Point], frames: int) -> float:
    """MiB at a length that was not measured, on the line through the last two points."""
    before, last = points[-2:]
    slope = (last.typical - before.typical) / (last.frames - before.frames)
    return last.typical + slope * (frames - last.frames)


def chart(curves: dict[str, list[tuple[int, float, bool]]]) -> str:
    """Bars of MiB by frames; what was not measured is hollow."""
    most = max(mib for points in curves.values() for _, mib, _ in points)
    lines = []
    for name, points in curves.items():
        lines.append(name)
        for frames, mib, measured in points:
            bar = ("█" if measured else "░") * max(1, round(_BAR * mib / most))
            lines.append(f"  {frames:>7,} {bar} {mib:,.0f} MiB{'' if measured else ' (line)'}")
    return "\n".join(lines)


def rows_of(mine: Sequence[Point], theirs: Sequence[Point]) -> list[list[object]]:
    """A row a length: retake, stock transformers, and how they compare."""
    rows: list[list[object]] = [
        [
            "frames",
            "tokens → kept",
            "retake MiB",
            "main process MiB",
            "watch s",
            "stock MiB",
            "ratio",
        ]
    ]
    own = {point.frames: point for point in mine}
    stock = {point.frames: point for point in theirs}
    for frames in sorted({*own, *stock}):
        point, other = own.get(frames), stock.get(frames)
        row: list[object] = [f"{frames:,}"]
        if point:
            reply = point.replies[-1]
            row += [
                f"{reply['tokens']:,} → {reply['kept']:,}",
                median_and_spread(point.mib()).text(0),
                median_and_spread(point.mib("main_bytes")).text(0),
                f"{median_and_spread([r['ttft'] for r in point.replies]).median:.0f}",
            ]
        else:
            row += ["", "", "", ""]
        mib = other.typical if other else extrapolated(theirs, frames)
        beyond = frames > theirs[-1].frames
        row.append(f"{'≈ ' if beyond else ''}{mib:,.0f}{' (extrapolated)' if beyond else ''}")
        row.append(f"{'≈ ' if beyond else ''}{mib / point.typical:.1f}×" if point else "")
        rows.append(row)
    return rows


def main() -> None:
    """Measure, print, save."""
    parser = harness.arguments(__doc__)
    parser.add_argument("--lengths", type=int, nargs="+", default=[1024, 4096, 16384, 65536])
    parser.add_argument("--stock", type=int, nargs="+", default=[1024, 4096, 16384])
    parser.add_argument("--rounds", type=int, nargs="+", default=[3, 3, 1, 1], help="each length")
    parser.add_argument("--budget", type=int, default=1024)
    given = parser.parse_args()
    if given.quick:
        given.lengths, given.stock, given.budget = [64, 192], [32, 64], 64
        given.rounds = [1, 1]
    total = max(given.lengths)
    once = [1] * len(given.stock)
    mine = measure("retake", total, given.lengths, given.rounds, given.budget, quick=given.quick)
    theirs = measure("stock", total, given.stock, once, given.budget, quick=given.quick)
    beyond = [frames for frames in given.lengths if frames > given.stock[-1]]
    curves = {
        "retake": [(p.frames, p.typical, True) for p in mine],
        "stock transformers": [(p.frames, p.typical, True) for p in theirs]
        + [(frames, extrapolated(theirs, frames), False) for frames in beyond],
    }
    first, last = mine[0].frames, mine[-1].frames
    notes = [
        f"From {first:,} to {last:,} frames the peak of retake's process tree grows by "
        f"{growth(mine):.1%}, that of its main process alone by {growth(mine, 'main_bytes'):.1%} "
        "(the goal is less than 3 %).",
        f"Budget {given.budget:,} tokens, chunks of 32 frames, {total:,} frames in the file, whose "
        f"table every point reads. Rounds: {', '.join(map(str, given.rounds))}; stock: 1 each. "
        "Everything includes Python, torch and the model.",
        "Stock transformers: lengths beyond those measured lie on the line through its last two.",
    ]
    data = {
        way: [
            {
                "frames": p.frames,
                "tree_bytes": [peak.tree_bytes for peak in p.peaks],
                "main_bytes": [peak.main_bytes for peak in p.peaks],
                "parts": [peak.parts for peak in p.peaks],
                "seconds": [peak.seconds for peak in p.peaks],
                "replies": p.replies,
            }
            for p in points
        ]
        for way, points in (("retake", mine), ("stock", theirs))
    }
    result = harness.Result(rows_of(mine, theirs), notes, data, chart(curves))
    harness.finish("flat_memory", result, given)


if __name__ == "__main__":
    main()
