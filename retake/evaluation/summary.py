"""What the samples of a run come to: accuracy, broken down, with intervals; and what it cost.

Plain data in (the lines of `samples.jsonl` and `videos.jsonl`, or objects with their fields),
plain data out, fit for JSON: the command line, comparisons and reports all show these numbers,
so they agree. A score here is

    {"accuracy", "low", "high", "questions", "videos", "chance"}

with the interval of `statistics.estimate`, in which questions about one video count together.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from math import floor, log2
from statistics import fmean, median
from typing import Any

import attrs

from retake.evaluation.statistics import estimate

#: Breakdowns by two things at a time, where samples have both.
CROSSED = (("depth", "seconds"), ("kind", "seconds"))

#: Stages spent once an encoding, which several watches may share.
ENCODING = ("decode", "encode", "look")
#: Stages of watching, spent once a watch; an answer's are its own.
WATCHING = (*ENCODING, "select", "prefill")

_MOST_LEVELS = 12  # different numbers that are shown one by one; more are shown in ranges
_NAMES = ("seed",)  # numbers that only tell things apart: never put in ranges
_PARTS = 5  # ranges of what lies between 0 and 1

Record = Mapping[str, Any]


@attrs.frozen
class Level:
    """One value of a group, or a range of them.

    Attributes:
        value: text or a number; of a range its middle.
        within: the range, its end excluded (included where it is 1 of 0 … 1); None for a value.
    """

    value: str | float
    within: tuple[float, float] | None = None


def summarise(samples: Iterable[Any], watches: Iterable[Any] = ()) -> dict[str, Any]:
    """Everything there is to say of a run's samples.

    Args:
        samples: lines of `samples.jsonl`, or objects with their fields.
        watches: lines of `videos.jsonl`; without them peak memory is not known.

    Returns:
        "overall": a score, None without samples. "unmarked": samples that have none, because what
        is right is hidden or a judge must say; scores are of the others. "kinds": a
        score with "kind" each.
        "groups": for each group, a list of scores with that group's value each.
        "crossed": {"rows", "columns", "cells"}, a cell being a score with both values.
        "costs": as `costs` has them. Where a group holds many numbers, scores are of ranges:
        beside "depth" there is then "depth_range".
    """
    records = [_record(sample) for sample in samples]
    scored = [record for record in records if record["score"] is not None]
    groups = group_names(scored)
    return {
        "overall": score(scored) if scored else None,
        "unmarked": len(records) - len(scored),
        "kinds": breakdown(scored, "kind"),
        "groups": {name: breakdown(scored, name) for name in groups},
        "crossed": [
            {"rows": rows, "columns": columns, "cells": breakdown(scored, rows, columns)}
            for rows, columns in CROSSED
            if {rows, columns} <= {"kind", *groups}
        ],
        "costs": costs(records, watches),
    }


def score(samples: Sequence[Any]) -> dict[str, Any]:
    """The accuracy of some samples, at least one, all of them marked."""
    records = [_record(sample) for sample in samples]
    found = estimate(
        [record["score"] for record in records], [record["video"] for record in records]
    )
    return {
        "accuracy": found.mean,
        "low": found.low,
        "high": found.high,
        "questions": found.count,
        "videos": found.clusters,
        "chance": fmean(record.get("chance") or 0.0 for record in records),
    }


def group_names(samples: Iterable[Any]) -> list[str]:
    """The groups that any of the samples is in, in the order met."""
    return list(dict.fromkeys(name for each in samples for name in _record(each)["groups"]))


def breakdown(samples: Sequence[Any], *names: str) -> list[dict[str, Any]]:
    """A score for each value of a group, or of several at a time, in ascending order.

    Args:
        samples: those without one of the groups are left out.
        names: groups, or "kind".
    """
    return [
        {**named(names, levels), **score(part)} for levels, part in split(samples, *names).items()
    ]


def split(samples: Sequence[Any], *names: str) -> dict[tuple[Level, ...], list[Any]]:
    """Samples by the values of groups, in ascending order; those without are left out.

    A sample that has several values of a group is under each of them.
    """
    held: dict[tuple[Level, ...], list[Any]] = {}
    levels = [levels_of(samples, name) for name in names]
    for sample in samples:
        for values in product(*(_values(sample, name) for name in names)):
            key = tuple(each[value] for each, value in zip(levels, values, strict=True))
            held.setdefault(key, []).append(sample)
    order = product(*(dict.fromkeys(each.values()) for each in levels))
    return {key: held[key] for key in order if key in held}


def named(names: Sequence[str], levels: Sequence[Level]) -> dict[str, Any]:
    """Levels under the names of their groups, as every breakdown has them."""
    named: dict[str, Any] = {}
    for name, level in zip(names, levels, strict=True):
        named[name] = level.value
        if level.within is not None:
            named[f"{name}_range"] = list(level.within)
    return named


def levels_of(samples: Iterable[Any], name: str) -> dict[Any, Level]:
    """Every value of a group and the level that it is shown at, in ascending order.

    Ranges depend on no more than whether there are many values, and on whether all lie within
    0 … 1 (fifths) or not (from one power of two to the next), so that runs can be compared.
    """
    values = {value for sample in samples for value in _values(sample, name)}
    ordered = sorted(values, key=_in_order)
    numbers = [value for value in ordered if not isinstance(value, str)]
    if len(numbers) <= _MOST_LEVELS or len(numbers) < len(ordered) or name in _NAMES:
        return {value: Level(value) for value in ordered}
    unit = numbers[0] >= 0 and numbers[-1] <= 1
    return {value: _range(value, unit=unit) for value in ordered}


def _in_order(value: Any) -> tuple[bool, Any]:
    """Numbers before texts, and texts by the numbers in them: "(8, 15]" before "(15, 60]"."""
    if not isinstance(value, str):
        return False, value
    parts = re.split(r"([0-9]+)", value)
    return True, [int(part) if place % 2 else part for place, part in enumerate(parts)]


def costs(samples: Iterable[Any], watches: Iterable[Any] = ()) -> dict[str, Any]:
    """What answering cost.

    Returns:
        "watches", "answers": how many. "seconds": for each stage "mean", "median" and "total":
        over encodings up to "look", which watches of several questions share, then over watches,
        and of "answer" over answers. "first_token_seconds", "token_seconds", "kv_bytes",
        "kv_bytes_full", "kv_share" (of the full cache), "achieved_ratio", "cache_tokens" (the
        fullest layer's): "mean", "median" and "max" over answers, None where nobody knows.
        "peak_bytes": the highest of any stage. "over_budget": answers that went beyond it.
    """
    records = [_record(sample) for sample in samples]
    firsts = list({_watch(at, record): record for at, record in enumerate(records)}.values())
    return {
        "watches": len(firsts),
        "answers": len(records),
        "seconds": _stages(firsts, records),
        "first_token_seconds": _spread(records, "first_token_seconds"),
        "token_seconds": _spread(records, "token_seconds"),
        "kv_bytes": _spread(records, "kv_bytes"),
        "kv_bytes_full": _spread(records, "kv_bytes_full"),
        "kv_share": _figures(
            record["kv_bytes"] / record["kv_bytes_full"]
            for record in records
            if record.get("kv_bytes_full")
        ),
        "achieved_ratio": _spread(records, "achieved_ratio"),
        "cache_tokens": _figures(
            max(record["cache_tokens"]) for record in records if record.get("cache_tokens")
        ),
        "peak_bytes": _peak(watches),
        "over_budget": sum(bool(record.get("over_budget")) for record in records),
    }


def _record(sample: Any) -> Record:
    return sample if isinstance(sample, Mapping) else attrs.asdict(sample, recurse=False)


def _values(sample: Any, name: str) -> tuple[Any, ...]:
    """The values of a group that a sample has: one, several or none."""
    # Asked so often that the whole record is not made for it.
    if isinstance(sample, Mapping):
        value = sample["kind"] if name == "kind" else sample["groups"].get(name)
    else:
        value = sample.kind if name == "kind" else sample.groups.get(name)
    if isinstance(value, tuple | list):
        return tuple(dict.fromkeys(value))
    return () if value is None else (value,)


def _range(value: float, *, unit: bool) -> Level:
    """The range that a number falls in."""
    if unit:
        part = min(_PARTS - 1, floor(value * _PARTS))
        low, high = part / _PARTS, (part + 1) / _PARTS
    elif abs(value) < 1:
        low, high = (0.0, 1.0) if value >= 0 else (-1.0, 0.0)
    else:
        power = 2.0 ** floor(log2(abs(value)))
        low, high = (power, 2 * power) if value > 0 else (-2 * power, -power)
    return Level((low + high) / 2, (low, high))


def _watch(at: int, record: Record) -> Any:
    """What tells a sample's watch from others; a sample that names none has its own."""
    watch = record.get("watch")
    return ("sample", at) if watch is None else watch


def _encoding(record: Record) -> Any:
    """What tells an encoding from others: its times, which no second one takes to the bit."""
    seconds = record.get("seconds") or {}
    times = tuple(seconds.get(name) for name in ENCODING)
    return (record.get("video"), times)


def _stages(firsts: Sequence[Record], records: Sequence[Record]) -> dict[str, Any]:
    names = dict.fromkeys(name for record in records for name in record.get("seconds") or {})
    spent: dict[str, Any] = {}
    encodings = list({_encoding(record): record for record in firsts}.values())
    for name in names:
        watched = encodings if name in ENCODING else firsts
        counted = watched if name in WATCHING else records
        seconds = [(record.get("seconds") or {}).get(name) for record in counted]
        known = [each for each in seconds if each is not None]
        if known:
            spent[name] = {"mean": fmean(known), "median": median(known), "total": sum(known)}
    return spent


def _spread(records: Iterable[Record], name: str) -> dict[str, float] | None:
    return _figures(record.get(name) for record in records)


def _figures(values: Iterable[float | None]) -> dict[str, float] | None:
    """Mean, median and maximum of what is known."""
    known = [value for value in values if value is not None]
    if not known:
        return None
    return {"mean": fmean(known), "median": median(known), "max": max(known)}


def _peak(watches: Iterable[Any]) -> int | None:
    """The highest memory of the device in any stage."""
    stages = (cost for watch in watches for cost in _record(watch).get("costs") or ())
    peaks = (_record(cost).get("peak_bytes") for cost in stages)
    return max((peak for peak in peaks if peak is not None), default=None)
