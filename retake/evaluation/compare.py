"""Runs against each other, question by question.

Two means hide what two runs on the same questions show: which answers changed. A comparison
therefore takes the samples that both runs have answered, and the differences between them
(`statistics.paired`). Runs may be incomplete, or still in progress. Plain data out.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from retake.core.errors import UsageError, unknown_name
from retake.evaluation import statistics, summary
from retake.evaluation.coding import Alike, changed_code
from retake.evaluation.differing import changed
from retake.evaluation.given import check_different
from retake.evaluation.records import RunRecords, SampleRecord
from retake.evaluation.results import read_results

FORMAT = "retake.comparison/1"

#: A sample of the baseline, and the same of another run.
Pair = tuple[SampleRecord, SampleRecord]

_SHOWN = 3  # ids named in a refusal
# What must be the same for two samples to be one question.
_QUESTION = ("question", "options", "expected", "kind")


def compare(
    runs: Sequence[RunRecords],
    *,
    baseline: int = 0,
    confidence: float = statistics.CONFIDENCE,
    seed: int = 0,
) -> dict[str, Any]:
    """Every run against the baseline.

    Args:
        runs: two or more of one benchmark.
        baseline: which of them the others are compared with.
        confidence: of the intervals.
        seed: of the bootstrap; the same seed gives the same numbers.

    Returns:
        "runs": each one's name, folder, "samples", "samples_total", "summary" of all that it
        answered, and the benchmark's own "metrics" as `results.json` has them. "pairs": for each
        other run "run", "baseline", "common" samples, those "only_run" and "only_baseline"
        have, and those that both have and one or both have no score for ("unmarked");
        "overall", "kinds" and "groups" as a summary has them, but differences: "accuracy" of the
        run less "baseline_accuracy" is "difference", with "low", "high", "p", "p_mcnemar" and
        "p_corrected" (Holm's, over all comparisons of
        the same breakdown); "costs" of the common samples, and their "ratio"; what differs
        between the two "configuration"s and between the options of their "benchmark"; and the
        "code" that both were taken from and that held something else, by file: both SHA-256.

    Raises:
        UsageError: fewer than two runs, one given twice, runs of different benchmarks, of different
            questions or videos under one id, or without a sample in common.
    """
    if len(runs) < 2:
        raise UsageError(
            f"A comparison takes two runs or more, got {len(runs)}.",
            hint="Give the folders that `retake eval` or `retake sweep` wrote.",
        )
    check_different(run.folder for run in runs)
    names = names_of(runs)
    first = runs[baseline]
    pairs = [
        _compared(first, run, names[baseline], name, confidence, seed)
        for at, (run, name) in enumerate(zip(runs, names, strict=True))
        if at != baseline
    ]
    _correct(pairs)
    return {
        "format": FORMAT,
        "benchmark": attrs.asdict(first.header.benchmark),
        "baseline": names[baseline],
        "confidence": confidence,
        "runs": [_run(run, name) for run, name in zip(runs, names, strict=True)],
        "pairs": pairs,
    }


def names_of(runs: Sequence[RunRecords]) -> list[str]:
    """Names that tell runs apart: their own, or their folders where two have the same."""
    own = [run.header.name for run in runs]
    return [
        name if own.count(name) == 1 else str(run.folder)
        for run, name in zip(runs, own, strict=True)
    ]


def find_baseline(runs: Sequence[RunRecords], name: str) -> int:
    """Which run a name or a folder, by whatever path, means.

    Raises:
        UsageError: none of them.
    """
    names = names_of(runs)
    if name in names:
        return names.index(name)
    folders = [run.folder.resolve() for run in runs]
    folder = Path(name).expanduser().resolve()
    if folder in folders:
        return folders.index(folder)
    raise unknown_name("baseline", name, names)


def pair_up(first: RunRecords, second: RunRecords) -> list[Pair]:
    """The samples that both runs answered and that are marked, in the first one's order.

    Raises:
        UsageError: the runs are of different benchmarks, ask something else or show another
            video under one id, or have nothing in common.
    """
    _check_benchmark(first, second)
    others = {sample.id: sample for sample in _scored(second)}
    pairs = [(each, others[each.id]) for each in _scored(first) if each.id in others]
    if not pairs:
        raise _nothing_in_common(first, second)
    for name in _QUESTION:
        wrong = [a.id for a, b in pairs if getattr(a, name) != getattr(b, name)]
        _refuse(wrong, f"another {name}", first, second)
    _refuse(_other_videos(first, second, pairs), "another video", first, second)
    return pairs


def _nothing_in_common(first: RunRecords, second: RunRecords) -> UsageError:
    if {sample.id for sample in first.samples} & {sample.id for sample in second.samples}:
        return UsageError(
            f"'{first.folder}' and '{second.folder}' have no marked sample in common: what is "
            "right is hidden, or a judge must say.",
        )
    return UsageError(
        f"'{first.folder}' and '{second.folder}' have no sample in common.",
        hint=f"They have answered {len(first.samples)} and {len(second.samples)} samples.",
    )


def _scored(run: RunRecords) -> list[SampleRecord]:
    return [sample for sample in run.samples if sample.score is not None]


def _scores(samples: Iterable[SampleRecord]) -> list[float]:
    return [sample.score for sample in samples if sample.score is not None]


def difference(
    pairs: Sequence[Pair], *, confidence: float = statistics.CONFIDENCE, seed: int = 0
) -> dict[str, Any]:
    """How much better the second samples of pairs were answered than the first."""
    before, after = _scores(a for a, _ in pairs), _scores(b for _, b in pairs)
    found = statistics.paired(
        before,
        after,
        [a.video for a, _ in pairs],
        confidence=confidence,
        seed=seed,
    )
    return {
        "baseline_accuracy": sum(before) / len(pairs),
        "accuracy": sum(after) / len(pairs),
        "difference": found.mean,
        "low": found.low,
        "high": found.high,
        "p": found.p,
        "p_mcnemar": found.p_mcnemar,
        "better": found.better,
        "worse": found.worse,
        "questions": found.count,
        "videos": found.clusters,
    }


def _compared(
    first: RunRecords,
    run: RunRecords,
    baseline: str,
    name: str,
    confidence: float,
    seed: int,
) -> dict[str, Any]:
    pairs = pair_up(first, run)
    its, theirs = ({sample.id for sample in each.samples} for each in (run, first))

    def one(part: Sequence[Pair]) -> dict[str, Any]:
        return difference(part, confidence=confidence, seed=seed)

    return {
        "run": name,
        "baseline": baseline,
        "common": len(pairs),
        "only_run": len(its - theirs),
        "only_baseline": len(theirs - its),
        "unmarked": len(its & theirs) - len(pairs),
        "overall": one(pairs),
        "kinds": _breakdown(pairs, "kind", one),
        "groups": {
            group: _breakdown(pairs, group, one)
            for group in summary.group_names(a for a, _ in pairs)
        },
        "costs": _costs(first, run, pairs),
        "configuration": changed(first.header.config, run.header.config, _alike(first, run)),
        "benchmark": changed(first.header.benchmark.options, run.header.benchmark.options),
        "code": {
            file: [one, other]
            for file, one, other in changed_code(first.header.code, run.header.code)
        },
    }


def _alike(first: RunRecords, second: RunRecords) -> Alike:
    return Alike(first.header.code, second.header.code)


def _breakdown(
    pairs: Sequence[Pair], name: str, one: Callable[[Sequence[Pair]], dict[str, Any]]
) -> list[dict[str, Any]]:
    others = {a.id: b for a, b in pairs}
    return [
        {**summary.named((name,), levels), **one([(a, others[a.id]) for a in part])}
        for levels, part in summary.split([a for a, _ in pairs], name).items()
    ]


def _costs(first: RunRecords, run: RunRecords, pairs: Sequence[Pair]) -> dict[str, Any]:
    """What the common samples cost in both runs, and how many times as much in the second."""
    sides = [
        _means(summary.costs(samples, _watches(records, samples)))
        for records, samples in ((first, [a for a, _ in pairs]), (run, [b for _, b in pairs]))
    ]
    return {
        name: {"baseline": before, "run": after, "ratio": after / before if before else None}
        for name, before in sides[0].items()
        if before is not None and (after := sides[1].get(name)) is not None
    }


def _watches(run: RunRecords, samples: Sequence[SampleRecord]) -> list[Any]:
    return [run.videos[number - 1] for number in sorted({each.watch for each in samples})]


def _means(costs: Mapping[str, Any]) -> dict[str, float | None]:
    """Each cost as one number: means, and the peak."""
    stages = {f"{name}_seconds": spent["mean"] for name, spent in costs["seconds"].items()}
    names = ("first_token_seconds", "token_seconds", "kv_bytes", "cache_tokens")
    means = {name: costs[name]["mean"] if costs[name] else None for name in names}
    return {**means, **stages, "peak_bytes": costs["peak_bytes"]}


def _run(run: RunRecords, name: str) -> dict[str, Any]:
    return {
        "name": name,
        "folder": str(run.folder),
        "samples": len(run.samples),
        "samples_total": run.header.samples_total,
        "summary": summary.summarise(run.samples, run.videos),
        "metrics": list((read_results(run) or {}).get("metrics", ())),
        "config": run.header.config,
    }


def _correct(pairs: Sequence[dict[str, Any]]) -> None:
    """Add Holm's p: over all that is compared of one breakdown, in every pair."""
    breakdowns = dict.fromkeys(name for pair in pairs for name in pair["groups"])
    families = [
        [pair["overall"] for pair in pairs],
        [row for pair in pairs for row in pair["kinds"]],
        *([row for pair in pairs for row in pair["groups"].get(name, ())] for name in breakdowns),
    ]
    for family in families:
        corrected = statistics.holm([row["p"] for row in family])
        for row, p in zip(family, corrected, strict=True):
            row["p_corrected"] = p


def _check_benchmark(first: RunRecords, second: RunRecords) -> None:
    names = (first.header.benchmark.name, second.header.benchmark.name)
    if not _alike(first, second)(*names):
        raise UsageError(
            f"'{first.folder}' is a run of {names[0]}, '{second.folder}' of {names[1]}: "
            "only runs of one benchmark can be compared."
        )


def _other_videos(first: RunRecords, second: RunRecords, pairs: Sequence[Pair]) -> Iterator[str]:
    """Samples whose video has another content."""
    for a, b in pairs:
        sources = first.videos[a.watch - 1].source, second.videos[b.watch - 1].source
        if None not in sources and sources[0].sha256 != sources[1].sha256:  # type: ignore[union-attr]
            yield a.id


def _refuse(
    found: Sequence[str] | Iterator[str], what: str, first: RunRecords, second: RunRecords
) -> None:
    ids = list(found)
    if not ids:
        return
    more = f" and {len(ids) - _SHOWN} more" if len(ids) > _SHOWN else ""
    options = changed(first.header.benchmark.options, second.header.benchmark.options)
    hint = "; ".join(f"{path}: {one!r} and {other!r}" for path, (one, other) in options.items())
    raise UsageError(
        f"'{first.folder}' and '{second.folder}' have {what} under the same id: "
        f"{', '.join(ids[:_SHOWN])}{more}.",
        hint=f"Options of the benchmark differ: {hint}." if hint else None,
    )
