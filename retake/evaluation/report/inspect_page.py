"""The page that shows what methods keep of one video."""

from collections.abc import Iterator, Sequence
from typing import Any

import attrs
import numpy as np
import yaml

from retake.evaluation.report.document import (
    Cell,
    Code,
    Fact,
    Folded,
    Listing,
    Note,
    Page,
    Section,
    Table,
    section,
)
from retake.evaluation.report.filmstrip import Filmstrip, Picture, clock
from retake.evaluation.report.inspection import Array, Inspection, Kept
from retake.evaluation.report.timeline import Lane, Timeline, curve, heat, time_ticks
from retake.evaluation.report.wording import MISSING, counted, megabytes, percent

FORMAT = "retake.inspection/1"

_CURVE = 110  # pixels of height
_STRIP = 20
_LAYERS = (90, 280)  # at least and at most
_LAYER = 9
_STEPS = 600  # rows of a table at most


def build_inspection(found: Inspection, steps: Sequence[int], pictures: Sequence[Picture]) -> Page:
    """The page.

    Args:
        found: what methods keep.
        steps: the keyframes' steps.
        pictures: the keyframes.
    """
    return Page(
        title=f"What is kept of {found.video}",
        subtitle=_subtitle(found),
        facts=tuple(_facts(found)),
        notices=(),
        sections=(
            *_change(found, steps, pictures),
            *_methods(found),
            *_survival(found),
            *_settings(found),
        ),
        data=_data(found, steps),
    )


def _subtitle(found: Inspection) -> str:
    parts = [
        clock(found.end - float(found.times[0])),
        counted(len(found.frames.indices), "frame"),
        f"{counted(len(found.times), 'step')} of {counted(found.patches, 'token')}",
    ]
    if found.question is not None:
        parts.append(f"watched for: {found.question}")
    return " · ".join(parts)


def _facts(found: Inspection) -> Iterator[Fact]:
    for kept in found.methods:
        compression = kept.compression
        mean = sum(compression.tokens_kept) / len(compression.tokens_kept)
        yield Fact(
            kept.name,
            f"{percent(mean / compression.tokens_seen)} kept",
            f"{mean:,.0f} of {compression.tokens_seen:,} tokens in an average layer",
        )


def _change(
    found: Inspection, steps: Sequence[int], pictures: Sequence[Picture]
) -> Iterator[Section]:
    marks = ", ".join(clock(float(found.times[step])) for step in steps)
    lanes = [
        curve(
            "dissimilarity",
            found.change,
            height=_CURVE,
            marks=steps,
            spoken=f"Largest {found.change.max():.2f}; keyframes at {marks}.",
        )
    ]
    marking = next((kept for kept in found.methods if kept.pivots.any()), None)
    if marking is not None:
        lanes.append(_pivot_lane(marking))
    caption = (
        "Dissimilarity of each step to the one before: one minus the cosine similarity of their "
        "visual tokens, the mean over tokens. Dashed: the keyframes below. The first step has "
        "none before it and counts as 1."
    )
    strip = Filmstrip(f"Keyframes: {counted(len(steps), 'peak')} of the curve.", tuple(pictures))
    yield from section(
        "change",
        "Where the video changes",
        Timeline(caption, tuple(lanes), _ticks(found)),
        strip if pictures else None,
    )


def _pivot_lane(kept: Kept) -> Lane:
    return heat(
        "pivots",
        kept.pivots,
        height=_STRIP,
        tone="pivot",
        small=str(kept.config["selector"]["name"]),
        spoken=f"{counted(kept.compression.pivots, 'pivot')}.",
    )


def _ticks(found: Inspection) -> tuple[tuple[float, str], ...]:
    return time_ticks(float(found.times[0]), found.end)


def _methods(found: Inspection) -> Iterator[Section]:
    caption = (
        "How much of each step's tokens is there, over time: selected for the language model, "
        "marked as pivots, held by each layer once the video is watched, and how much of a "
        "step's pivots is left. Deeper is more; empty is none."
    )
    blocks: list[Any] = [Note(caption)]
    blocks += [Timeline(kept.name, tuple(_lanes(kept)), _ticks(found)) for kept in found.methods]
    yield from section("kept", "What is kept, layer by layer", *blocks)


def _lanes(kept: Kept) -> Iterator[Lane]:
    compression = kept.compression
    selected = f"{compression.tokens_selected:,} of {compression.tokens_seen:,}"
    yield heat("selected", kept.selected, height=_STRIP, small=selected, spoken=selected)
    if kept.pivots.any():
        yield _pivot_lane(kept)
    height = min(_LAYERS[1], max(_LAYERS[0], _LAYER * len(kept.layers)))
    held = _spread([int(each) for each in compression.tokens_kept])
    yield heat("held", kept.layers, height=height, small=f"{held} a layer", spoken=held)
    if kept.pivots.any():
        left = _spread(compression.pivots_kept)
        yield heat(
            "pivots left",
            kept.pivots_kept,
            height=height,
            tone="pivot",
            small=f"{left} of {compression.pivots:,}",
            spoken=left,
        )


def _spread(counts: Sequence[int]) -> str:
    low, high = min(counts), max(counts)
    return f"{low:,}" if low == high else f"{low:,}–{high:,}"


def _survival(found: Inspection) -> Iterator[Section]:
    """Numbers behind the heat maps: each layer's tokens and pivots, and the cache's bytes."""
    rows = tuple(_whole(kept) for kept in found.methods)
    columns = (
        "Method", "Steps selected", "Tokens selected", "Held by a layer", "Pivots",
        "left in a layer", "left, mean", "KV cache, MiB", "full, MiB",
    )  # fmt: skip
    table = Table("After the video.", columns, rows)
    layers = [
        Folded(f"Layers of {kept.name}", (_layer_table(kept),), open=len(found.methods) == 1)
        for kept in found.methods
    ]
    times = _step_table(found)
    notes = tuple(
        f"{kept.name}: {note}" for kept in found.methods for note in kept.compression.notes
    )
    remarks = Listing((*found.frames.notes, *notes)) if notes or found.frames.notes else None
    yield from section("numbers", "Numbers", table, *layers, times, remarks)


def _whole(kept: Kept) -> tuple[Cell, ...]:
    compression = kept.compression
    survived = sum(compression.pivots_kept) / len(compression.pivots_kept)
    share = percent(survived / compression.pivots) if compression.pivots else MISSING
    return (
        Cell(kept.name),
        Cell(f"{int((kept.selected > 0).sum()):,} of {len(kept.selected):,}"),
        Cell(f"{compression.tokens_selected:,}"),
        Cell(_spread([int(each) for each in compression.tokens_kept])),
        Cell(f"{compression.pivots:,}"),
        Cell(_spread(compression.pivots_kept) if compression.pivots else MISSING),
        Cell(share),
        Cell(megabytes(compression.kv_bytes)),
        Cell(megabytes(compression.kv_bytes_full)),
    )


def _layer_table(kept: Kept) -> Table:
    compression = kept.compression
    rows = tuple(
        (
            Cell(str(layer)),
            Cell(f"{tokens:,.0f}"),
            Cell(percent(tokens / compression.tokens_selected)),
            Cell(f"{pivots:,}" if compression.pivots else MISSING),
            Cell(percent(pivots / compression.pivots) if compression.pivots else MISSING),
        )
        for layer, (tokens, pivots) in enumerate(
            zip(compression.tokens_kept, compression.pivots_kept, strict=True), start=1
        )
    )
    columns = ("Layer", "Tokens held", "of those selected", "Pivots left", "of all pivots")
    return Table("Where heads of a layer hold different tokens, their mean.", columns, rows)


def _step_table(found: Inspection) -> Folded | None:
    """Every step in numbers; of a long video they are in the page's data only."""
    if len(found.times) > _STEPS:
        return None
    columns = ["Step", "at", "Dissimilarity"]
    for kept in found.methods:
        columns += [f"{kept.name}: selected", "pivots", "held, mean over layers"]
    means = [kept.layers.mean(axis=0) for kept in found.methods]
    rows = []
    for step, time in enumerate(found.times):
        row = [Cell(str(step)), Cell(clock(float(time))), Cell(f"{found.change[step]:.3f}")]
        for kept, mean in zip(found.methods, means, strict=True):
            shares = (kept.selected[step], kept.pivots[step], mean[step])
            row += [Cell(f"{100 * share:.0f} %") for share in shares]
        rows.append(tuple(row))
    table = Table("Shares of a step's tokens.", tuple(columns), tuple(rows))
    return Folded("Steps as a table", (table,))


def _settings(found: Inspection) -> Iterator[Section]:
    parts = [
        Folded(
            f"Configuration of {kept.name}",
            (Code(yaml.safe_dump(kept.config, sort_keys=False, allow_unicode=True), "yaml"),),
        )
        for kept in found.methods
    ]
    yield from section("settings", "Settings", *parts)


def _data(found: Inspection, steps: Sequence[int]) -> dict[str, Any]:
    """The page's numbers for machines."""
    return {
        "format": FORMAT,
        "video": found.video,
        "question": found.question,
        "times": _plain(found.times),
        "dissimilarity": _plain(found.change),
        "keyframes": list(steps),
        "methods": [
            {
                "name": kept.name,
                "selected": _plain(kept.selected),
                "pivots": _plain(kept.pivots),
                "layers": [_plain(layer) for layer in kept.layers],
                "pivots_kept": [_plain(layer) for layer in kept.pivots_kept],
                "compression": attrs.asdict(kept.compression),
                "config": kept.config,
            }
            for kept in found.methods
        ],
    }


def _plain(values: Array) -> list[float | None]:
    """Numbers for JSON, which knows no NaN."""
    return [None if np.isnan(value) else round(float(value), 6) for value in values]
