"""Counted operations against torch's own counter and the formula; measuring the peak."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

import retake
from retake.backends.cpu import CPU
from retake.core.backend import Backend
from retake.measure import Counted, Tally, counting, machine, matmul_rate, peak, read_bandwidth
from retake.measure.counting import counting_backend
from retake.measure.flops import attention_flops, mass_flops, module_flops, visible_pairs
from retake.video_model import VideoModel

QUESTION = "What is it?"


def counted(model: VideoModel, clip: Path) -> tuple[Counted, list[Counted], Any]:
    """What watching and asking count: watching, the passes of asking, and the memory."""
    with counting(model.adapter, model.backend) as (tally, backend):
        assert tally.uncounted_weights == 0
        other = VideoModel(model.adapter, backend, model.selector, model.compressor, model.config)
        memory = other.watch(clip, questions=[QUESTION])
        watching = Counted.added(tally.take())
        other.ask(QUESTION, memory)
        return watching, tally.take(), memory


class Spy(CPU):
    """Adds up the work of pairs that a causal mask hides, which torch's counter counts too."""

    hidden = 0

    def attend(self, queries: Any, keys: Any, *rest: Any) -> Any:
        batch, heads, count, width = queries.shape
        Spy.hidden += 4 * batch * heads * width * (count * (count - 1) // 2)
        return super().attend(queries, keys, *rest)


@pytest.mark.parametrize("shipped", [True, False], ids=["embedded", "tiny"])
@pytest.mark.parametrize("ratio", [0.25, 1.0])
def test_agrees_with_torch(clip: Path, checkpoint: Path, shipped: bool, ratio: float) -> None:
    """As `FlopCounterMode` counts, once what eager attention multiplies and then masks is added."""
    model = retake.load(
        None if shipped else checkpoint,
        keep_ratio=ratio,
        attention="eager",
        generate={"max_new_tokens": 4},
    )
    watching, asking, _ = counted(model, clip)
    ours = watching.total() + Counted.added(asking).total()
    Spy.hidden = 0
    spied = VideoModel(
        model.adapter, Spy(kernel="eager"), model.selector, model.compressor, model.config
    )
    with FlopCounterMode(display=False) as torchs:
        spied.ask(QUESTION, spied.watch(clip, questions=[QUESTION]))
    assert Spy.hidden > 0
    assert ours + Spy.hidden == pytest.approx(torchs.get_total_flops(), rel=0.001)


def test_follows_the_formula(clip: Path, load: Any) -> None:
    """Exactly two operations a weight and token; a chunk sees its compressed past."""
    model = load(keep_ratio=0.5, prefill={"chunk_frames": 16})
    watching, asking, memory = counted(model, clip)
    language = model.adapter.language_model()
    weights = sum(m.weight.numel() for m in language.modules() if isinstance(m, nn.Linear))
    shape = memory.compression
    tokens = shape.text_tokens + shape.tokens_selected
    assert watching.counts["language", "linear"] == 2 * tokens * weights

    config = model.adapter.model.config.text_config
    heads, layers = config.num_attention_heads, config.num_hidden_layers
    width = config.hidden_size // heads
    chunk = 16 // 2 * shape.tokens_per_step
    sizes = [
        min(chunk, shape.tokens_selected - at) for at in range(0, shape.tokens_selected, chunk)
    ]
    pairs, held = (
        visible_pairs(shape.text_tokens, shape.text_tokens, causal=True),
        shape.text_tokens,
    )
    mass = 0
    for seen, size in zip(range(0, shape.tokens_selected, chunk), sizes, strict=True):
        pairs += visible_pairs(size, held + size, causal=True)
        mass += size**2
        held = shape.text_tokens + (seen + size) // 2
    assert watching.counts["language", "attention"] == 4 * layers * heads * width * pairs
    assert watching.counts["language", "mass"] == 2 * layers * heads * width * mass

    before, first, *further = asking
    assert before.total() == 0
    vocabulary = model.adapter.model.lm_head.weight.numel()
    assert first.counts["head", "linear"] == 2 * vocabulary
    assert len(further) == model.config.generate.max_new_tokens - 1
    assert {each.counts["language", "linear"] for each in further} == {2 * weights}


def test_what_is_not_done_is_not_counted(clip: Path, load: Any) -> None:
    """Without a compressor there is no attention mass, and every chunk sees the whole past."""
    full, _, _ = counted(load(compressor="none", prefill={"chunk_frames": 16}), clip)
    small, _, _ = counted(load(keep_ratio=0.25, prefill={"chunk_frames": 16}), clip)
    assert full.kind("mass") == 0 < small.kind("mass")
    assert full.counts["language", "attention"] > small.counts["language", "attention"]
    assert full.total("encoder") == small.total("encoder") > 0


def test_counting_leaves_no_trace(clip: Path, load: Any) -> None:
    """Afterwards, also after an exception, hooks are gone and the tower attends as before."""
    model = load()
    vision = model.adapter.model.config.vision_config
    before = vision._attn_implementation

    def interrupted() -> None:
        with counting(model.adapter, model.backend):
            assert vision._attn_implementation != before
            raise RuntimeError("on purpose")

    with pytest.raises(RuntimeError, match="on purpose"):
        interrupted()
    assert vision._attn_implementation == before
    assert not any(
        module._forward_hooks or module._forward_pre_hooks
        for module in model.adapter.model.modules()
    )


def test_counting_changes_no_answer(clip: Path, load: Any) -> None:
    """The model computes while counted what it computes otherwise, to the bit."""
    model = load(keep_ratio=0.5)
    plain = model.watch(clip)
    with counting(model.adapter, model.backend) as (_, backend):
        other = VideoModel(model.adapter, backend, model.selector, model.compressor, model.config)
        memory = other.watch(clip)
    for ours, theirs in zip(memory.cache.layers, plain.cache.layers, strict=True):
        held = ours.length
        assert held == theirs.length
        assert torch.equal(ours.keys[:, :, :held], theirs.keys[:, :, :held])
    assert isinstance(backend, CPU)
    assert backend.kernel == model.backend.kernel


def test_weights_without_a_formula_are_told(load: Any) -> None:
    """A matrix that no counted module owns shows as a share of all."""
    model = load()
    model.adapter.model.experts = nn.ParameterList([nn.Parameter(torch.zeros(64, 64))])
    with counting(model.adapter, model.backend) as (tally, _):
        weights = sum(w.numel() for w in model.adapter.model.parameters() if w.ndim > 1)
        assert tally.uncounted_weights == pytest.approx(64 * 64 / weights)


def test_shapes() -> None:
    """Numbers worked out by hand."""
    assert visible_pairs(3, 5, causal=True) == 3 + 4 + 5
    assert attention_flops(queries=3, keys=5, heads=2, width=8, causal=True) == 4 * 2 * 8 * 12
    assert attention_flops(queries=3, keys=5, heads=2, width=8, value_width=4) == 2 * 2 * 12 * 15
    assert mass_flops(queries=3, keys=3, heads=2, width=8) == 2 * 2 * 8 * 9
    assert module_flops(nn.Linear(8, 4), torch.zeros(3, 4)) == 2 * 3 * 8 * 4
    grouped = nn.Conv2d(4, 6, kernel_size=3, groups=2)
    assert module_flops(grouped, torch.zeros(1, 6, 5, 5)) == 2 * 6 * 25 * 2 * 9
    with pytest.raises(TypeError, match="ReLU"):
        module_flops(nn.ReLU(), torch.zeros(1))


def test_backend_of_another_kind_is_kept() -> None:
    """Whatever else a backend can do, the counting one can do too."""

    class Other(CPU):
        def describe(self) -> str:
            return "another"

    with_tally = counting_backend(Other(kernel="eager"), Tally())
    assert with_tally.describe() == "another"
    assert with_tally.kernel == "eager"


def test_every_computation_of_a_backend_is_counted() -> None:
    """A backend that learns to compute something new must be counted: see `counting_backend`."""
    others = {"device", "describe", "peak_memory", "reset_peak_memory", "synchronize"}
    others |= {"unavailable", "name", "kernel", "on_host"}
    others |= {"default_dtype", "random_devices", "seeded", "visible"}
    public = {name for name in dir(Backend) if not name.startswith("_")}
    assert public - others == {"attend", "attention_mass"}


def test_peak_is_measured() -> None:
    """The best of the sizes tried, in the dtype asked for."""
    rate = matmul_rate(CPU(), torch.bfloat16, sizes=(32, 64))
    assert set(rate.by_size) == {32, 64}
    assert rate.flops_per_second == max(rate.by_size.values()) == rate.by_size[rate.size] > 0
    assert rate.dtype == "bfloat16"
    width = read_bandwidth(CPU(), size=1024**2)
    assert width.bytes_per_second == max(width.reading, width.copying) > 0
    assert machine(CPU())["threads"] == torch.get_num_threads()


def test_what_would_take_long_is_not_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    """The best rate so far foretells it; the first size is always tried."""
    timed = iter([0.5, 2.0, 16.0])
    monkeypatch.setattr(peak, "_median_seconds", lambda work, backend: next(timed))
    assert set(matmul_rate(CPU(), torch.float32, sizes=(1, 2, 4, 8)).by_size) == {1}
    timed = iter([0.01, 0.1, 0.5])  # faster as they grow: eight times as much would be 0.8, 4.0
    rate = matmul_rate(CPU(), torch.float32, sizes=(1, 2, 4, 8))
    assert rate.by_size == {1: 200.0, 2: 160.0, 4: 256.0}
