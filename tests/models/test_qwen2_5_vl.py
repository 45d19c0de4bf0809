"""Qwen2.5-VL: time in seconds, window attention, and that reforging scales time."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

import retake
from retake.compressors.pivotkv import PivotKV
from retake.core.adapter import LoadOptions
from retake.core.errors import UsageError
from retake.core.tokens import Selection, VisualTokens
from retake.models.qwen2_5_vl import Qwen25VL
from tests.staging import Stage
from tests.tiny import qwen2_5_vl


@pytest.fixture(scope="module")
def adapter(tmp_path_factory: pytest.TempPathFactory) -> Qwen25VL:
    """A tiny checkpoint that gives two positions a second."""
    folder = qwen2_5_vl.make(tmp_path_factory.mktemp("checkpoints") / "qwen2.5-vl")
    return Qwen25VL.load(folder, LoadOptions())


def _selection(steps: list[int], total: int = 8, patches: int = 2) -> Selection:
    tokens = VisualTokens(torch.zeros(total, patches, 4), torch.arange(total).double(), (1, 2))
    return Selection.gather(tokens, torch.tensor(steps))


def _published(steps: int, seconds: float, rate: int, grid: tuple[int, int], start: int) -> Tensor:
    """The rule of the family's first release, step by step, height and width as Qwen2-VL's."""
    positions = []
    for step in range(steps):
        time = int(torch.tensor(step) * torch.tensor(seconds) * rate)
        positions += [(time, row, column) for row in range(grid[0]) for column in range(grid[1])]
    return torch.tensor(positions).T + start


@pytest.mark.parametrize(
    ("seconds", "times"),
    [
        # one step a second, two positions a second
        (1.0, [0, 2, 4, 6, 8]),
        # as many steps as positions a second
        (0.5, [0, 1, 2, 3, 4]),
        # more steps than positions: neighbours share one
        (0.25, [0, 0, 1, 1, 2]),
        # between two positions the earlier
        (0.7, [0, 1, 2, 4, 5]),
        # a frame a minute
        (120.0, [0, 240, 480, 720, 960]),
    ],
)
def test_time_counts_seconds(adapter: Qwen25VL, seconds: float, times: list[int]) -> None:
    """A step's time is its second times the configured rate, cut to a whole number."""
    selection = _selection([0, 1, 2, 3, 4])
    positions = adapter.video_positions(7, selection, (1, 2), selection.steps.float() * seconds)
    assert (positions[0, ::2] - 7).tolist() == times
    assert torch.equal(positions, _published(5, seconds, 2, (1, 2), 7))


def test_what_was_dropped_leaves_its_time_empty(adapter: Qwen25VL) -> None:
    """Kept steps stand at their own seconds."""
    positions = adapter.video_positions(0, _selection([1, 4, 7]), (1, 2))
    assert positions[0].tolist() == [2, 2, 8, 8, 14, 14]


def test_patches_of_a_row_keep_their_own_time(adapter: Qwen25VL) -> None:
    """A selector that packs patches of several steps into a row changes nobody's second."""
    tokens = VisualTokens(torch.zeros(4, 2, 4), torch.arange(4).double(), (1, 2))
    selection = Selection.gather(tokens, torch.tensor([[0, 1], [3, 2]]))
    positions = adapter.video_positions(0, selection, (1, 2))
    assert positions[0].tolist() == [0, 2, 6, 4]
    assert positions[2].tolist() == [0, 1, 0, 1]


@pytest.mark.parametrize("seconds", [0.25, 0.7, 1.0, 3.0])
@pytest.mark.parametrize("rows", [1, 2, 3])
def test_reforging_what_was_not_evicted_moves_nothing(
    adapter: Qwen25VL, seconds: float, rows: int
) -> None:
    """At any spacing of steps, chunks keep the model's own times as long as all is kept."""
    stage = Stage.of(adapter, (2, 3), seconds_per_step=seconds)
    engine = stage.engine(PivotKV(), "reforge")
    prefilled = stage.prefill(engine, rows=rows, share=stage.share(1.0))
    first = len(stage.prefix)
    for layer in prefilled.cache.layers:
        assert torch.equal(layer.cached_positions()[:, first:], stage.own_positions)
    torch.testing.assert_close(stage.ask(engine, prefilled), stage.stock(), atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("seconds", [1.0, 3.0, 12.0])
def test_reforging_scales_time(adapter: Qwen25VL, seconds: float) -> None:
    """With a quarter kept the video takes a quarter of its time, whatever a step's seconds."""
    stage = Stage.of(adapter, (2, 3), steps=32, seconds_per_step=seconds)
    engine = stage.engine(PivotKV(), "reforge")
    prefilled = stage.prefill(engine, rows=4, share=stage.share(0.25))
    first = len(stage.prefix)
    own = stage.own_positions[0] - first
    for layer, kept in zip(prefilled.cache.layers, prefilled.kept, strict=True):
        times = layer.cached_positions()[0, first:] - first
        assert (times.diff() >= 0).all()
        # Cut to whole numbers twice: where the chunk starts, and within it.
        short = own[torch.from_numpy(kept)] / 4 - times
        assert ((short >= 0) & (short < 2)).all()


def test_a_slower_rate_is_another_video(adapter: Qwen25VL) -> None:
    """Seconds reach the attention: the same tokens further apart give other logits."""
    answers = []
    for seconds in (1.0, 6.0):
        stage = Stage.of(adapter, (2, 3), seconds_per_step=seconds)
        engine = stage.engine()
        answers.append(stage.ask(engine, stage.prefill(engine, rows=2)))
    assert (answers[0] - answers[1]).abs().max() > 1e-3


def test_windows_are_the_towers_own(adapter: Qwen25VL) -> None:
    """Tokens are what the stock tower gives, its windows within a frame included."""
    frames = torch.randint(0, 256, (4, 112, 168, 3), dtype=torch.uint8)
    patches = adapter.preprocess(frames, (112, 168))
    with torch.inference_mode():
        stock = adapter.model.model.visual(patches.values, torch.tensor([patches.grid]))
        mine = adapter.encode(patches)
    torch.testing.assert_close(mine.flatten(0, 1), stock.pooler_output)


def test_sampling_decides_the_seconds(adapter: Qwen25VL, clip: Path) -> None:
    """Watched at twice the rate, a video takes the same time in twice the steps."""
    folder, spans = adapter.folder, []
    for fps in (1.0, 2.0):
        model = retake.load(
            folder, compressor="none", prefill={"positions": "original"},
            video={"fps": fps, "long_side": 56},
        )  # fmt: skip
        memory = model.watch(clip)
        times = memory.cache.layers[0].cached_positions()[0]
        spans.append(
            (memory.compression.steps, int(times[-1] - times[memory.compression.text_tokens]))
        )
    assert spans == [(20, 76), (40, 78)]


@pytest.mark.parametrize("selector", ["none", "dpselect", "uniform", "ma-lmm"])
def test_a_streams_seconds_are_its_own(adapter: Qwen25VL, selector: str) -> None:
    """Of frames that somebody else delivers, their own times are the steps', however uneven."""
    frames = torch.randint(0, 256, (128, 56, 56, 3), dtype=torch.uint8)
    times = np.r_[np.arange(64) / 30, 64 / 30 + 10.0 * np.arange(64)]
    batches = [
        retake.FrameBatch(frames[part], np.arange(128)[part], times[part])
        for part in (slice(0, 50), slice(50, 128))
    ]
    options = {"keep_ratio": 1.0} if selector in ("uniform", "ma-lmm") else {}
    model = retake.load(
        adapter.folder,
        selector=retake.PartOptions(selector, options),
        compressor="none",
        prefill={"positions": "original"},
    )
    memory = model.watch(batches)
    text = memory.compression.text_tokens
    placed = memory.cache.layers[0].cached_positions()[0, text:] - text
    # Two frames a step, two positions a second, four tokens a step.
    assert placed[::4].tolist() == [int(2 * np.float32(time)) for time in times[::2]]


@pytest.mark.parametrize("first", [0, 1])
def test_thinning_stays_on_the_scale(adapter: Qwen25VL, first: int) -> None:
    """A video that outgrew its plan shrinks as a whole; what comes then follows in its time."""
    stage = Stage.of(adapter, (2, 3), steps=8, seconds_per_step=4.0)
    prefill = stage.engine(PivotKV(), "reforge").start(stage.prefix, 200)
    tokens, start = stage.selection, len(stage.prefix)
    # What is kept may begin later than the video.
    cuts = [(6 * first, 24), (24, 48)]
    prefill.feed(tokens.part(*cuts[0]), stage.own_positions[:, slice(*cuts[0])], None)
    held = cuts[0][1] - cuts[0][0]
    prefill.thin(held // 2)
    prefill.feed(tokens.part(*cuts[1]), stage.own_positions[:, slice(*cuts[1])], None)
    for layer in prefill.finish().cache.layers:
        times = layer.cached_positions()[0, start:] - start
        assert (times.diff() >= 0).all()
        # Step 4 was to stand at 32, behind 32 seconds of which half are left; then steps of 8.
        assert times[held // 2 :].unique().tolist() == [16, 24, 32, 40]


def test_there_is_no_reference(adapter: Qwen25VL, clip: Path) -> None:
    """The published code never ran this family: its positions are refused, not made up."""
    model = retake.load(adapter.folder, prefill={"reference": True})
    with pytest.raises(UsageError, match=r"time in seconds, such as qwen2\.5-vl"):
        model.watch(clip)
