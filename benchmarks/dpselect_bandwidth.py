"""DPSelect's pass over the features, against how fast this machine reads memory.

Features are bfloat16 in the shape of Qwen2-VL-7B on 1,024 steps: 144 tokens of 3,584 numbers a
step. The machine's read bandwidth is that of `torch.sum` over the same bytes taken as int64
(with a second buffer's, as float32, printed next to it), measured in the same rounds. GB/s count
the features once, however often a method reads them.

    python -m benchmarks.dpselect_bandwidth [--quick] [--steps N] [--reference-steps N]
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from benchmarks import harness
from retake.selectors.dpselect import dissimilarity, dissimilarity_reference

_PATCHES, _WIDTH = 144, 3584
# The goal: at least this part of the read bandwidth.
_GOAL = 0.5


def _video(steps: int) -> Tensor:
    """Steps that differ, made a step at a time: the float32 noise is not held."""
    features = torch.empty(steps, _PATCHES, _WIDTH, dtype=torch.bfloat16)
    generator = torch.Generator().manual_seed(0)
    for step in features:
        step.copy_(torch.randn(_PATCHES, _WIDTH, generator=generator))
    return features


def _extra_bytes(work: Callable[[], object]) -> int:
    """The most memory that torch held at once beyond what it held before, while `work` ran."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as record:
        work()
    held = most = 0
    for event in record.profiler.kineto_results.events():
        if event.name() == "[memory]":
            held += event.nbytes()
            most = max(most, held)
    return most


def measure(steps: int, reference_steps: int, rounds: int) -> harness.Result:
    """Bandwidth of both forms and of a plain sum, in interleaved rounds."""
    features = _video(steps)
    few = features[:reference_steps]
    words, floats = features.view(torch.int64), torch.ones(features.nbytes // 4)
    seconds = harness.interleaved(
        {
            "sum int64": lambda: words.sum(),
            "sum float32": lambda: floats.sum(),
            "one pass": lambda: dissimilarity(features),
            "reference": lambda: dissimilarity_reference(few),
        },
        rounds,
    )
    size = dict.fromkeys(seconds, features.nbytes / 1e9) | {"reference": few.nbytes / 1e9}
    speed = {name: [size[name] / s for s in took] for name, took in seconds.items()}
    best = [max(pair) for pair in zip(speed["sum int64"], speed["sum float32"], strict=True)]
    extra = {
        "one pass": _extra_bytes(lambda: dissimilarity(features)),
        "reference": _extra_bytes(lambda: dissimilarity_reference(few)),
    }
    table: list[list[object]] = [["", "GB/s", "of the read bandwidth", "extra memory, MB"]]
    for name, values in speed.items():
        part = harness.ratio(values, best)
        more = f"{extra[name] / 1e6:.1f}" if name in extra else "0"
        table.append([name, harness.median_and_spread(values).text(1), part.text(2), more])
    reached = harness.ratio(speed["one pass"], best).median
    notes = [
        f"{steps:,} steps x {_PATCHES} x {_WIDTH:,} bfloat16 = {features.nbytes / 1e9:.2f} GB; the "
        f"reference on the first {len(few):,}. {rounds} interleaved rounds, "
        f"{torch.get_num_threads()} threads; medians (lowest to highest).",
        f"Goal: {_GOAL:.0%} of the read bandwidth. Reached: {reached:.0%}.",
    ]
    data = {"seconds": seconds, "gigabytes": size, "extra_bytes": extra, "reached": reached}
    return harness.Result(table, notes, data)


def main() -> None:
    parser = harness.arguments(__doc__)
    parser.add_argument("--steps", type=int, help="1,024, or 64 with --quick")
    parser.add_argument("--reference-steps", type=int, help="steps the reference sees (128, 16)")
    given = parser.parse_args()
    steps = given.steps or (64 if given.quick else 1024)
    few = given.reference_steps or (16 if given.quick else 128)
    harness.finish("dpselect_bandwidth", measure(steps, few, 3 if given.quick else 7), given)


if __name__ == "__main__":
    main()
