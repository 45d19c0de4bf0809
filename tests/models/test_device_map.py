"""A model that is spread or offloaded does what it does in one place, in every family."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import retake
from retake.core.adapter import LoadOptions, ModelAdapter
from retake.core.errors import UsageError
from retake.models import models, placing
from tests.tiny import MAKERS

pytest.importorskip("accelerate")
pytestmark = [
    # LLaVA's newline is a weight of no module of its own, which accelerate remarks on.
    pytest.mark.filterwarnings("ignore:The following device_map keys:UserWarning"),
    # transformers 5.18 takes an offloaded model for one on another device; later ones do not.
    pytest.mark.filterwarnings(r"ignore:You are calling .generate\(\):UserWarning"),
]
_TEXT = "model.language_model"


def _offloaded(family: str) -> dict[str, int | str]:
    """Part of the decoder and what stands before it on disk, the rest in memory."""
    llava = family == "llava-onevision"
    first = ("vision_tower", "multi_modal_projector") if llava else ("visual",)
    held = ("embed_tokens", "layers.0", "norm", "rotary_emb")
    return {
        **dict.fromkeys([f"model.{name}" for name in first], "disk"),
        **({"model.image_newline": "cpu"} if llava else {}),
        **{f"{_TEXT}.{name}": "cpu" for name in held},
        f"{_TEXT}.layers.1": "disk",
        "lm_head": "cpu",
    }


def _loaded(folder: Path, **given: Any) -> retake.VideoModel:
    options = {"generate": {"max_new_tokens": 5}, "video": {"long_side": 112}, "keep_ratio": 0.25}
    return retake.load(folder, backend="cpu", **{**options, **given})


def _adapter(family: str, folder: Path, device_map: Any) -> ModelAdapter:
    return models.get(family).load(folder, LoadOptions(device_map=device_map))


@pytest.mark.parametrize("spread", ["layers", "everything", "auto"])
def test_an_offloaded_model_gives_the_same(
    family: str, folder: Path, clip: Path, spread: str
) -> None:
    """Kept tokens, pairs, positions and answers are those of the model in memory, to the bit."""
    maps: dict[str, Any] = {
        "layers": _offloaded(family),
        "everything": {"": "disk"},
        "auto": "auto",
    }
    plain, other = _loaded(folder), _loaded(folder, device_map=maps[spread])
    assert any(weight.is_meta for weight in other.adapter.model.parameters()) == (spread != "auto")
    assert other.config.model.device_map == maps[spread]
    expected, got = plain.watch(clip), other.watch(clip)
    for mine, theirs in zip(got.kept, expected.kept, strict=True):
        np.testing.assert_array_equal(mine, theirs)
    for mine, theirs in zip(got.cache.layers, expected.cache.layers, strict=True):
        assert torch.equal(mine.cached_positions(), theirs.cached_positions())
        assert torch.equal(mine.keys[:, :, : mine.length], theirs.keys[:, :, : theirs.length])
    questions = ["What happens?", "And then, at the very end?"]
    assert other.ask(questions[0]).text == plain.ask(questions[0]).text
    answers = [[each.text for each in model.ask_many(questions)] for model in (other, plain)]
    assert answers[0] == answers[1]
    assert all(not layer.keys.is_meta for layer in got.cache.layers)


@pytest.mark.parametrize("device_map", ["auto", "offloaded", "everything"])
def test_a_spread_model_is_the_same_model(family: str, folder: Path, device_map: str) -> None:
    """Its fingerprint reads offloaded weights too, so memories are interchangeable."""
    maps = {"offloaded": _offloaded(family), "everything": {"": "disk"}}
    plain = _adapter(family, folder, None)
    spread = _adapter(family, folder, maps.get(device_map, device_map))
    assert spread.fingerprint == plain.fingerprint
    assert spread.dtype == plain.dtype
    assert spread.device == plain.device == torch.device("cpu")
    assert set(spread.layer_devices) == {torch.device("cpu")}


def test_a_shared_weight_counts_once(family: str, tmp_path: Path) -> None:
    """A head that is the embeddings stays so for the fingerprint when both are offloaded."""
    tied = MAKERS[family](tmp_path / "tied", tie_word_embeddings=True)
    plain = _adapter(family, tied, None)
    for device_map in ({"": "disk"}, _offloaded(family)):
        assert _adapter(family, tied, device_map).fingerprint == plain.fingerprint


def test_another_models_fingerprint_differs(family: str, folder: Path, tmp_path: Path) -> None:
    """Offloading hides no weight: another seed is another model."""
    other = MAKERS[family](tmp_path / "other", seed=7)
    everything = {"": "disk"}
    assert (
        _adapter(family, folder, everything).fingerprint
        != _adapter(family, other, everything).fingerprint
    )


def test_a_dispatched_model_is_attached_to(family: str, folder: Path, clip: Path) -> None:
    """A model that was spread by others answers through retake.attach(), and keeps its hooks."""
    spread = _adapter(family, folder, _offloaded(family))
    before = [hasattr(module, "_hf_hook") for module in spread.model.modules()]
    options = {"generate": {"max_new_tokens": 5}, "video": {"long_side": 112}, "keep_ratio": 0.25}
    attached = retake.attach(spread.model, spread.tokenizer, **options)
    plain = _loaded(folder)
    memory, expected = attached.watch(clip), plain.watch(clip)
    assert attached.ask("What happens?", memory=memory).text == plain.ask("What happens?").text
    for mine, theirs in zip(memory.kept, expected.kept, strict=True):
        np.testing.assert_array_equal(mine, theirs)
    assert [hasattr(module, "_hf_hook") for module in spread.model.modules()] == before


def test_an_offloaded_weight_that_nothing_brings_is_an_error(tmp_path: Path, clip: Path) -> None:
    """A weight of no offloaded module is lost to the model; the error says how to keep it."""
    folder = MAKERS["llava-onevision"](tmp_path / "llava")
    device_map = {**_offloaded("llava-onevision"), "model.image_newline": "disk"}
    with pytest.raises(retake.RetakeError, match="image_newline"):
        _loaded(folder, device_map=device_map).watch(clip)


def test_a_missing_accelerate_names_the_extra(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the library, the error says which extra brings it."""
    monkeypatch.setattr(placing, "find_spec", lambda name: None)
    with pytest.raises(retake.RetakeError, match=r"retake\[accelerate\]"):
        _loaded(folder, device_map="auto")


@pytest.mark.parametrize(
    ("device_map", "said"),
    [
        ("ato", "auto, balanced, sequential"),
        ({}, "a name or a mapping"),
        ({"model": "gpu7"}, "'gpu7'"),
        ({"model": 1.5}, "1.5"),
        ({"": "meta"}, "meta"),
        ({"": "cpu", "model.visual": "disk"}, "do not overlap"),
    ],
)
def test_a_wrong_map_is_refused(folder: Path, device_map: Any, said: str) -> None:
    """A map that names no device is an error of usage that shows what was given."""
    with pytest.raises(retake.RetakeError, match=said):
        _loaded(folder, device_map=device_map)


def test_a_map_that_leaves_weights_out_is_refused(family: str, folder: Path) -> None:
    """What no part of a map places is named, not left wherever it was read to."""
    with pytest.raises(UsageError, match=r"places no .* and \d+ more") as raised:
        _adapter(family, folder, {"lm_head": "cpu"})
    assert raised.value.exit_code == 2
