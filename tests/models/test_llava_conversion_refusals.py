"""What `retake convert llava-video` does not recognise is refused by name, and nothing written."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from retake.core.errors import RetakeError
from retake.models.llava_conversion import convert_llava_video
from retake.models.llava_conversion.folder import Destination
from retake.models.llava_conversion.tensor_file import stored_tensors
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


_WRONG_VALUES: list[tuple[str, Any, str]] = [
    ("rope_theta", "1e6", "a number above 0"),
    ("num_hidden_layers", "2", "a whole number"),
    ("num_hidden_layers", True, "a whole number"),
    ("num_attention_heads", 0, "a whole number from 1 on"),
    ("max_position_embeddings", 0, "a whole number from 1 on"),
    ("rope_scaling", {"type": "zzz"}, "linear"),
    ("rope_scaling", [1], "linear"),
    ("rope_scaling", {"type": "linear"}, "factor"),
    ("hidden_act", "nope", "silu"),
    ("tie_word_embeddings", "no", "expected bool"),
    ("eos_token_id", "x", "expected int"),
    ("pad_token_id", 900, "num_embeddings"),
    ("architectures", 5, "LlavaQwenForCausalLM"),
    ("use_sliding_window", True, "false"),
    ("add_time_instruction", "no", "true or false"),
]


def test_wrong_values_in_the_configuration(tmp_path: Path, siglip: Path) -> None:
    """The error names config.json, the value and the reason, whatever it would have broken."""
    source = make_original(tmp_path / "a")
    config = json.loads((source / "config.json").read_text())
    for key, value, reason in _WRONG_VALUES:
        (source / "config.json").write_text(json.dumps({**config, key: value}))
        with pytest.raises(RetakeError) as caught:
            convert_llava_video(source, tmp_path / "b", vision=siglip)
        said = str(caught.value)
        for words in ("config.json", str(source), reason):
            assert words in said
        assert f"{key} = {value!r}" in said or "transformers can build" in said, said
        assert not (tmp_path / "b").exists()


def test_wrong_values_in_the_other_folders_are_theirs(tmp_path: Path) -> None:
    """A wrong field of --text or --vision is not laid to the checkpoint."""
    source, text = make_original(tmp_path / "a", rope_theta=...), tmp_path / "text"
    text.mkdir()
    (text / "config.json").write_text(json.dumps({"model_type": "qwen2", "rope_theta": "x"}))
    tower = make_siglip(tmp_path / "tower")
    with pytest.raises(RetakeError, match=r"text' has rope_theta = 'x' in its config\.json"):
        convert_llava_video(source, tmp_path / "b", vision=tower, text=text)
    source = make_original(tmp_path / "whole")
    wrong = make_siglip(tmp_path / "wrong", hidden_size="24")
    with pytest.raises(RetakeError, match=r"config\.json of '.*wrong'.*hidden_size"):
        convert_llava_video(source, tmp_path / "b", vision=wrong)


def _two(first: dict[str, Any], second: dict[str, Any]) -> str:
    """A header of two tensors of two float32 each, with some of it changed."""
    entries = {
        name: {"dtype": "F32", "shape": [2], "data_offsets": [start, start + 8], **change}
        for name, start, change in (("a", 0, first), ("b", 8, second))
    }
    return json.dumps(entries)


_SOUND = _two({}, {})
_DAMAGED = {
    "the same bytes": (_two({}, {"data_offsets": [0, 8]}), 8, "shares bytes"),
    "overlapping": (_two({}, {"data_offsets": [4, 12]}), 12, "'b' shares bytes"),
    "a gap": (_two({}, {"data_offsets": [12, 20]}), 20, "'b' follows a gap"),
    "bytes behind": (_SOUND, 19, "3 bytes that belong to no tensor"),
    "cut short": (_SOUND, 15, "cut short"),
    "a name twice": (_SOUND.replace('"b"', '"a"'), 16, "names 'a' twice"),
    "a field twice": (_SOUND.replace('"dtype"', '"shape"', 1), 16, "names 'shape' twice"),
    "a shape of fractions": (_two({"shape": [2.0]}, {}), 16, "'a' is no whole number"),
    "a shape of truths": (_two({"shape": [True, 2]}, {}), 16, "'a' is no whole number"),
    "offsets of fractions": (_two({"data_offsets": [0.0, 8.0]}, {}), 16, "no whole number"),
    "negative": (_two({"shape": [-1, -2]}, {}), 16, "no whole number"),
    "three offsets": (_two({"data_offsets": [0, 8, 8]}, {}), 16, "3 offsets"),
    "another size": (_two({"shape": [3]}, {}), 16, "not as many as its shape"),
    "no object": ("[]", 0, "header is damaged"),
    "no JSON": ("{", 0, "header is damaged"),
}


@pytest.mark.parametrize(("header", "size", "says"), _DAMAGED.values(), ids=_DAMAGED)
def test_damaged_headers(tmp_path: Path, header: str, size: int, says: str) -> None:
    """A file that safetensors would refuse, or one that names a tensor twice, is not read."""
    file = tmp_path / "model.safetensors"
    file.write_bytes(len(header).to_bytes(8, "little") + header.encode() + bytes(size))
    with pytest.raises(RetakeError) as caught:
        stored_tensors(file)
    assert says in str(caught.value)
    assert str(file) in str(caught.value)


def test_tensors_may_lie_in_any_order(tmp_path: Path) -> None:
    """What counts is that they cover the file: names may be in another order, tensors empty."""
    second = {"shape": [0, 4], "data_offsets": [8, 8]}
    header = _two({"data_offsets": [8, 16]}, second).replace("}}", "}, ")
    header += '"c": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}'
    file = tmp_path / "model.safetensors"
    file.write_bytes(len(header).to_bytes(8, "little") + header.encode() + bytes(16))
    found, _ = stored_tensors(file)
    assert {each.name: each.shape for each in found} == {"a": (2,), "b": (0, 4), "c": (2,)}


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


@pytest.mark.parametrize("left", ["retake-conversion.json.part", "config.json.part"])
def test_what_a_killed_run_left_is_no_obstacle(tmp_path: Path, left: str) -> None:
    """A half-written file, the folder's mark among them, is written anew."""
    destination = Destination(tmp_path / "out", {"checkpoint": "one"})
    destination.folder.mkdir()
    (destination.folder / left).write_bytes(b"{")
    name = left.removesuffix(".part")
    destination.put(name, [b"whole"])
    assert [path.name for path in destination.folder.iterdir()] == [name]
    assert (destination.folder / name).read_bytes() == b"whole"
