"""A bench as one JSON document, and the summaries that its tables show."""

import statistics
from collections.abc import Iterable, Sequence
from typing import Any

import attrs

from retake.core.config import unstructure
from retake.core.provenance import command_line, versions
from retake.measure import machine

from .bench_runs import Bench, Facts, Measured, Timed

#: Changes where a key changes its meaning or goes; new keys may come without a change.
FORMAT = "retake.bench/1"


@attrs.frozen
class Spread:
    """Median, smallest and largest of the repeats."""

    median: float
    min: float
    max: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        return cls(statistics.median(values), min(values), max(values))


@attrs.frozen
class Line:
    """A stage, or a time that a user waits, with the work that was done in it.

    Attributes:
        name: of the stage or time.
        seconds: of all repeats.
        background_seconds: work beside the other stages meanwhile; None where there was none.
        host_peak_bytes, device_peak_bytes: the highest of all repeats; None where unknown.
        flops: operations counted; None where no model computes.
        flops_per_second: operations over the median time.
        fraction_of_peak: that over the machine's measured matrix rate.
        floor_seconds: the time that the operations alone would take at that rate.
        ratio: to the first variant, repeat by repeat; None for the first variant itself.
    """

    name: str
    seconds: Spread
    background_seconds: Spread | None = None
    host_peak_bytes: int | None = None
    device_peak_bytes: int | None = None
    flops: float | None = None
    flops_per_second: float | None = None
    fraction_of_peak: float | None = None
    floor_seconds: float | None = None
    ratio: Spread | None = None


def waits(bench: Bench, measured: Measured) -> dict[str, Line]:
    """What a user waits for, by its key in the document."""
    work = measured.work
    found = {
        "watch_to_first_token": ("wait_seconds", work.wait),
        "question_to_first_token": ("first_token_seconds", work.first.total()),
        "further_token": ("token_seconds", work.token),
    }
    lines = {}
    for name, (field, flops) in found.items():
        mine = [getattr(run, field) for run in measured.runs]
        if None not in mine:
            base = [getattr(run, field) for run in bench.variants[0].runs]
            lines[name] = _line(bench, measured, name, mine, base, flops)
    return lines


def stages(bench: Bench, measured: Measured) -> list[Line]:
    """Every stage, in the order in which they first ran."""
    lines = []
    for name in [cost.name for cost in measured.runs[0].stages]:
        mine = [_stage_seconds(run, name) for run in measured.runs]
        base = [_stage_seconds(run, name) for run in bench.variants[0].runs]
        line = _line(bench, measured, name, mine, base, measured.work.of_stage(name))
        costs = [cost for run in measured.runs for cost in run.stages if cost.name == name]
        beside = [c.background_seconds for c in costs if c.background_seconds is not None]
        lines.append(
            attrs.evolve(
                line,
                background_seconds=Spread.of(beside) if beside else None,
                host_peak_bytes=_highest(cost.host_peak_bytes for cost in costs),
                device_peak_bytes=_highest(cost.peak_bytes for cost in costs),
            )
        )
    return lines


def _highest(peaks: Iterable[int | None]) -> int | None:
    return max((peak for peak in peaks if peak is not None), default=None)


def _stage_seconds(run: Timed, name: str) -> float:
    return sum(cost.seconds for cost in run.stages if cost.name == name)


def _line(
    bench: Bench,
    measured: Measured,
    name: str,
    mine: list[float],
    base: list[float],
    flops: float | None,
) -> Line:
    seconds = Spread.of(mine)
    line = Line(name, seconds)
    if measured is not bench.variants[0] and all(base):
        line = attrs.evolve(line, ratio=Spread.of([a / b for a, b in zip(mine, base, strict=True)]))
    if flops is None:
        return line
    achieved = flops / seconds.median
    return attrs.evolve(
        line,
        flops=flops,
        flops_per_second=achieved,
        fraction_of_peak=achieved / bench.rate.flops_per_second,
        floor_seconds=flops / bench.rate.flops_per_second,
    )


def document(bench: Bench) -> dict[str, Any]:
    """The whole bench as plain data."""
    model = bench.variants[0].model
    return {
        "format": FORMAT,
        "video": bench.video,
        "question": bench.question,
        "repeats": len(bench.variants[0].runs),
        "variants": [_variant(bench, measured) for measured in bench.variants],
        "model": {
            "path": model.adapter.folder,
            "adapter": model.config.model.adapter,
            "backend": model.config.model.backend,
            "dtype": model.config.model.dtype,
            "attention": model.config.model.attention,
            "fingerprint": model.adapter.fingerprint,
        },
        "machine": machine(model.backend),
        "peak": {"matmul": attrs.asdict(bench.rate), "memory": attrs.asdict(bench.bandwidth)},
        "seed": model.config.seed,
        "versions": versions(),
        "command": command_line(),
    }


def _variant(bench: Bench, measured: Measured) -> dict[str, Any]:
    work, facts = measured.work, measured.facts
    return {
        "label": measured.variant.label,
        "config": unstructure(measured.model.config),
        **{name: attrs.asdict(line) for name, line in waits(bench, measured).items()},
        "further_token_floor": {
            "bytes": facts.token_bytes,
            "seconds": facts.token_bytes / bench.bandwidth.bytes_per_second,
        },
        "stages": [attrs.asdict(line) for line in stages(bench, measured)],
        "flops": {
            "watch": work.watch.as_data(),
            "first_token": work.first.as_data(),
            "further_tokens": [counted.as_data() for counted in work.further],
            "uncounted_weights": work.uncounted_weights,
        },
        "compression": {
            **attrs.asdict(facts.compression),
            "achieved_ratio": facts.compression.achieved_ratio,
        },
        "kv_bytes": facts.compression.kv_bytes,
        "kv_ratio": facts.compression.kv_bytes / bench.variants[0].facts.compression.kv_bytes,
        **_said(facts),
        "runs": [attrs.asdict(run) for run in measured.runs],
    }


def _said(facts: Facts) -> dict[str, Any]:
    frames = facts.frames
    return {
        "frames": {"count": len(frames.indices), **attrs.asdict(frames)} if frames else None,
        "file": attrs.asdict(facts.video) if facts.video is not None else None,
        "prompt_tokens": facts.prompt_tokens,
        "generated_tokens": facts.generated_tokens,
        "over_budget": facts.over_budget,
        "answer": facts.answer,
    }
