"""Converted LLaVA-Video checkpoints compute what the originals did, and lie as they should."""

import json
import os
import subprocess
import sys
import textwrap
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from transformers import AutoTokenizer, LlavaOnevisionForConditionalGeneration
from transformers.models.llava_onevision.image_processing_pil_llava_onevision import (
    LlavaOnevisionImageProcessorPil,
)

from retake.core.adapter import LoadOptions, Patches
from retake.core.errors import RetakeError
from retake.models.llava_conversion import convert_llava_video, plan, settings
from retake.models.llava_onevision import LlavaOnevision
from tests.models.llava_original import (
    CONFIG,
    TOWER,
    Original,
    make_original,
    make_siglip,
    save_qwen2_tokenizer,
    tensors_of,
)

PIXELS = torch.randn(4, 3, 20, 20, generator=torch.Generator().manual_seed(3))
BEFORE, BEHIND = torch.tensor([5, 6, 7]), torch.tensor([8, 9, 10, 11])


@pytest.fixture(scope="module")
def siglip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny SigLIP checkpoint with weights."""
    return make_siglip(tmp_path_factory.mktemp("siglip"))


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny original checkpoint in three files."""
    return make_original(tmp_path_factory.mktemp("original"))


@pytest.fixture(scope="module")
def converted(tmp_path_factory: pytest.TempPathFactory, original: Path, siglip: Path) -> Path:
    """The same, converted; do not change its files."""
    folder = tmp_path_factory.mktemp("converted") / "new" / "folder"
    convert_llava_video(original, folder, vision=siglip)
    return folder


def hashes(folder: Path) -> dict[str, str]:
    """The hash of every file."""
    return {path.name: sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def loaded(folder: Path, **options: Any) -> Any:
    """The stock model, of which every weight was found."""
    model, report = LlavaOnevisionForConditionalGeneration.from_pretrained(
        folder, output_loading_info=True, **options
    )
    assert not any(report.values()), report
    return model.eval()


def original_tensors(folder: Path, siglip: Path) -> dict[str, torch.Tensor]:
    """Under their original names, with the tower's from its own checkpoint where it has none."""
    tensors = tensors_of(folder)
    if not any(name.startswith(TOWER) for name in tensors):
        tower = tensors_of(siglip).items()
        tensors |= {TOWER + name.removeprefix("vision_model."): each for name, each in tower}
    return tensors


@pytest.mark.parametrize("tied", [False, True], ids=["untied", "tied"])
@pytest.mark.parametrize("tower", [True, False], ids=["own-tower", "separate-tower"])
@pytest.mark.parametrize("shards", [1, 3])
def test_logits_are_those_of_the_original_names(
    tmp_path: Path, siglip: Path, tied: bool, tower: bool, shards: int
) -> None:
    """Computed with transformers' forward from pixels and token ids, and by hand."""
    source = make_original(tmp_path / "a", tied=tied, tower=tower, shards=shards)
    convert_llava_video(source, tmp_path / "b", vision=siglip)
    model = loaded(tmp_path / "b")
    by_hand = Original(original_tensors(source, siglip), CONFIG)
    expected = by_hand.ask(BEFORE, PIXELS, BEHIND, "one_token")

    # What transformers knows is LLaVA-OneVision's one newline behind the video.
    video = torch.full((4 * 3 * 3 + 1,), model.config.video_token_index)
    ids = torch.cat((BEFORE, video, BEHIND))[None]
    with torch.no_grad():
        logits = model(input_ids=ids, pixel_values_videos=PIXELS[None]).logits[0]
    assert expected.std() > 0.5
    torch.testing.assert_close(logits, expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("newline", "tokens"),
    [
        ("grid", 4 * 3 * (3 + 1)),
        ("frame", 4 * (3 * 3 + 1)),
        ("one_token", 4 * 3 * 3 + 1),
        ("no_token", 4 * 3 * 3),
    ],
)
def test_the_adapter_puts_newlines_where_the_original_did(
    tmp_path: Path, siglip: Path, newline: str, tokens: int
) -> None:
    """Loaded by retake: the video's tokens, newlines among them, and the same logits."""
    original = make_original(tmp_path / "a", mm_newline_position=newline)
    done = convert_llava_video(original, tmp_path / "b", vision=siglip)
    assert len(done.notes) == (newline != "one_token")
    options = LoadOptions(device=torch.device("cpu"), dtype=torch.float32, kernel="sdpa")
    adapter = LlavaOnevision.load(tmp_path / "b", options)
    by_hand = Original(tensors_of(original), CONFIG)
    steps = adapter.encode(Patches(PIXELS, (4, 5, 5))).flatten(0, 1)
    video = torch.cat((steps, adapter.after_video()))
    expected = by_hand.video(PIXELS, newline)
    assert len(expected) == tokens
    torch.testing.assert_close(video.detach(), expected, atol=1e-5, rtol=0)
    embedded = torch.cat((adapter.embed(BEFORE), video, adapter.embed(BEHIND)))[None]
    with torch.no_grad():
        logits = adapter.model(inputs_embeds=embedded).logits[0]
    wanted = by_hand.ask(BEFORE, PIXELS, BEHIND, newline)
    torch.testing.assert_close(logits, wanted, atol=1e-4, rtol=0)


def test_named_as_save_pretrained_names(converted: Path, tmp_path: Path) -> None:
    """The same tensors under the same names as a model saved by transformers."""
    model = loaded(converted)
    LlavaOnevisionForConditionalGeneration(model.config).save_pretrained(tmp_path)
    saved = safe_open(tmp_path / "model.safetensors", "pt").keys()
    assert set(tensors_of(converted)) == set(saved)


def test_configuration(converted: Path) -> None:
    """Everything of config.json that counts is carried over; LLaMA and CLIP are not."""
    config = json.loads((converted / "config.json").read_text())
    assert config["architectures"] == ["LlavaOnevisionForConditionalGeneration"]
    assert config["dtype"] == "float32"
    assert (config["mm_newline_position"], config["mm_spatial_pool_mode"]) == ("grid", "bilinear")
    assert (config["mm_spatial_pool_stride"], config["add_time_instruction"]) == (2, True)
    text, vision = config["text_config"], config["vision_config"]
    assert text["model_type"] == "qwen2"
    assert text["rope_parameters"] == {"rope_theta": 1000000.0, "rope_type": "default"}
    assert set(text["layer_types"]) == {"full_attention"}
    assert (vision["num_hidden_layers"], vision["vision_use_head"]) == (2, False)
    assert config["vision_feature_layer"] == -1


def test_the_published_checkpoint_is_understood() -> None:
    """LLaVA-Video-7B-Qwen2: its config.json gives the shapes of its tensors."""
    published = {
        **CONFIG,
        "hidden_size": 3584,
        "intermediate_size": 18944,
        "max_position_embeddings": 32768,
        "mm_hidden_size": 1152,
        "mm_vision_tower": "google/siglip-so400m-patch14-384",
        "num_attention_heads": 28,
        "num_hidden_layers": 28,
        "num_key_value_heads": 4,
        "vocab_size": 152064,
    }
    folder = Path("LLaVA-Video-7B-Qwen2")
    settings.check_kind(folder, published)
    whole = settings.whole_settings(
        published,
        settings.text_settings(folder, published, None),
        settings.vision_settings(folder, published, None),
        settings.video_layout(folder, published)[0],
        (151646, 151647),
    )
    shapes = plan.expected_shapes(whole)
    assert shapes["language_model.model.layers.27.self_attn.k_proj.weight"] == (512, 3584)
    assert shapes["vision_tower.encoder.layers.25.mlp.fc1.weight"] == (4304, 1152)
    assert shapes["vision_tower.embeddings.position_embedding.weight"] == (729, 1152)
    assert "vision_tower.encoder.layers.26.mlp.fc1.weight" not in shapes
    assert len(shapes) == 28 * 12 + 3 + 26 * 16 + 5 + 4 + 1


def test_tokenizer_and_prompt(converted: Path) -> None:
    """The placeholders are one token each, in rows that the embeddings have; qwen_1_5's turns."""
    tokenizer = AutoTokenizer.from_pretrained(converted)
    config = json.loads((converted / "config.json").read_text())
    assert tokenizer("<image><video>").input_ids == [
        config["image_token_index"],
        config["video_token_index"],
    ]
    assert config["video_token_index"] < config["text_config"]["vocab_size"]
    content = [{"type": "video"}, {"type": "text", "text": "Who?"}]
    turns = [{"role": "user", "content": content}, {"role": "assistant", "content": "Me."}]
    assert tokenizer.apply_chat_template(turns, tokenize=False) == (
        "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
        "<|im_start|>user\n<video>\nWho?<|im_end|>\n<|im_start|>assistant\nMe.<|im_end|>\n"
    )
    own = [{"role": "system", "content": "Short."}, {"role": "user", "content": "Who?"}]
    text = tokenizer.apply_chat_template(own, tokenize=False, add_generation_prompt=True)
    assert text == (
        "<|im_start|>system\nShort.<|im_end|>\n<|im_start|>user\nWho?<|im_end|>\n"
        "<|im_start|>assistant\n"
    )


def test_tokenizer_in_several_files(tmp_path: Path, siglip: Path) -> None:
    """As Qwen2's are published; its own chat template does not stay."""
    source = make_original(tmp_path / "a", tokenizer=False)
    save_qwen2_tokenizer(source)
    convert_llava_video(source, tmp_path / "b", vision=siglip)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "b")
    assert tokenizer("<|im_start|>a<image><video>").input_ids[::2] == [257, 259]
    assert tokenizer.decode(tokenizer("Où ?").input_ids) == "Où ?"
    assert "another" not in tokenizer.chat_template
    assert tokenizer.model_max_length == 32768


def test_preprocessing(converted: Path) -> None:
    """SigLIP's: squares of the tower's size, bicubic, from -1 to 1."""
    stock = LlavaOnevisionImageProcessorPil.from_pretrained(converted)
    assert (stock.size["height"], stock.size["width"]) == (20, 20)
    assert (list(stock.image_mean), list(stock.image_std)) == ([0.5] * 3, [0.5] * 3)
    assert int(stock.resample) == 3
    video = json.loads((converted / "video_preprocessor_config.json").read_text())
    assert (video["size"], video["image_mean"]) == ({"height": 20, "width": 20}, [0.5] * 3)


def test_generation_settings_are_kept(tmp_path: Path, siglip: Path) -> None:
    """All of them but the choice of a kernel."""
    source = make_original(tmp_path / "a")
    given = {"repetition_penalty": 1.05, "eos_token_id": [258, 256]}
    (source / "generation_config.json").write_text(
        json.dumps({**given, "attn_implementation": "flash_attention_2"})
    )
    convert_llava_video(source, tmp_path / "b", vision=siglip)
    assert json.loads((tmp_path / "b" / "generation_config.json").read_text()) == given
    assert loaded(tmp_path / "b").generation_config.eos_token_id == [258, 256]


def test_dtype_is_kept_or_converted(tmp_path: Path, siglip: Path) -> None:
    """As stored to the bit; otherwise as torch converts."""
    source = make_original(tmp_path / "a", dtype=torch.bfloat16)
    kept = convert_llava_video(source, tmp_path / "b", vision=siglip)
    wide = convert_llava_video(source, tmp_path / "c", vision=siglip, dtype=torch.float32)
    half = convert_llava_video(source, tmp_path / "d", vision=siglip, dtype=torch.float16)
    assert (kept.dtypes, wide.dtypes, half.dtypes) == (("BF16",), ("F32",), ("F16",))
    stored, exact = tensors_of(tmp_path / "b"), tensors_of(tmp_path / "c")
    assert all(torch.equal(stored[name], exact[name]) for name in stored)
    assert loaded(tmp_path / "d", dtype="auto").dtype == torch.float16
    name = "language_model.model.norm.weight"
    assert torch.equal(tensors_of(tmp_path / "d")[name], stored[name].half().float())


def test_small_numbers_are_rounded(tmp_path: Path, siglip: Path) -> None:
    """Float16 has none between 0 and 6e-8: rounding to 0 loses no more than other rounding."""
    small = torch.tensor([1e-9, -1e-9, 7e-8, 1.0] * 8)
    source = make_original(tmp_path / "a", add={"model.norm.weight": small})
    convert_llava_video(source, tmp_path / "b", vision=siglip, dtype=torch.float16)
    norm = tensors_of(tmp_path / "b")["language_model.model.norm.weight"]
    torch.testing.assert_close(norm[:4], torch.tensor([0.0, 0.0, 2.0**-24, 1.0]), atol=0, rtol=0)


def test_stored_buffers_and_a_stored_tied_head_are_left_out(tmp_path: Path, siglip: Path) -> None:
    """Every model works them out itself; a tied head must be the embeddings, though."""
    buffers = {
        "model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(4),
        f"{TOWER}embeddings.position_ids": torch.arange(25)[None],
    }
    plain = make_original(tmp_path / "plain", tied=True)
    head = {"lm_head.weight": tensors_of(plain)["model.embed_tokens.weight"].clone()}
    full = make_original(tmp_path / "full", tied=True, add={**buffers, **head})
    convert_llava_video(plain, tmp_path / "a", vision=siglip)
    assert convert_llava_video(full, tmp_path / "b", vision=siglip).tied
    first, second = tensors_of(tmp_path / "a"), tensors_of(tmp_path / "b")
    assert first.keys() == second.keys()
    other = make_original(
        tmp_path / "other", tied=True, add={"lm_head.weight": head["lm_head.weight"] + 1}
    )
    with pytest.raises(RetakeError, match="differs from them"):
        convert_llava_video(other, tmp_path / "c", vision=siglip)


def test_what_the_config_leaves_open_is_said(tmp_path: Path, siglip: Path) -> None:
    """The original code's defaults stand in, and are named."""
    source = make_original(tmp_path / "a", mm_newline_position=..., mm_spatial_pool_stride=None)
    done = convert_llava_video(source, tmp_path / "b", vision=siglip)
    assert done.layout["mm_newline_position"] == "one_token"
    assert done.layout["mm_spatial_pool_stride"] == 2
    assert len(done.notes) == 2
    assert "mm_newline_position" in done.notes[0]


def test_text_folder_fills_what_is_missing(tmp_path: Path, siglip: Path) -> None:
    """The tokenizer and fields of the configuration; the checkpoint's own fields win."""
    whole = make_original(tmp_path / "whole")
    source = make_original(tmp_path / "a", tokenizer=False, rope_theta=..., vocab_size=320)
    with pytest.raises(RetakeError, match=r"lacks rope_theta\.") as caught:
        convert_llava_video(source, tmp_path / "b", vision=siglip)
    assert "--text FOLDER" in str(caught.value)
    (whole / "config.json").write_text(
        json.dumps({"model_type": "qwen2", "rope_theta": 1000000.0, "vocab_size": 7})
    )
    convert_llava_video(source, tmp_path / "b", vision=siglip, text=whole)
    config = loaded(tmp_path / "b").config.text_config
    assert config.rope_parameters["rope_theta"] == 1000000.0
    assert config.vocab_size == 320


def test_again_keeps_what_is_right(tmp_path: Path, original: Path, siglip: Path) -> None:
    """Missing, cut, changed and half-written files are written again, to the same bytes."""
    folder = tmp_path / "b"
    first = convert_llava_video(original, folder, vision=siglip)
    assert (first.files, first.kept) == (3, 0)
    before, written = hashes(folder), (folder / "model-00001-of-00003.safetensors").stat()
    assert convert_llava_video(original, folder, vision=siglip).kept == 3

    changed = folder / "model-00002-of-00003.safetensors"
    with changed.open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        last = file.read(1)[0]
        file.seek(-1, os.SEEK_END)
        file.write(bytes([last ^ 1]))
    (folder / "model-00003-of-00003.safetensors.part").write_bytes(b"half")
    cut = folder / "model-00003-of-00003.safetensors"
    cut.write_bytes(cut.read_bytes()[:-7])
    (folder / "config.json").unlink()
    assert convert_llava_video(original, folder, vision=siglip).kept == 1
    assert hashes(folder) == before
    same = (folder / "model-00001-of-00003.safetensors").stat()
    assert (same.st_ino, same.st_mtime_ns) == (written.st_ino, written.st_mtime_ns)


def test_a_folder_loads_only_while_it_is_whole(
    tmp_path: Path, original: Path, siglip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before a damaged file is written again, config.json goes; it comes back last."""
    folder = tmp_path / "b"
    convert_llava_video(original, folder, vision=siglip)
    before = hashes(folder)
    (folder / "model-00002-of-00003.safetensors").write_bytes(b"damaged")

    def stopped(*arguments: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", stopped)
        with pytest.raises(KeyboardInterrupt):
            convert_llava_video(original, folder, vision=siglip)
    assert not (folder / "config.json").exists()
    assert not list(folder.glob("*.part"))
    convert_llava_video(original, folder, vision=siglip)
    assert hashes(folder) == before


@pytest.mark.skipif(sys.platform != "linux", reason="counts memory as Linux does")
def test_memory_does_not_grow_with_shards(tmp_path: Path, siglip: Path) -> None:
    """In a process of its own: less than half of the largest file, with and without conversion."""
    rows = 262_144  # 32 MiB of embeddings, and as much of a head
    make_original(tmp_path / "small")
    make_original(tmp_path / "big", vocab_size=rows, shards=70)
    script = textwrap.dedent(f"""
        import re
        from pathlib import Path
        import torch
        from retake.models.llava_conversion import convert_llava_video
        room, siglip = Path({str(tmp_path)!r}), Path({str(siglip)!r})
        def peak():  # of this process: getrusage counts the memory of its parent too
            status = Path("/proc/self/status").read_text()
            return int(re.search(r"VmHWM:\\s+(\\d+) kB", status)[1]) * 1024
        for dtype in (None, torch.bfloat16):
            convert_llava_video(room / "small", room / f"s{{dtype}}", vision=siglip, dtype=dtype)
        before = peak()
        for dtype in (None, torch.bfloat16):
            convert_llava_video(room / "big", room / f"b{{dtype}}", vision=siglip, dtype=dtype)
        print(peak() - before)
    """)
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=200
    )
    largest = max(path.stat().st_size for path in (tmp_path / "bNone").glob("*.safetensors"))
    assert largest > 32 << 20
    assert int(done.stdout) < largest / 2


def test_a_shard_may_lack_an_index(tmp_path: Path, siglip: Path) -> None:
    """One file without an index is a checkpoint too, and so is a tower saved by itself."""
    source = make_original(tmp_path / "a", shards=1)
    (source / "model.safetensors.index.json").unlink()
    (source / "model-00001-of-00001.safetensors").rename(source / "model.safetensors")
    done = convert_llava_video(source, tmp_path / "b", vision=siglip)
    assert done.files == 1
    assert (tmp_path / "b" / "model.safetensors").is_file()
    assert not (tmp_path / "b" / "model.safetensors.index.json").exists()
    loaded(tmp_path / "b")
