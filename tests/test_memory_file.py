"""A memory that was saved and loaded answers as before, and only for the model that made it."""

from collections.abc import Callable
from itertools import permutations
from pathlib import Path
from typing import Any

import attrs
import pytest
import torch
from transformers import AutoTokenizer, Qwen2VLForConditionalGeneration

import retake
from retake.core.errors import UsageError
from retake.video.source import SourceDigest

QUESTIONS = ("What is it?", "Where does it go, and why?", "Which?\n(A) one (B) two")


def answers(model: retake.VideoModel, memory: retake.VideoMemory, **options: Any) -> list[tuple]:
    """Tokens of every question's answer."""
    return [model.ask(question, memory, **options).token_ids for question in QUESTIONS]


@pytest.mark.parametrize(
    "given",
    [
        {"keep_ratio": 0.5},
        {"budget": 120, "prefill": {"reserve": 20}},
        {"compressor": "none", "selector": "uniform"},
        {"keep_ratio": 0.25, "prefill": {"positions": "original", "chunk_frames": 8}},
        {"keep_ratio": 0.25, "prefill": {"reference": True}, "selector": "dpselect"},
        {"selector": "dpselect", "prefill": {"reference": True, "positions": "original"}},
        {"keep_ratio": 0.5, "dtype": "bfloat16"},
        {"keep_ratio": 0.5, "dtype": "float16", "attention": "eager"},
    ],
    ids=str,
)
def test_same_answers_as_before(load: Any, clip: Path, tmp_path: Path, given: Any) -> None:
    """To the bit, in a fresh model too, by every way of decoding; the file stays as it is."""
    model = load(**given)
    memory = model.watch(clip)
    path = memory.save(tmp_path / "m.retake")
    written = path.read_bytes()
    loaded = retake.load_memory(path)
    assert loaded.config == memory.config
    fresh = load(**given)
    for options in ({}, {"do_sample": True, "temperature": 2.0}, {"num_beams": 3}):
        expected = answers(model, memory, **options)
        assert answers(model, loaded, **options) == expected
        assert answers(fresh, loaded, **options) == expected
    assert path.read_bytes() == written


def test_asking_in_every_order(load: Any, clip: Path, tmp_path: Path) -> None:
    """No question changes what a loaded memory holds, nor what the next one is answered."""
    model = load(keep_ratio=0.5)
    memory = retake.load_memory(model.watch(clip).save(tmp_path / "m.retake"))
    before = [layer.keys[:, :, : layer.length].clone() for layer in memory.cache.layers]
    buffers = [layer.keys.data_ptr() for layer in memory.cache.layers]
    expected = dict(zip(QUESTIONS, answers(model, memory), strict=True))
    for order in permutations(QUESTIONS):
        assert all(model.ask(each, memory).token_ids == expected[each] for each in order * 2)
    for layer, keys in zip(memory.cache.layers, before, strict=True):
        assert torch.equal(layer.keys[:, :, : layer.length], keys)
    assert buffers == [layer.keys.data_ptr() for layer in memory.cache.layers]


def test_answer_does_not_depend_on_how_the_asker_is_configured(
    load: Any, clip: Path, tmp_path: Path
) -> None:
    """Positions, reference and what was dropped are the memory's, whatever the model's are."""
    prefill = {"positions": "original", "reference": True}
    maker = load(keep_ratio=0.5, selector="uniform", prefill=prefill)
    memory = maker.watch(clip)
    assert memory.compression.steps_dropped > 0
    expected = answers(maker, memory)
    loaded = retake.load_memory(memory.save(tmp_path / "m.retake"))
    asker = load(selector="none", compressor="none")
    assert answers(asker, loaded) == expected
    differing = attrs.evolve(
        loaded,
        config={
            **loaded.config,
            "prefill": {**loaded.config["prefill"], "reference": False},
        },
    )
    assert answers(asker, differing) != expected


def test_another_model_is_refused(
    load: Any, clip: Path, tmp_path: Path, make_checkpoint: Callable[..., Path]
) -> None:
    """Other weights, or the same in another dtype: both are named."""
    path = load(keep_ratio=0.5).watch(clip).save(tmp_path / "m.retake")
    memory = retake.load_memory(path)
    other = make_checkpoint(tmp_path / "other", seed=1)
    for model in (retake.load(other), load(dtype="bfloat16"), retake.load()):
        with pytest.raises(UsageError, match="made by another model") as caught:
            model.ask("What is it?", memory)
        own = model.config.model.path or "the embedded model"
        for words in (memory.config["model"]["path"], own, "float32"):
            assert words in caught.value.message


def test_a_memory_elsewhere_is_refused(load: Any, clip: Path, tmp_path: Path) -> None:
    """Pairs on another device than the layers that would read them: said, with the way out."""
    model = load(keep_ratio=0.5)
    path = model.watch(clip).save(tmp_path / "m.retake")
    elsewhere = retake.load_memory(path, "meta")
    with pytest.raises(UsageError, match=r"is on meta, the model's layers are on cpu") as raised:
        model.ask("What?", elsewhere)
    assert "model.adapter.layer_devices" in str(raised.value)


def test_memory_of_an_attached_model(checkpoint: Path, clip: Path, tmp_path: Path) -> None:
    """Also of one in a dtype that no option names."""
    loaded = Qwen2VLForConditionalGeneration.from_pretrained(checkpoint, dtype=torch.float64)
    model = retake.attach(loaded, AutoTokenizer.from_pretrained(checkpoint), keep_ratio=0.5)
    memory = model.watch(clip)
    again = retake.load_memory(memory.save(tmp_path / "m.retake"))
    assert again.config["model"]["dtype"] == "float64"
    assert answers(model, again, max_new_tokens=4) == answers(model, memory, max_new_tokens=4)


def test_source_travels_along(load: Any, clip: Path, tmp_path: Path) -> None:
    """Which video it was can be told from the file."""
    memory = load(keep_ratio=0.5).watch(clip)
    marked = attrs.evolve(memory, source=SourceDigest(clip).result())
    assert retake.load_memory(marked.save(tmp_path / "m.retake")).source == marked.source
