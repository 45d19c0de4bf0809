"""What a command came to, as a person reads it: answers first, then what they rest on."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from retake.core.memory import Answer, Compression, Frames, VideoMemory

from . import units
from .questions import Asked
from .record import Outcome

EMBEDDED = (
    "the small one that ships with retake: it knows coloured shapes in synthetic scenes "
    "(clip:NAME, or `retake data make scenes`) and nothing else; --model PATH takes a real one"
)

_WIDE = 88  # columns that the stages take side by side


def show(outcome: Outcome, console: Console, *, answers: bool = True) -> None:
    """Print the whole report; `answers` is off where they were streamed already."""
    if answers and outcome.answers:
        console.print(_answers(outcome.answers))
        console.print()
    console.print(facts(outcome))
    console.print()
    console.print(_costs(outcome, console.width))
    for warning in outcome.warnings:
        console.print(Text.assemble(("Warning  ", "bold yellow"), warning))


def question_line(asked: Asked) -> Text:
    """A question as it stands above its answer."""
    return Text.assemble(("Q  ", "dim"), asked.text)


def _answers(answers: tuple[tuple[Asked, Answer], ...]) -> Table:
    if all(asked.expected is None for asked, _ in answers):
        return _plain_answers(answers)
    marks = [asked.correct(answer.text) for asked, answer in answers]
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", show_footer=True)
    table.add_column("")
    table.add_column("Question", ratio=1)
    table.add_column("Answer", style="bold", max_width=40)
    table.add_column("Truth", footer=f"{sum(map(bool, marks))} of {len(marks)} right")
    for mark, (asked, answer) in zip(marks, answers, strict=True):
        sign = Text("✓", "green") if mark else Text("✗", "red")
        truth = asked.expected or ""
        table.add_row(sign, asked.text, answer.text, truth)
    return table


def _plain_answers(answers: tuple[tuple[Asked, Answer], ...]) -> Table:
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(style="dim")
    grid.add_column()
    for number, (asked, answer) in enumerate(answers):
        if number:
            grid.add_row()
        grid.add_row("Q", asked.text)
        grid.add_row("A", Text(answer.text or "(nothing)", "bold"))
        for other in answer.alternatives:
            grid.add_row("", other)
    return grid


def facts(outcome: Outcome) -> Table:
    """What the answers rest on."""
    return labelled(_rows(outcome))


def labelled(rows: Iterable[tuple[str, str]]) -> Table:
    """Labels on the left, values beside them."""
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(style="cyan", no_wrap=True)
    grid.add_column(overflow="fold")
    for label, value in rows:
        grid.add_row(label, value)
    return grid


def _rows(outcome: Outcome) -> Iterator[tuple[str, str]]:
    memory = outcome.memory
    compression = memory.compression
    if outcome.file is not None:
        yield "Memory", _file(outcome.file, outcome.memory)
    yield from _video_rows(outcome)
    if outcome.watched_anew:
        times = len(outcome.answers)
        yield "Watched", f"{times} times, once for each question; below is the first"
    yield "Tokens", _tokens(compression)
    if compression.pivots:
        kept = _spread(compression.pivots_kept)
        yield "Pivots", f"{units.count(compression.pivots)} marked → {kept} kept"
    yield (
        "KV cache",
        (
            f"{units.memory(compression.kv_bytes_full)} → {units.memory(compression.kv_bytes)} "
            f"({units.percent(compression.kv_bytes, compression.kv_bytes_full)})"
        ),
    )
    yield "Budget", _budget(memory, outcome.answers)
    for note in compression.notes:
        yield "", note
    yield from _model_rows(outcome)
    if outcome.answers:
        yield "Speed", _speed([answer for _, answer in outcome.answers])


def _file(file: Path, memory: VideoMemory) -> str:
    """A memory's file: where, how large, and how much of it a question reads."""
    held = _spread(tuple(memory.cache.lengths()))
    size = units.memory(file.stat().st_size)
    return f"{file} · {size} · {held} tokens in each of {len(memory.kept)} layers"


def _video_rows(outcome: Outcome) -> Iterator[tuple[str, str]]:
    video, frames = outcome.memory.video, outcome.memory.frames
    if video is not None:
        rate = f"{units.rate(video.fps)} fps{' (variable)' if video.variable_rate else ''}"
        turned = [f"turned by {video.rotation}°"] if video.rotation else []
        yield "Video", outcome.video
        yield (
            "",
            " · ".join(
                [
                    units.length(video.duration),
                    f"{video.width} × {video.height}",
                    rate,
                    video.codec,
                    *turned,
                    f"read by {video.reader}{' (auto)' if 'reader' in outcome.auto else ''}",
                ]
            ),
        )
    if frames is not None:
        yield "Frames", _frames(frames)
        for note in frames.notes:
            yield "", note
        for index, time, reason in frames.unreadable[:3]:
            yield "", f"frame {index} at {time:.2f} s: {reason}"
        if len(frames.unreadable) > 3:
            yield "", f"and {len(frames.unreadable) - 3} more (--json lists them)"


def _frames(frames: Frames) -> str:
    asked = "" if frames.asked_fps is None else f" (asked {units.rate(frames.asked_fps)}"
    if asked:
        reasons = {"max_frames": ", capped by --max-frames", "native_fps": ", all there are"}
        asked += reasons.get(frames.capped_by or "", "") + ")"
    height, width = frames.size
    return (
        f"{units.count(len(frames.indices))} at {units.rate(frames.achieved_fps)} fps{asked}, "
        f"{width} × {height}"
    )


def _tokens(compression: Compression) -> str:
    kept = compression.tokens_kept
    share = units.percent(sum(kept) / len(kept), compression.tokens_seen)
    return (
        f"{units.count(compression.tokens_seen)} seen → "
        f"{units.count(compression.tokens_selected)} selected → "
        f"{_spread(kept)} kept in each of {len(kept)} layers ({share})"
    )


def _spread(counts: tuple[int, ...]) -> str:
    low, high = min(counts), max(counts)
    return units.count(low) if low == high else f"{units.count(low)}–{units.count(high)}"


def _budget(memory: VideoMemory, answers: tuple[tuple[Asked, Answer], ...]) -> str:
    compression = memory.compression
    lengths = memory.cache.lengths()
    each = " in an average layer" if len(set(lengths)) > 1 else ""
    used = f"{units.count(memory.cache.mean_length())} tokens{each} after the video"
    if answers:
        most = max(-(-sum(held) // len(held)) for held in (a.cache_tokens for _, a in answers))
        used += f", {units.count(most)} with the question"
    elif compression.budget is not None:
        used += f", {units.count(compression.reserved)} set aside for a question"
    if compression.keep_ratio is not None:
        got = f"{compression.achieved_ratio:.3g}"
        return f"keep ratio {compression.keep_ratio:g} asked, {got} achieved; {used}"
    if compression.budget is not None:
        return f"{units.count(compression.budget)} tokens asked; {used}"
    return f"none; {used}"


def _model_rows(outcome: Outcome) -> Iterator[tuple[str, str]]:
    config = outcome.config
    folder = outcome.model.adapter.folder
    yield "Model", EMBEDDED if outcome.embedded else folder
    details = (config.model.adapter, config.model.dtype, outcome.model.backend.describe())
    yield "", " · ".join(details) + _auto(outcome)
    parts = (("Selector", config.selector), ("Compressor", config.compressor))
    for label, part in parts:
        yield label, _part(part.name, part.options)


def _part(name: str, options: Mapping[str, Any]) -> str:
    """A part with its options, and those inside it with theirs."""
    inside = [value for value in options.values() if isinstance(value, Mapping)]
    shown = [f"{key}={value}" for key, value in options.items() if not isinstance(value, Mapping)]
    around = "".join(f" of {_part(each['name'], each['options'])}" for each in inside)
    return f"{name} ({', '.join(shown)}){around}" if shown else f"{name}{around}"


def _auto(outcome: Outcome) -> str:
    """Which options of the model were left to be decided."""
    found = [name for name in outcome.auto if name != "reader"]
    return f" (auto: {', '.join(found)})" if found else ""


def _speed(answers: list[Answer]) -> str:
    first = sum(answer.first_token_seconds for answer in answers) / len(answers)
    each = [answer.token_seconds for answer in answers if answer.token_seconds is not None]
    further = f", {units.seconds(sum(each) / len(each))} a further token (TPOT)" if each else ""
    mean = f" (means of {len(answers)} answers)" if len(answers) > 1 else ""
    return f"{units.seconds(first)} from question to first token (TTFT){further}{mean}"


def _costs(outcome: Outcome, width: int) -> Table:
    """Time and peak memory, the stages side by side where they fit, else below each other."""
    rows = [
        ("Stage", "Time", "Peak"),
        *(
            (cost.name, units.seconds(cost.seconds), units.memory(cost.peak_bytes))
            for cost in outcome.costs
        ),
    ]
    wide = width >= _WIDE
    table = Table.grid(padding=(0, 3, 0, 0))
    table.add_column(style="cyan")
    for _ in range(len(rows) - 1 if wide else 2):
        table.add_column(justify="right")
    for row in zip(*rows, strict=True) if wide else rows:
        table.add_row(*row)
    return table
