"""A bench as a person reads it: what was run, the variants side by side, then stage by stage."""

from collections.abc import Callable, Iterator

from rich.console import Console
from rich.table import Table
from rich.text import Text

from retake.core.memory import Compression

from . import units
from .bench_record import Line, Spread, stages, waits
from .bench_runs import Bench, Measured
from .report import EMBEDDED, labelled

_WAITS = {
    "watch_to_first_token": "Video → first token",
    "question_to_first_token": "Question → first token (TTFT)",
    "further_token": "Each further token (TPOT)",
}
# Rows of the stages' tables that no stage alone stands for.
_IN_STAGES = {
    "question_to_first_token": "  first token",
    "further_token": "  further token",
    "watch_to_first_token": "to first token",
}
_WIDE = 100  # columns from which the stages' tables show the smallest and the largest time
_PREFIXES = ("", "k", "M", "G", "T", "P")


def show(bench: Bench, console: Console) -> None:
    """Print the whole report."""
    console.print(labelled(_rows(bench)))
    console.print()
    console.print(_side_by_side(bench))
    for measured in bench.variants:
        console.print()
        console.print(Text(measured.variant.label, "bold"))
        console.print(_stages(bench, measured, ranges=console.width >= _WIDE))
    for warning in warnings(bench):
        console.print(Text.assemble(("Warning  ", "bold yellow"), warning))


def warnings(bench: Bench) -> Iterator[str]:
    """What to know before trusting the numbers."""
    uncounted = bench.variants[0].work.uncounted_weights
    if uncounted > 0.001:
        yield (
            f"{units.percent(uncounted, 1)} of the model's weights belong to modules without a "
            "formula; the operations counted are too few."
        )
    lost = [m for m in bench.variants if m.facts.frames is not None and m.facts.frames.unreadable]
    if lost:
        yield "Frames that could not be decoded were left out; --json lists them."
    over = [m.variant.label for m in bench.variants if m.facts.over_budget]
    if over:
        yield f"The question did not fit in the budget of {', '.join(over)}; see --reserve."


def _rows(bench: Bench) -> Iterator[tuple[str, str]]:
    first = bench.variants[0]
    model, facts = first.model, first.facts
    yield "Video", bench.video
    if facts.frames is not None:
        height, width = facts.frames.size
        rate = units.rate(facts.frames.achieved_fps)
        count = units.count(len(facts.frames.indices))
        yield "Frames", f"{count} at {rate} fps, {width} × {height}"
    about = (model.config.model.adapter, model.config.model.dtype, model.backend.describe())
    yield "Model", EMBEDDED if model.config.model.path is None else model.adapter.folder
    yield "", " · ".join(about)
    yield (
        "Machine",
        f"{flops(bench.rate.flops_per_second)}/s in {bench.rate.dtype} matrix products, "
        f"{units.memory(round(bench.bandwidth.bytes_per_second))}/s of memory, both measured",
    )
    runs = len(first.runs)
    yield (
        "Runs",
        f"{runs} each, after one to warm up; {facts.generated_tokens} tokens generated"
        + ("; medians (smallest–largest)" if runs > 1 else ""),
    )


def _side_by_side(bench: Bench) -> Table:
    """A column for each variant; ratios are to the first."""
    table = Table(box=None, padding=(0, 3, 0, 0), header_style="bold")
    table.add_column("")
    for measured in bench.variants:
        table.add_column(measured.variant.label, overflow="fold")
    for label, cell in _CELLS.items():
        table.add_row(Text(label, "cyan"), *(cell(m.facts.compression) for m in bench.variants))
    found = [waits(bench, measured) for measured in bench.variants]
    for key, label in _WAITS.items():
        if key in found[0]:
            lines = [each[key] for each in found]
            table.add_row(Text(label, "cyan"), *(_time(line) for line in lines))
    return table


def _tokens(c: Compression) -> str:
    kept = units.count(round(sum(c.tokens_kept) / len(c.tokens_kept), 1))
    return f"{units.count(c.tokens_seen)} → {units.count(c.tokens_selected)} → {kept}"


def _budget(c: Compression) -> str:
    if c.keep_ratio is not None:
        return f"keep ratio {c.keep_ratio:g} asked, {c.achieved_ratio:.3g} achieved"
    if c.budget is not None:
        return f"{units.count(c.budget)} tokens asked, {c.achieved_ratio:.3g} × the video kept"
    return "none"


_CELLS: dict[str, Callable[[Compression], str]] = {
    "Tokens seen → selected → kept": _tokens,
    "Budget": _budget,
    "KV cache": lambda c: units.memory(c.kv_bytes),
    "KV buffers": lambda c: units.memory(c.kv_bytes_reserved),
}


def _seconds(line: Line, ranges: bool = True) -> str:
    shown = _range(line.seconds, units.seconds) if ranges else ""
    return f"{units.seconds(line.seconds.median)}{shown}"


def _time(line: Line) -> str:
    text = _seconds(line)
    if line.ratio is None:
        return text
    return f"{text} · {line.ratio.median:.2f}×{_range(line.ratio, '{:.2f}'.format)}"


def _range(spread: Spread, unit: Callable[[float], str]) -> str:
    """The smallest and the largest in brackets, nothing where they look the same."""
    low, high = unit(spread.min), unit(spread.max)
    if low == high:
        return ""
    if low.count(" ") == high.count(" ") == 1 and low.split()[1] == high.split()[1]:
        low = low.split()[0]
    return f" ({low}–{high})"


def _stages(bench: Bench, measured: Measured, *, ranges: bool) -> Table:
    """A row for each stage; columns that would be empty, or the same as another, are left out."""
    lines = stages(bench, measured)
    own = any(line.device_peak_bytes not in (None, line.host_peak_bytes) for line in lines)
    beside = any(line.background_seconds is not None for line in lines)
    heads = {"Time": True, "Beside": beside, "Host peak": True, "Device peak": own}
    heads |= {"Work": True, "Of peak": True, "At best": True}
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("Stage", style="cyan", no_wrap=True)
    for head in [head for head, shown in heads.items() if shown]:
        table.add_column(head, justify="left" if head == "Time" else "right")
    rows = [*_stage_rows(lines, ranges), *_wait_rows(bench, measured, ranges)]
    for style, cells in rows:
        shown = [cell for cell, keep in zip(cells[1:], heads.values(), strict=True) if keep]
        table.add_row(cells[0], *shown, style=style)
    return table


Row = tuple[str, list[str]]


def _stage_rows(lines: list[Line], ranges: bool) -> Iterator[Row]:
    for line in lines:
        beside = line.background_seconds
        peaks = (line.host_peak_bytes, line.device_peak_bytes)
        yield (
            "",
            [
                line.name,
                _seconds(line, ranges),
                "" if beside is None else units.seconds(beside.median),
                *(units.memory(peak) for peak in peaks),
                *_work(line),
            ],
        )


def _wait_rows(bench: Bench, measured: Measured, ranges: bool) -> Iterator[Row]:
    """What an answer consists of, and the whole wait for its first token."""
    found = waits(bench, measured)
    for key, label in _IN_STAGES.items():
        if key in found:
            line = found[key]
            yield "dim", [label, _seconds(line, ranges), "", "", "", *_work(line)]
        if key == "further_token" and key in found:
            read = measured.facts.token_bytes
            best = units.seconds(read / bench.bandwidth.bytes_per_second)
            yield "dim", ["  what it reads", "", "", "", "", units.memory(read), "", best]


def _work(line: Line) -> list[str]:
    if line.flops is None or line.fraction_of_peak is None or line.floor_seconds is None:
        return ["", "", ""]
    share = units.percent(line.fraction_of_peak, 1)
    return [flops(line.flops), share, units.seconds(line.floor_seconds)]


def flops(count: float) -> str:
    """Operations: "1.23 TFLOP"."""
    scaled = [(f"{prefix}FLOP", count / 1000**step) for step, prefix in enumerate(_PREFIXES)]
    unit, value = next((each for each in scaled if each[1] < 999.5), scaled[-1])
    return f"{value:.3g} {unit}"
