"""What `retake convert llava-video` does not recognise is refused by name, and nothing written."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from retake.core.errors import RetakeError
from retake.models.llava_conversion import convert_llava_video
from tests.models.llava_original import TOWER, make_original, make_siglip, tower_tensors


@pytest.fixture(scope="module")
def siglip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny SigLIP checkpoint with weights."""
    return make_siglip(tmp_path_factory.mktemp("siglip"))


_BIG = torch.zeros(4, 4)
_LORA = {"model.layers.0.self_attn.q_proj.lora_A.weight": _BIG}
_REFUSED: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "other architecture": (
        {"architectures": ["LlavaLlamaForCausalLM"]},
        ("LlavaLlamaForCausalLM", "LlavaQwenForCausalLM"),
    ),
    "other type": ({"model_type": "llava_mistral"}, ("'llava_mistral'", "llava_qwen")),
    "converted already": (
        {"architectures": ["LlavaOnevisionForConditionalGeneration"]},
        ("already", "retake run"),
    ),
    "projector": ({"mm_projector_type": "linear"}, ("'linear'", "mlp2x_gelu")),
    "resampler": ({"mm_resampler_type": "perceiver"}, ("mm_resampler_type", "'perceiver'")),
    "merging": ({"mm_patch_merge_type": "flat"}, ("'flat'", "spatial_unpad")),
    "slow and fast": ({"add_faster_video": True}, ("add_faster_video",)),
    "quantised": ({"quantization_config": {"bits": 4}}, ("quantization_config",)),
    "newline": ({"mm_newline_position": "girds"}, ("'girds'", "near: grid")),
    "pooling": ({"mm_spatial_pool_mode": "average"}, ("'average'", "Allowed is bilinear")),
    "stride": ({"mm_spatial_pool_stride": 4}, ("mm_spatial_pool_stride = 4", "Allowed is 2")),
    "another tower": ({"mm_hidden_size": 1024}, ("1024", "24", "--vision")),
    "missing": (
        {"drop": ("model.norm.weight", "model.image_newline")},
        ("lacks", "model.norm.weight", "model.image_newline"),
    ),
    "many missing": (
        {"drop": tuple(name for name in tower_tensors(1) if "layers.0" in name)},
        (f"{TOWER}encoder.layers.0.", "and 12 more"),
    ),
    "no head": ({"drop": ("lm_head.weight",)}, ("lm_head.weight", "tie_word_embeddings")),
    "unexpected": (
        {"add": {"model.faster_token": _BIG, f"{TOWER}encoder.layers.2.x": _BIG}},
        ("holds", "model.faster_token", f"{TOWER}encoder.layers.2.x", "no place"),
    ),
    "missing and unexpected": (
        {"drop": ("model.norm.weight",), "add": {"model.nrom.weight": _BIG}},
        ("lacks model.norm.weight", "holds model.nrom.weight"),
    ),
    "shape": (
        {"add": {"model.norm.weight": torch.ones(31)}},
        ("model.norm.weight is 31, not 32",),
    ),
    "whole numbers": (
        {"add": {"model.norm.weight": torch.ones(32).to(torch.int8)}},
        ("model.norm.weight (I8)",),
    ),
    "lora tensors": ({"add": _LORA}, ("LoRA", "lora_A", "Merge")),
    "no tokenizer": ({"tokenizer": False}, ("no tokenizer", "--text")),
    "no room for placeholders": ({"vocab_size": 260}, ("260 rows", "<video>")),
}


@pytest.mark.parametrize(("change", "says"), _REFUSED.values(), ids=_REFUSED)
def test_refused(
    tmp_path: Path, siglip: Path, change: dict[str, Any], says: tuple[str, ...]
) -> None:
    """What is not recognised is refused by name, and nothing is written."""
    source = make_original(tmp_path / "a", **change)
    with pytest.raises(RetakeError) as caught:
        convert_llava_video(source, tmp_path / "b", vision=siglip)
    for words in says:
        assert words in str(caught.value)
    assert not (tmp_path / "b").exists()


def test_folders_that_are_no_checkpoints(tmp_path: Path, siglip: Path) -> None:
    """Missing folders and files, pickles, adapters, damaged files, an unknown or absent tower."""

    def says(words: str, source: Path, vision: Path | None = siglip) -> None:
        with pytest.raises(RetakeError, match=words):
            convert_llava_video(source, tmp_path / "out", vision=vision)
        assert not (tmp_path / "out").exists()

    says("(?s)no folder .*hf download", Path("lmms-lab/LLaVA-Video-7B-Qwen2"))
    (tmp_path / "empty").mkdir()
    says(r"no config\.json", tmp_path / "empty")
    source = make_original(tmp_path / "a")
    index = source / "model.safetensors.index.json"
    listed = index.read_text()
    index.write_text('{"weight_map": {"a": "../b.safetensors"}}')
    says(r"outside its folder: \.\./b\.safetensors", source)
    index.write_text('{"weight_map": {"a": 3}}')
    says("is damaged", source)
    index.write_text(listed)
    says("'google/siglip-tiny', which is not known", source, None)
    says("holds no vision tower", make_original(tmp_path / "blind", tower=False), None)
    says("'llava', not a SigLIP", source, source)
    (source / "model-00002-of-00003.safetensors").rename(tmp_path / "aside")
    says("lacks model-00002-of-00003", source)
    (source / "model-00002-of-00003.safetensors").write_bytes(
        (tmp_path / "aside").read_bytes()[:-3]
    )
    says("cut short", source)
    (source / "model-00002-of-00003.safetensors").write_bytes(b"garbage that is no tensor file")
    says("does not begin like", source)
    (source / "adapter_config.json").write_text("{}")
    says("LoRA", source)
    pickled = make_original(tmp_path / "pickled")
    for file in (*pickled.glob("*.safetensors"), pickled / "model.safetensors.index.json"):
        file.unlink()
    says("no weights", pickled)
    (pickled / "pytorch_model-00001-of-00002.bin").write_bytes(b"")
    says("pickled: pytorch_model", pickled)


def test_another_conversions_folder_is_refused(tmp_path: Path, siglip: Path) -> None:
    """Only a new or empty folder, or one of the same conversion, is written into."""
    original = make_original(tmp_path / "original")
    converted = tmp_path / "converted"
    convert_llava_video(original, converted, vision=siglip)
    before = {path.name: path.read_bytes() for path in converted.iterdir()}
    taken = tmp_path / "taken"
    taken.mkdir()
    (taken / "thesis.txt").write_text("mine")
    (tmp_path / "file").write_text("mine")
    for folder, words in (
        (taken, r"something else \(thesis\.txt\)"),
        (original, "something else"),
        (tmp_path / "file", "is a file"),
    ):
        with pytest.raises(RetakeError, match=words):
            convert_llava_video(original, folder, vision=siglip)
    other = make_original(tmp_path / "other", mm_newline_position="frame")
    trained = make_original(tmp_path / "trained", seed=1)  # differs in nothing but numbers
    for source, dtype in ((other, None), (trained, None), (original, torch.float16)):
        with pytest.raises(RetakeError, match="another checkpoint, or one with other options"):
            convert_llava_video(source, converted, vision=siglip, dtype=dtype)
    assert {path.name: path.read_bytes() for path in converted.iterdir()} == before
    assert (taken / "thesis.txt").read_text() == "mine"
    with pytest.raises(RetakeError, match=r"Cannot write .*Not a directory"):
        convert_llava_video(original, tmp_path / "file" / "below", vision=siglip)


def test_two_conversions_into_one_folder(tmp_path: Path, siglip: Path) -> None:
    """The second is refused while the first is at work."""
    fcntl = pytest.importorskip("fcntl")
    source, folder = make_original(tmp_path / "a"), tmp_path / "b"
    convert_llava_video(source, folder, vision=siglip)
    with (folder / "retake-conversion.json").open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(RetakeError, match="Another process is converting"):
            convert_llava_video(source, folder, vision=siglip)
    assert convert_llava_video(source, folder, vision=siglip).kept == 3


def test_a_disk_that_is_too_full(
    tmp_path: Path, siglip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found before anything is written; what is there already is not counted."""
    source, folder = make_original(tmp_path / "a"), tmp_path / "b"
    usage = type(shutil.disk_usage(tmp_path))
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(100, 99, 1))
    with pytest.raises(RetakeError, match=r"too full: .* GiB are to be written"):
        convert_llava_video(source, folder, vision=siglip)
    assert [path.name for path in folder.iterdir()] == ["retake-conversion.json"]
    monkeypatch.undo()
    convert_llava_video(source, folder, vision=siglip)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(100, 99, 1))
    assert convert_llava_video(source, folder, vision=siglip).kept == 3


def test_numbers_that_do_not_fit_are_refused(tmp_path: Path, siglip: Path) -> None:
    """No infinity takes the place of a number."""
    big = {"model.norm.weight": torch.full((32,), 1e6, dtype=torch.bfloat16)}
    source = make_original(tmp_path / "a", dtype=torch.bfloat16, add=big)
    with pytest.raises(RetakeError, match=r"model\.norm\.weight.*too large for float16"):
        convert_llava_video(source, tmp_path / "b", vision=siglip, dtype=torch.float16)
    assert not (tmp_path / "b" / "config.json").exists()
