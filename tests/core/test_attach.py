"""Attaching to a model leaves nothing behind: afterwards it is what it was, to the bit."""

import copy
from collections.abc import Callable
from typing import Any

import attrs
import pytest
import torch
from torch import Tensor, nn

from retake.compressors.pivotkv import PivotKV
from retake.core.adapter import LoadOptions
from retake.core.arena import CACHE_ARGUMENT
from retake.core.errors import PartError
from retake.core.kv import KVChunk
from retake.models.qwen2_vl import Qwen2VL

_HOOKS = [name for name in vars(nn.Module()) if "hooks" in name]


def _print_of(model: nn.Module) -> dict[str, Any]:
    """All that could have been changed on a model and its modules."""
    configs = {
        name: module.config for name, module in model.named_modules() if hasattr(module, "config")
    }
    return {
        "state": {name: value.clone() for name, value in model.state_dict().items()},
        "hooks": {
            name: {kind: dict(getattr(module, kind) or {}) for kind in _HOOKS}
            for name, module in model.named_modules()
        },
        "attributes": {
            name: {
                key: value if isinstance(value, (int, float, str, bool, type(None))) else id(value)
                for key, value in vars(module).items()
                if not key.startswith("_forward")
            }
            for name, module in model.named_modules()
        },
        "classes": {name: type(module) for name, module in model.named_modules()},
        "forwards": {name: type(module).forward for name, module in model.named_modules()},
        "configs": {name: copy.deepcopy(config.to_dict()) for name, config in configs.items()},
        "kernels": {name: config._attn_implementation for name, config in configs.items()},
        "training": model.training,
    }


def _assert_same(before: dict[str, Any], after: dict[str, Any]) -> None:
    states = before.pop("state"), after.pop("state")
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())
    for what, value in before.items():
        assert value == after[what], what


def _plain_outputs(stage: Any) -> Tensor:
    """What a user who never heard of retake gets from the model."""
    ids = torch.cat((stage.prefix, stage.suffix))[None]
    with torch.inference_mode():
        one: Tensor = stage.adapter.model(input_ids=ids).logits
        two: Tensor = stage.adapter.model.generate(
            input_ids=ids, max_new_tokens=5, do_sample=False
        ).float()
    return torch.cat((one.flatten(), two.flatten()))


@attrs.frozen
class Failing(PivotKV):
    """Fails in one layer, at one chunk."""

    layer: int = 0
    chunk: int = 0
    error: BaseException = attrs.field(factory=RuntimeError)
    calls: list[int] = attrs.field(factory=list)

    def score(self, chunk: KVChunk) -> Tensor:
        if chunk.layer == self.layer:
            self.calls.append(chunk.layer)
            if len(self.calls) > self.chunk:
                raise self.error
        return PivotKV.score(self, chunk)


@pytest.mark.parametrize("positions", ["original", "reforge"])
def test_nothing_is_left_after_a_run(stage: Any, positions: str) -> None:
    """Weights, hooks, configuration, attributes and outputs are what they were."""
    outputs = _plain_outputs(stage)
    before = _print_of(stage.adapter.model)
    engine = stage.engine(PivotKV(), positions)
    stage.ask(engine, stage.prefill(engine, rows=2, share=stage.share(0.5)))
    _assert_same(before, _print_of(stage.adapter.model))
    assert torch.equal(outputs, _plain_outputs(stage))


def test_while_attached_the_model_differs(stage: Any) -> None:
    """The comparison of these tests does see what attaching changes."""
    engine = stage.engine()
    prefilled = stage.prefill(engine)
    before = _print_of(stage.adapter.model)
    with engine.asking(prefilled, 1):
        during = _print_of(stage.adapter.model)
    assert during["hooks"] != before["hooks"]
    assert set(during["kernels"].values()) != set(before["kernels"].values())


@pytest.mark.parametrize("layer", [0, 1])
@pytest.mark.parametrize("chunk", [0, 2])
@pytest.mark.parametrize("error", [RuntimeError("broken"), KeyboardInterrupt()])
def test_nothing_is_left_after_a_failure(
    stage: Any, layer: int, chunk: int, error: BaseException
) -> None:
    """A compressor that fails, or a user who interrupts, in the middle of a video."""
    good = stage.engine(PivotKV(), "reforge")
    want = stage.ask(good, stage.prefill(good, rows=2, share=stage.share(0.5)))
    outputs = _plain_outputs(stage)
    before = _print_of(stage.adapter.model)
    bad = stage.engine(Failing(layer=layer, chunk=chunk, error=error), "reforge")
    # A part's own failure is reported as such; an interrupt goes through as it is.
    raised = PartError if isinstance(error, Exception) else type(error)
    with pytest.raises(raised):
        stage.prefill(bad, rows=2, share=stage.share(0.5))
    assert len(bad.compressor.calls) == chunk + 1
    _assert_same(before, _print_of(stage.adapter.model))
    assert torch.equal(outputs, _plain_outputs(stage))
    got = stage.ask(good, stage.prefill(good, rows=2, share=stage.share(0.5)))
    assert torch.equal(got, want)


def test_nothing_is_left_after_a_failing_question(stage: Any) -> None:
    """An error while asking detaches too, and the memory still answers."""
    engine = stage.engine()
    prefilled = stage.prefill(engine)
    want = stage.ask(engine, prefilled)
    before = _print_of(stage.adapter.model)

    def fail() -> None:
        with engine.asking(prefilled, 9) as cache:
            stage.adapter.model(input_ids=stage.suffix[None], **{CACHE_ARGUMENT: cache})
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    _assert_same(before, _print_of(stage.adapter.model))
    assert torch.equal(stage.ask(engine, prefilled), want)


def test_what_the_user_watched_before_does_not_matter(stage: Any) -> None:
    """What the model remembers of a user's own video changes no answer, and is put back."""
    engine = stage.engine()
    prefilled = stage.prefill(engine)
    want = stage.ask(engine, prefilled)
    inner = stage.adapter.model.model
    theirs = torch.tensor([[40]])
    inner.rope_deltas = theirs
    try:
        assert torch.equal(stage.ask(engine, prefilled), want)
        with engine.asking(prefilled, 1):
            inner.rope_deltas = None
        assert inner.rope_deltas is theirs
    finally:
        inner.rope_deltas = None


def test_the_users_own_hooks_stay(stage: Any) -> None:
    """Hooks that were there before still run, attached or not."""
    seen: list[int] = []
    layer = stage.adapter.attention_layers()[0]
    handle = layer.register_forward_hook(lambda *_: seen.append(1))
    try:
        engine = stage.engine()
        stage.ask(engine, stage.prefill(engine))
        during = len(seen)
        _plain_outputs(stage)
    finally:
        handle.remove()
    assert during == 3
    assert len(seen) > during


def test_another_copy_is_not_touched(
    stage: Any, make_checkpoint: Callable[..., Any], tmp_path: Any
) -> None:
    """A second model in the same process runs as ever while the first is attached."""
    other = Qwen2VL.load(make_checkpoint(tmp_path / "other", seed=3), LoadOptions())
    ids = stage.suffix[None]
    want = other.model(input_ids=ids).logits
    engine = stage.engine()
    with engine.asking(stage.prefill(engine), 9):
        assert torch.equal(other.model(input_ids=ids).logits, want)
