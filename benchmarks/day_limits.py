"""What limits the day of video: length, budget, or the model? Accuracy by both, nothing timed.

The cards, questions and options of `benchmarks.day`, at shorter lengths and other budgets: how many
of 32 questions are answered rightly, and how many of a card's eight tokens the first layer kept.
Where cards are kept and answers are wrong, it is the model.
"""

import sys

from benchmarks import harness
from benchmarks.contestants import compete
from benchmarks.day import job_of, kept_near, questions_of, right_of, video_of, write_day


def measure(seconds: float, budget: int, seed: int, *, quick: bool) -> tuple[int, int, list[int]]:
    """Right answers, questions, and tokens kept of each card."""
    script = write_day(seconds, seed)
    asked = questions_of(script)
    job = job_of(video_of(script), asked, budget=budget)
    reply, _ = compete("retake", job, quick=quick)
    right = right_of(asked, reply["answers"])
    per_step = reply["tokens"] * 2 // len(reply["indices"])
    return sum(right.values()), len(right), kept_near(script, reply, per_step)


def main() -> None:
    """Measure, print, save."""
    parser = harness.arguments(__doc__)
    parser.add_argument("--minutes", type=float, nargs="+", default=[10, 60, 240])
    parser.add_argument("--budgets", type=int, nargs="+", default=[512, 2048, 8192])
    parser.add_argument("--seed", type=int, default=24)
    given = parser.parse_args()
    if given.quick:
        given.minutes, given.budgets = [4], [256, 1024]
    table = [["length", *(f"budget {budget:,}" for budget in given.budgets)]]
    data = []
    for minutes in given.minutes:
        cells = []
        for budget in given.budgets:
            right, count, near = measure(minutes * 60, budget, given.seed, quick=given.quick)
            mean = sum(near) / len(near)
            cells.append(f"{right} of {count} (cards keep {mean:.1f} of 8)")
            data.append({"minutes": minutes, "budget": budget, "right": right, "kept": near})
            print(f"{minutes:g} minutes, {budget}: {cells[-1]}", file=sys.stderr)
        table.append([f"{minutes:g} min", *cells])
    notes = [
        "Half of the questions can be answered by yes or no, so 10 of 32 is chance: 2 in words "
        "(1 in 8 of 16) and 8 of 16.",
    ]
    harness.finish("day_limits", harness.Result(table, notes, {"runs": data}), given)


if __name__ == "__main__":
    main()
