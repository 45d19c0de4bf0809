"""Quantised models: nothing in retake takes a layer's weight for numbers that it computes in."""

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import retake
from retake.core.adapter import LoadOptions
from retake.measure.counting import counting
from retake.models import models

_OPTIONS: dict[str, Any] = {
    "generate": {"max_new_tokens": 5},
    "video": {"long_side": 112},
    "keep_ratio": 0.25,
}


class _Int8(nn.Module):
    """A linear layer as quantisers make them: whole numbers and scales, in buffers."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        scale = linear.weight.detach().abs().amax(1, keepdim=True).clamp(min=1e-12) / 127
        self.register_buffer("scale", scale)
        self.register_buffer("qweight", (linear.weight.detach() / scale).round().to(torch.int8))
        self.bias = linear.bias

    def dense(self) -> Tensor:
        return self.qweight * self.scale

    def forward(self, states: Tensor) -> Tensor:
        return nn.functional.linear(states, self.dense().to(states.dtype), self.bias)


def _linears(model: nn.Module) -> list[tuple[nn.Module, str, nn.Linear]]:
    return [
        (module, name, child)
        for module in model.modules()
        for name, child in module.named_children()
        if isinstance(child, nn.Linear)
    ]


def test_a_quantised_model_runs(family: str, folder: Path, clip: Path) -> None:
    """It keeps and answers what the model with the same numbers in float32 does."""
    dense, quantised = (models.get(family).load(folder, LoadOptions()) for _ in range(2))
    with torch.no_grad():
        for _, _, linear in _linears(dense.model):
            linear.weight.copy_(_Int8(linear).dense())
    for module, name, linear in _linears(quantised.model):
        setattr(module, name, _Int8(linear))
    assert (quantised.dtype, quantised.device) == (torch.float32, torch.device("cpu"))
    results = []
    for adapter in (dense, quantised):
        model = retake.attach(adapter.model, adapter.tokenizer, **_OPTIONS)
        with counting(adapter, model.backend) as (tally, _):
            memory = model.watch(clip)
        results.append((memory, model.ask("What happens?").text, tally))
    (expected, answer, plain), (memory, text, tally) = results
    assert text == answer
    for mine, theirs in zip(memory.kept, expected.kept, strict=True):
        assert mine.tolist() == theirs.tolist()
    assert [each.as_data() for each in tally.take()] == [each.as_data() for each in plain.take()]
    assert quantised.fingerprint != models.get(family).load(folder, LoadOptions()).fingerprint


def test_a_fingerprint_reads_quantised_weights(family: str, folder: Path) -> None:
    """Other whole numbers are another model."""
    made = models.get(family).load(folder, LoadOptions())
    for module, name, linear in _linears(made.model):
        setattr(module, name, _Int8(linear))
    before = made.fingerprint  # read once a model, so another adapter reads anew
    changed = made.language_model().layers[0].mlp.up_proj.qweight
    changed[0, 0] = 5 if changed[0, 0] != 5 else 6
    assert models.get(family).wrap(made.model, made.tokenizer).fingerprint != before


def _said_to_be(folder: Path, target: Path, quantised: dict[str, Any]) -> Path:
    """The checkpoint, said to be quantised so."""
    target.mkdir()
    for file in folder.iterdir():
        (target / file.name).write_bytes(file.read_bytes())
    config = json.loads((target / "config.json").read_text())
    (target / "config.json").write_text(json.dumps({**config, "quantization_config": quantised}))
    return target


@pytest.mark.parametrize(
    ("method", "library"),
    [
        ({"quant_method": "bitsandbytes", "load_in_4bit": True}, "bitsandbytes"),
        ({"quant_method": "gptq", "bits": 4}, "gptqmodel"),
        ({"quant_method": "awq", "bits": 4}, "gptqmodel"),
    ],
)
def test_a_missing_library_is_named(
    folder: Path, tmp_path: Path, method: dict[str, Any], library: str
) -> None:
    """A checkpoint whose library is not installed says what to install."""
    if find_spec(library) is not None:
        pytest.skip(f"{library} is installed")
    quantised = _said_to_be(folder, tmp_path / "quantised", method)
    with pytest.raises(retake.RetakeError, match=f"pip install {library}") as raised:
        retake.load(quantised, backend="cpu")
    assert str(method["quant_method"]) in str(raised.value)


@pytest.mark.skipif(find_spec("bitsandbytes") is None, reason="bitsandbytes is not installed")
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("bits", [4, 8])
def test_bitsandbytes(folder: Path, tmp_path: Path, clip: Path, bits: int) -> None:
    """A checkpoint that bitsandbytes made is loaded, and is known again; in 8 bits it answers.

    In 4 bits its kernel for CPUs takes rows of 64 numbers and more, which tiny models have not.
    """
    from transformers import AutoModelForImageTextToText, BitsAndBytesConfig

    pytest.importorskip("accelerate")
    stock = AutoModelForImageTextToText.from_pretrained(
        folder,
        quantization_config=BitsAndBytesConfig(**{f"load_in_{bits}bit": True}),
        device_map={"": "cpu"},
        dtype=torch.float32,
    )
    saved = tmp_path / "quantised"
    stock.save_pretrained(saved)
    for file in folder.iterdir():
        if not (saved / file.name).exists() and file.suffix != ".safetensors":
            (saved / file.name).write_bytes(file.read_bytes())
    model = retake.load(saved, backend="cpu", **_OPTIONS)
    weight = model.adapter.language_model().layers[0].mlp.up_proj.weight
    assert weight.dtype in (torch.uint8, torch.int8)
    attached = retake.attach(stock.eval(), model.adapter.tokenizer, **_OPTIONS)
    assert attached.adapter.fingerprint == model.adapter.fingerprint
    assert attached.adapter.dtype == model.adapter.dtype == torch.float32
    if bits == 4:
        return
    answer = model.ask("What happens?", memory=model.watch(clip))
    assert attached.ask("What happens?", memory=attached.watch(clip)).text == answer.text
