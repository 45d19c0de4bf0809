"""The Qwen2-VL adapter: encoding, prompts, positions, and what it says of bad checkpoints."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from retake.core.adapter import LoadOptions, Patches
from retake.core.errors import ModelError, UsageError
from retake.core.tokens import Selection, VisualTokens
from retake.models.qwen2_5_vl import Qwen25VL
from retake.models.qwen2_vl import Qwen2VL
from tests.tiny import qwen2_5_vl, qwen2_vl

_Make = Callable[..., Path]


@pytest.fixture(scope="module")
def adapter(checkpoint: Path) -> Qwen2VL:
    """The tiny checkpoint, loaded."""
    return Qwen2VL.load(checkpoint, LoadOptions())


@pytest.fixture
def broken(checkpoint: Path, tmp_path: Path) -> Path:
    """A copy of the checkpoint that a test may damage."""
    return Path(shutil.copytree(checkpoint, tmp_path / "broken"))


def _frames(count: int, height: int = 50, width: int = 70, seed: int = 0) -> torch.Tensor:
    random = torch.Generator().manual_seed(seed)
    shape = (count, height, width, 3)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=random)


def _edit(file: Path, **changes: Any) -> None:
    held = json.loads(file.read_text())
    file.write_text(json.dumps({**held, **changes}))


@pytest.mark.parametrize("steps_at_once", [1, 2, 3])
def test_encoding_in_slices_is_encoding_at_once(adapter: Qwen2VL, steps_at_once: int) -> None:
    """A step's tokens depend on that step alone."""
    patches = adapter.preprocess(_frames(9), (56, 84))
    steps, rows, columns = patches.grid
    assert patches.grid == (5, 4, 6)
    with torch.inference_mode():
        whole = adapter.encode(patches)
        parts = [
            adapter.encode(Patches(part, (len(part) // (rows * columns), rows, columns)))
            for part in patches.values.split(steps_at_once * rows * columns)
        ]
    assert whole.shape == (steps, 6, adapter.model.config.text_config.hidden_size)
    torch.testing.assert_close(torch.cat(parts), whole, atol=1e-5, rtol=1e-5)


def test_encoding_is_the_models_own(adapter: Qwen2VL) -> None:
    """Tokens are what the stock vision tower gives for the same patches."""
    patches = adapter.preprocess(_frames(4), (56, 84))
    with torch.inference_mode():
        output = adapter.model.model.visual(patches.values, torch.tensor([patches.grid]))
        mine = adapter.encode(patches)
    torch.testing.assert_close(mine.flatten(0, 1), output.pooler_output)


def test_preprocessing_uses_the_checkpoints_rules(make_checkpoint: _Make, tmp_path: Path) -> None:
    """Bounds and normalisation come from preprocessor_config.json."""
    rules = {"max_pixels": 4 * 784, "image_mean": [0.0, 0.0, 0.0], "image_std": [1.0, 1.0, 1.0]}
    folder = make_checkpoint(tmp_path / "small", preprocessor=rules)
    small = Qwen2VL.load(folder, LoadOptions())
    size = small.frame_size(200, 200, None)
    assert size == (56, 56)
    assert small.frame_size(200, 100, 28) == (28, 28)
    assert small.token_grid(size) == (2, 2)
    values = small.preprocess(_frames(2, 200, 200), size).values
    assert values.min() >= 0
    assert 0.5 < values.max() <= 1


def test_video_preprocessing_comes_first(broken: Path) -> None:
    """A checkpoint's video configuration is used before its image one."""
    (broken / "video_preprocessor_config.json").write_text(json.dumps({"max_pixels": 784}))
    assert Qwen2VL.load(broken, LoadOptions()).frame_size(300, 300, None) == (28, 28)


@pytest.mark.parametrize("question", ["What happens?", "Zwei Fragen? ¿Dos? 二つ", "a <b> & c"])
def test_prompt_is_the_template_around_the_video(adapter: Qwen2VL, question: str) -> None:
    """What stands before the video, and behind it with the question, make the template's text."""
    prompt = adapter.prompt(question)
    tokenizer = adapter.tokenizer
    before, behind = tokenizer.decode(prompt.prefix), tokenizer.decode(prompt.suffix)
    assert f"{before}<|video_pad|>{behind}" == prompt.text
    assert before.endswith("<|vision_start|>")
    assert behind.startswith("<|vision_end|>")
    assert question in behind
    assert behind.endswith("<|im_start|>assistant\n")
    whole = tokenizer(prompt.text, add_special_tokens=False).input_ids
    video = tokenizer.convert_tokens_to_ids("<|video_pad|>")
    assert [*prompt.prefix, video, *prompt.suffix] == whole


def test_the_prefix_does_not_depend_on_the_question(adapter: Qwen2VL) -> None:
    """A video is watched before the question is known."""
    assert adapter.prompt("One?").prefix == adapter.prompt("Another one altogether?").prefix


def test_positions_by_hand(adapter: Qwen2VL) -> None:
    """Time counts steps, height and width the grid, all from the text before the video."""
    tokens = VisualTokens(torch.zeros(2, 6, 4), torch.arange(2).double(), (2, 3))
    selection = Selection.gather(tokens, torch.tensor([0, 1]))
    assert adapter.video_positions(4, selection, (2, 3)).tolist() == [
        [4, 4, 4, 4, 4, 4, 5, 5, 5, 5, 5, 5],
        [4, 4, 4, 5, 5, 5, 4, 4, 4, 5, 5, 5],
        [4, 5, 6, 4, 5, 6, 4, 5, 6, 4, 5, 6],
    ]


def test_positions_of_a_selection(adapter: Qwen2VL) -> None:
    """Steps that were dropped leave no gap in time."""
    tokens = VisualTokens(torch.zeros(5, 2, 4), torch.arange(5).double(), (1, 2))
    selection = Selection.gather(tokens, torch.tensor([1, 4]))
    positions = adapter.video_positions(7, selection, (1, 2))
    assert positions.tolist() == [[7, 7, 8, 8], [7, 7, 7, 7], [7, 8, 7, 8]]


def test_rotary_takes_each_axis_in_its_section(adapter: Qwen2VL) -> None:
    """Text, the same on all axes, turns as with 1-D RoPE; each axis turns its own dimensions."""
    text = torch.arange(5).expand(3, -1)
    cos, sin = adapter.rotary(text)
    frequencies = adapter.language_model().rotary_emb.inv_freq
    angles = torch.arange(5)[:, None].float() * frequencies
    torch.testing.assert_close(cos, torch.cat((angles, angles), dim=-1).cos())
    torch.testing.assert_close(sin, torch.cat((angles, angles), dim=-1).sin())
    sections = adapter.model.config.text_config.rope_parameters["mrope_section"]
    turned = []
    for axis in range(3):
        moved = torch.zeros(3, 1, dtype=torch.int64)
        moved[axis] = 3
        changed = (adapter.rotary(moved)[1][0] != 0).nonzero()[:, 0].tolist()
        assert len(changed) == 2 * sections[axis]
        turned += changed
    assert sorted(turned) == list(range(cos.shape[1]))


def test_dtype_is_honoured(checkpoint: Path) -> None:
    """Weights and visual tokens are in the dtype asked for; angles stay float32."""
    half = Qwen2VL.load(checkpoint, LoadOptions(dtype=torch.bfloat16))
    assert {weight.dtype for weight in half.model.parameters()} == {torch.bfloat16}
    assert half.dtype == torch.bfloat16
    patches = half.preprocess(_frames(2), (56, 84))
    assert half.encode(patches).dtype == torch.bfloat16
    assert half.rotary(torch.zeros(3, 1, dtype=torch.int64))[0].dtype == torch.float32
    assert not half.model.training


def test_attention_of_the_vision_tower_is_chosen(checkpoint: Path) -> None:
    """Both kernels of the vision tower give the same tokens."""
    made = [Qwen2VL.load(checkpoint, LoadOptions(kernel=kernel)) for kernel in ("sdpa", "eager")]
    kernels = [each.model.config.vision_config._attn_implementation for each in made]
    assert kernels == ["sdpa", "eager"]
    with torch.inference_mode():
        tokens = [each.encode(each.preprocess(_frames(4), (56, 84))) for each in made]
    torch.testing.assert_close(tokens[0], tokens[1], atol=1e-5, rtol=1e-4)


def test_tied_embeddings(make_checkpoint: _Make, tmp_path: Path) -> None:
    """A checkpoint without a head of its own uses its embeddings, and loads without complaint."""
    folder = make_checkpoint(tmp_path / "tied", tie_word_embeddings=True)
    assert not any("lm_head" in name for name in load_file(folder / "model.safetensors"))
    model = Qwen2VL.load(folder, LoadOptions()).model
    assert model.lm_head.weight.data_ptr() == model.get_input_embeddings().weight.data_ptr()


def test_yarn_is_applied_when_asked_for(checkpoint: Path) -> None:
    """Frequencies slow down and attention is scaled; a load without it is as before."""
    plain = Qwen2VL.load(checkpoint, LoadOptions())
    stretched = Qwen2VL.load(checkpoint, LoadOptions(yarn_factor=4.0))
    again = Qwen2VL.load(checkpoint, LoadOptions())
    rotary = [each.language_model().rotary_emb for each in (plain, stretched, again)]
    assert rotary[0].attention_scaling == rotary[2].attention_scaling == 1.0
    assert rotary[1].attention_scaling == pytest.approx(1 + 0.1 * torch.tensor(4.0).log().item())
    assert torch.equal(rotary[0].inv_freq, rotary[2].inv_freq)
    assert (rotary[1].inv_freq <= rotary[0].inv_freq).all()
    assert rotary[1].inv_freq[-1] == pytest.approx(rotary[0].inv_freq[-1].item() / 4)
    length = (
        stretched.rotary(torch.full((3, 1), 9))[0].square()
        + stretched.rotary(torch.full((3, 1), 9))[1].square()
    )
    torch.testing.assert_close(length, torch.full_like(length, rotary[1].attention_scaling ** 2))


@pytest.mark.parametrize(
    ("family", "make"), [(Qwen2VL, qwen2_vl.make), (Qwen25VL, qwen2_5_vl.make)]
)
def test_the_layout_of_published_checkpoints(
    family: type[Qwen2VL], make: Callable[[Path], Path], tmp_path: Path
) -> None:
    """The language model's settings at the top level, M-RoPE as a kind of scaling: as published."""
    folder = make(tmp_path / "flat")
    nested = family.load(folder, LoadOptions())
    file = folder / "config.json"
    held = json.loads(file.read_text())
    text = held.pop("text_config")
    rope = text.pop("rope_parameters")
    del text["model_type"]
    flat = {
        **text,
        **held,
        "rope_theta": rope["rope_theta"],
        "rope_scaling": {"type": "mrope", "mrope_section": rope["mrope_section"]},
    }
    file.write_text(json.dumps(flat))
    for factor in (None, 2.0):
        loaded = family.load(folder, LoadOptions(yarn_factor=factor))
        held_rope = loaded.model.config.text_config.rope_parameters
        assert held_rope["mrope_section"] == rope["mrope_section"]
        assert held_rope["rope_type"] == ("default" if factor is None else "yarn")
        assert (loaded.fingerprint == nested.fingerprint) == (factor is None)


@pytest.mark.parametrize("kind", ["yarn", "linear"])
def test_yarn_does_not_replace_a_checkpoints_own_scaling(
    make_checkpoint: _Make, tmp_path: Path, kind: str
) -> None:
    """A context that is stretched already is left as it is, and the request refused."""
    scaled = {"rope_type": kind, "rope_theta": 10000.0, "mrope_section": [1, 1, 2], "factor": 4.0}
    if kind == "yarn":
        scaled["original_max_position_embeddings"] = 128
    folder = make_checkpoint(tmp_path / "scaled", rope_parameters=scaled)
    with pytest.raises(UsageError, match="scales its positions itself") as raised:
        Qwen2VL.load(folder, LoadOptions(yarn_factor=2.0))
    assert kind in str(raised.value)
    held = Qwen2VL.load(folder, LoadOptions()).model.config.text_config.rope_parameters
    assert held["rope_type"] == kind


def test_wrapping_a_loaded_model(adapter: Qwen2VL) -> None:
    """A user's own model is taken as it is; its checkpoint's rules are found."""
    wrapped = Qwen2VL.wrap(adapter.model, adapter.tokenizer)
    assert wrapped.model is adapter.model
    assert wrapped.rules == adapter.rules
    assert wrapped.prompt("What?") == adapter.prompt("What?")


def _truncate(folder: Path) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:1000])


def _without_a_tensor(folder: Path) -> None:
    file = folder / "model.safetensors"
    weights = load_file(file)
    del weights[next(name for name in weights if "layers.1.self_attn.q_proj.weight" in name)]
    save_file(weights, file, metadata={"format": "pt"})


def _with_another_shape(folder: Path) -> None:
    file = folder / "model.safetensors"
    weights = load_file(file)
    name = next(name for name in weights if "layers.0.mlp.up_proj" in name)
    save_file({**weights, name: weights[name][:3].clone()}, file, metadata={"format": "pt"})


def _without_tokenizer(folder: Path) -> None:
    for file in folder.glob("tokenizer*"):
        file.unlink()
    for file in folder.glob("chat_template*"):
        file.unlink()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / "config.json").unlink(), "holds no config.json"),
        (
            lambda folder: _edit(folder / "config.json", model_type="llama"),
            "of the type 'llama', not Qwen2-VL",
        ),
        (lambda folder: (folder / "config.json").write_text("{"), "JSON"),
        (lambda folder: (folder / "model.safetensors").unlink(), "model.safetensors"),
        (_truncate, "header|incomplete|corrupt|[Ee]rror"),
        (_without_a_tensor, r"weights missing: .*layers\.1\.self_attn\.q_proj\.weight"),
        (_with_another_shape, r"layers\.0\.mlp\.up_proj|size|shape"),
        (_without_tokenizer, "[Tt]okenizer"),
        (
            lambda folder: (folder / "preprocessor_config.json").write_text("{"),
            r"preprocessor_config\.json' is not valid JSON",
        ),
        (
            lambda folder: _edit(folder / "preprocessor_config.json", patch_size=16),
            r"cuts patches of \(16, 2, 2\).*takes \(14, 2, 2\)",
        ),
        (shutil.rmtree, "broken"),
    ],
)
def test_bad_checkpoints(broken: Path, damage: Callable[[Path], Any], message: str) -> None:
    """Each names the checkpoint and what is wrong with it, as a ModelError."""
    damage(broken)
    with pytest.raises(ModelError, match=message) as raised:
        Qwen2VL.load(broken, LoadOptions())
    assert str(broken) in str(raised.value)
    assert raised.value.exit_code == 1


def test_no_chat_template(make_checkpoint: _Make, tmp_path: Path) -> None:
    """A tokenizer without a template is refused; an older chat_template.json is read."""
    folder = make_checkpoint(tmp_path / "bare", template=None)
    with pytest.raises(ModelError, match="no chat template"):
        Qwen2VL.load(folder, LoadOptions())
    template = "<|vision_start|><|video_pad|><|vision_end|>{{ messages[0].content[1].text }}"
    (folder / "chat_template.json").write_text(json.dumps({"chat_template": template}))
    prompt = Qwen2VL.load(folder, LoadOptions()).prompt("Why?")
    assert prompt.text == "<|vision_start|><|video_pad|><|vision_end|>Why?"


def test_a_template_without_a_video(make_checkpoint: _Make, tmp_path: Path) -> None:
    """A template that places no video is named when a prompt is asked for."""
    folder = make_checkpoint(tmp_path / "blind", template="{{ messages[0].content[1].text }}")
    adapter = Qwen2VL.load(folder, LoadOptions())
    with pytest.raises(ModelError, match=r"places no <.video_pad.> for a video"):
        adapter.prompt("Why?")


def test_sliding_attention_is_refused(broken: Path) -> None:
    """A model that forgets the past on its own is not supported, and the error says so."""
    config = json.loads((broken / "config.json").read_text())
    config["text_config"].update(
        use_sliding_window=True, max_window_layers=0, sliding_window=8, layer_types=None
    )
    (broken / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match="sliding-window attention"):
        Qwen2VL.load(broken, LoadOptions())
