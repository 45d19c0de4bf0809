"""The parts of a report that say what the numbers rest on: states, failures, settings."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import yaml

from retake.evaluation.differing import changed
from retake.evaluation.records import RunRecords
from retake.evaluation.report.document import (
    Block,
    Cell,
    Code,
    Folded,
    Listing,
    Note,
    Section,
    Table,
    cells,
    section,
)
from retake.evaluation.report.views import RunView
from retake.evaluation.report.wording import MISSING, counted, percent

_SHOWN = 12  # remarks of one sort that are listed


def states(views: Sequence[RunView]) -> Iterator[Section]:
    """For several runs: which there are, how far each is, where it lies."""
    if len(views) < 2:
        return
    rows = tuple(
        cells(
            each.name,
            each.method,
            each.ratio_text,
            each.state,
            MISSING if each.overall is None else percent(each.overall["accuracy"]),
            MISSING if each.records is None else str(each.records.folder),
        )
        for each in views
    )
    columns = ("Run", "Method", "Keeps", "Answered", "Accuracy", "Folder")
    table = Table("Every run of this report.", columns, rows, frozenset({1, 3, 5}))
    begun = all(each.complete for each in views)
    yield from section("runs", "Runs", Folded(counted(len(views), "run"), (table,), open=not begun))


def remarks(views: Sequence[RunView]) -> Iterator[Section]:
    """Failures, and what runs, files and compression had to say."""
    runs = [(each.name, each.records) for each in views if each.records is not None]
    failed = [
        cells(name, failure.video, f"{len(failure.samples)}", failure.reason)
        for name, run in runs
        for failure in run.failures
    ]
    blocks: list[Block] = []
    if failed:
        columns = ("Run", "Video", "Questions", "Why")
        blocks.append(
            Table(
                "Questions that could not be answered.", columns, tuple(failed), frozenset({1, 3})
            )
        )
    notes = [
        *(f"{each.name} was given up: {each.failure}" for each in views if each.failure),
        *(f"{name}: {note}" for name, run in runs for note in run.notes),
        *(text for name, run in runs for text in _over_budget(name, run)),
        *(text for name, run in runs for text in _unreadable(name, run)),
        *_compression(runs),
    ]
    if notes:
        blocks.append(Listing(tuple(_limited(notes))))
    if not blocks and runs:
        blocks.append(Note("Nothing failed, and nothing was out of the ordinary."))
    yield from section("notes", "Failures and notes", *blocks)


def _over_budget(name: str, run: RunRecords) -> Iterator[str]:
    over = [sample.over_budget for sample in run.samples if sample.over_budget > 0]
    if over:
        yield (
            f"{name}: {counted(len(over), 'question')} went beyond the budget, by up to "
            f"{counted(max(over), 'token')}."
        )


def _unreadable(name: str, run: RunRecords) -> Iterator[str]:
    for video in run.videos:
        if video.frames is not None and video.frames.unreadable:
            yield (
                f"{name}: {counted(len(video.frames.unreadable), 'frame')} of {video.video} could "
                "not be decoded."
            )


def _compression(runs: Sequence[tuple[str, RunRecords]]) -> Iterator[str]:
    """What watching noted, each remark once, with how often it was made."""
    made = Counter(
        (name, note)
        for name, run in runs
        for video in run.videos
        for note in video.compression.notes
    )
    for (name, note), times in made.items():
        yield f"{name}: {note}" + (f" ({times} times)" if times > 1 else "")


def _limited(notes: Sequence[str]) -> Iterator[str]:
    yield from notes[:_SHOWN]
    if len(notes) > _SHOWN:
        yield f"and {len(notes) - _SHOWN} more, which are in the runs' folders."


def settings(views: Sequence[RunView]) -> Iterator[Section]:
    """The whole configuration, what differs between runs, and which versions made them."""
    runs = [(each.name, each.records.header) for each in views if each.records is not None]
    if not runs:
        return
    first = runs[0][1]
    blocks: list[Block] = []
    common = _common([header.config for _, header in runs])
    title = "Configuration" if len(runs) == 1 else "What the configurations have in common"
    blocks.append(Folded(title, (Code(_yaml(common), "yaml"),)))
    if len(runs) > 1:
        blocks.append(Folded("What differs", (_differences(runs),)))
    benchmark = {"name": first.benchmark.name, "options": first.benchmark.options}
    blocks.append(Folded("Benchmark", (Code(_yaml(benchmark), "yaml"),)))
    blocks.append(Folded("Versions, device and command", tuple(_made_with(runs))))
    yield from section("settings", "Settings", *blocks)


def _differences(runs: Sequence[tuple[str, Any]]) -> Table:
    """Each run's values of the keys that are not the same in all."""
    first = runs[0][1].config
    keys = list(dict.fromkeys(key for _, header in runs for key in changed(first, header.config)))
    flat = [{**_flat(header.config)} for _, header in runs]
    rows = tuple(
        (Cell(name), *(Cell(_plain(values, key)) for key in keys))
        for (name, _), values in zip(runs, flat, strict=True)
    )
    words = frozenset(range(1, len(keys) + 1))
    return Table("A key a column; – where a run has none.", ("Run", *keys), rows, words)


def _plain(values: Mapping[str, Any], key: str) -> str:
    inside = {k: v for k, v in values.items() if k == key or k.startswith(f"{key}.")}
    if not inside:
        return MISSING
    if key in inside:
        return "none" if inside[key] is None else str(inside[key])
    return ", ".join(f"{k.removeprefix(f'{key}.')}={v}" for k, v in inside.items())


def _flat(data: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in data.items():
        nested = isinstance(value, Mapping) and value
        found |= _flat(value, f"{before}{key}.") if nested else {f"{before}{key}": value}
    return found


def _common(configs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What all nested mappings have in common."""
    first = configs[0]
    found: dict[str, Any] = {}
    for key, value in first.items():
        others = [config.get(key) for config in configs]
        if all(other == value for other in others):
            found[key] = value
        elif all(isinstance(other, Mapping) for other in others):
            inner = _common([other for other in others if isinstance(other, Mapping)])
            found |= {key: inner} if inner else {}
    return found


def _made_with(runs: Sequence[tuple[str, Any]]) -> Iterator[Block]:
    """Versions, device and command, once for all runs that share them."""
    groups: dict[str, list[str]] = {}
    for name, header in runs:
        facts = {
            "device": header.device,
            "fingerprint": header.fingerprint,
            "versions": dict(header.versions),
            "command": " ".join(header.command),
        }
        groups.setdefault(_yaml(facts), []).append(name)
    for text, names in groups.items():
        if len(groups) > 1:
            some = ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")
            yield Note(some)
        yield Code(text, "yaml")


def _yaml(data: Any) -> str:
    return yaml.safe_dump(data, sort_keys=False, allow_unicode=True)
