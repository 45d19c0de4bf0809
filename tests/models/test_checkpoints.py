"""Checkpoints that are not what they seem: refused by name, for every family."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from retake.core.adapter import LoadOptions
from retake.core.errors import ModelError, VideoError
from retake.loading import family_of
from retake.models import checkpoints, models
from retake.models.llava_frames import FixedFrames
from retake.models.qwen2_vl_frames import FrameRules, fitted_size
from tests.tiny import MAKERS

_RULES: dict[str, Callable[[str, str], Any]] = {
    "fixed": FixedFrames.from_json,
    "fitted": FrameRules.from_json,
}
# Of the published checkpoints: the settings that say how frames become pixels.
_PLAIN = {
    "do_convert_rgb": True,
    "do_normalize": True,
    "do_rescale": True,
    "do_resize": True,
    "resample": 3,
    "rescale_factor": 0.00392156862745098,
}
_CLIP = {
    "image_mean": [0.48145466, 0.4578275, 0.40821073],
    "image_std": [0.26862954, 0.26130258, 0.27577711],
}


@pytest.fixture(scope="module")
def whole(family: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of three layers."""
    folder = tmp_path_factory.mktemp("whole") / family
    return MAKERS[family](folder, num_hidden_layers=3)


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> Path:
    """A copy of it that a test may damage."""
    return Path(shutil.copytree(whole, tmp_path / "broken"))


def _load(family: str, folder: Path) -> Any:
    return models.get(family).load(folder, LoadOptions())


def _refused(family: str, folder: Path) -> str:
    with pytest.raises(ModelError) as raised:
        _load(family, folder)
    assert str(folder) in raised.value.message
    assert "\n" not in raised.value.message
    return str(raised.value)


def _edit(file: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    held = json.loads(file.read_text())
    change(held)
    file.write_text(json.dumps(held))


def _add(folder: Path, **weights: torch.Tensor) -> None:
    file = folder / "model.safetensors"
    save_file({**load_file(file), **weights}, file, metadata={"format": "pt"})


def _rules_file(folder: Path) -> Path:
    return next(folder.glob("*preprocessor_config.json"))


def test_layers_that_the_configuration_leaves_out(family: str, folder: Path) -> None:
    """A model of one layer is not made from three."""
    one = {"num_hidden_layers": 1, "layer_types": None}
    _edit(folder / "config.json", lambda held: held["text_config"].update(one))
    message = _refused(family, folder)
    assert "weights that the configured model has no place for" in message
    assert "language_model.layers.1." in message
    assert "and 21 more" in message


def test_biases_that_the_model_type_does_not_have(family: str, folder: Path) -> None:
    """Numbers that the model would run without are not dropped."""
    _add(folder, **{"model.language_model.layers.0.self_attn.o_proj.bias": torch.ones(32)})
    message = _refused(family, folder)
    assert "has no place for: model.language_model.layers.0.self_attn.o_proj.bias." in message


def test_weights_that_nothing_reads(family: str, folder: Path) -> None:
    """Tables that older releases saved change nothing."""
    names = (
        "model.language_model.layers.0.self_attn.rotary_emb.inv_freq",
        "model.visual.rotary_pos_emb.inv_freq",
        "model.vision_tower.vision_model.embeddings.position_ids",
        "model.vision_tower.vision_model.head.probe",
    )
    _add(folder, **{name: torch.zeros(4) for name in names})
    _load(family, folder)


def test_the_head_of_a_tied_model(family: str, tmp_path: Path) -> None:
    """A head that is saved beside the embeddings it is tied to is no weight too many."""
    folder = MAKERS[family](tmp_path / "tied", tie_word_embeddings=True)
    file = folder / "model.safetensors"
    held = load_file(file)
    embedding = next(held[name] for name in held if name.endswith("embed_tokens.weight"))
    _add(folder, **{"lm_head.weight": embedding.clone()})
    _load(family, folder)


def test_a_quantised_checkpoint_holds_more() -> None:
    """Scales are in no model's list of weights; what is missing is refused all the same."""
    report: dict[str, Any] = {
        "missing_keys": set(),
        "mismatched_keys": set(),
        "unexpected_keys": {"layer.scales"},
    }
    checkpoints.check_weights("here", report, quantised=True)
    with pytest.raises(ModelError, match=r"no place for: layer\.scales"):
        checkpoints.check_weights("here", report)
    with pytest.raises(ModelError, match=r"missing: layer\.qweight"):
        checkpoints.check_weights(
            "here", {**report, "missing_keys": {"layer.qweight"}}, quantised=True
        )


def test_weights_of_another_shape(family: str, folder: Path) -> None:
    """Each is named with the shape it has and the one that is wanted."""
    _edit(folder / "config.json", lambda held: held["text_config"].update(intermediate_size=48))
    message = _refused(family, folder)
    assert "down_proj.weight (it is [32, 64], config.json asks for [32, 48])" in message
    assert "ignore_mismatched_sizes" not in message


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"hidden_size": "big"}, "hidden_size"),
        ({"num_attention_heads": 0}, "ZeroDivisionError|num_attention_heads|zero"),
        ({"vocab_size": None}, "vocab_size|NoneType"),
        ({"hidden_act": 3}, "hidden_act|3"),
        ({"rope_parameters": [1]}, "rope|list"),
        ({"intermediate_size": [64]}, "intermediate_size"),
        ({"num_hidden_layers": -1}, "."),
    ],
)
def test_configurations_of_wrong_types(
    family: str, folder: Path, change: dict[str, Any], message: str
) -> None:
    """Whatever goes wrong while the model is built, the checkpoint is to blame."""
    _edit(folder / "config.json", lambda held: held["text_config"].update(change))
    with pytest.raises(ModelError, match=message):
        _load(family, folder)


@pytest.mark.parametrize("text", ["[1]", '"a"', "null", "3"])
def test_a_configuration_that_is_no_object(family: str, folder: Path, text: str) -> None:
    """It is shown as it stands there."""
    (folder / "config.json").write_text(text)
    assert f"config.json' must hold a JSON object, {{…}}; it holds {text}." in _refused(
        family, folder
    )


@pytest.mark.parametrize("part", ["text_config", "vision_config"])
@pytest.mark.parametrize("value", [None, [1], "a"])
def test_parts_of_a_configuration_that_are_no_objects(
    family: str, folder: Path, part: str, value: Any
) -> None:
    """Null above all: the default that stands in for it has billions of weights."""
    _edit(folder / "config.json", lambda held: held.update({part: value}))
    message = _refused(family, folder)
    assert f"config.json' gives '{part}' as {json.dumps(value)}; it must be an object" in message


@pytest.mark.parametrize("kind", [["x"], {"a": 1}, None, 3])
def test_a_model_type_that_is_no_name(kind: Any) -> None:
    """A list or a number is not looked up."""
    with pytest.raises(ModelError, match=r"of 'here' gives the model type .*; it must be a name"):
        family_of({"model_type": kind}, "here")


@pytest.mark.parametrize(
    "name", ["config.json", "processor_config.json", "chat_template.json", "the rules"]
)
def test_files_that_are_not_text(family: str, folder: Path, name: str) -> None:
    """Bytes that are not UTF-8 are refused with the file's name."""
    if name == "chat_template.json":
        (folder / "chat_template.jinja").unlink()
    file = _rules_file(folder) if name == "the rules" else folder / name
    file.write_bytes(b'{"a": "\xff"}')
    message = _refused(family, folder)
    assert "is not UTF-8 text" in message
    assert file.name in message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "chat_template.json' is not valid JSON"),
        ("[1]", "chat_template.json' must hold a JSON object"),
        ("{}", "chat_template.json' gives 'chat_template' as null; it must be a text"),
        ('{"chat_template": [1]}', "gives 'chat_template' as [1]; it must be a text"),
    ],
)
def test_templates_of_odd_types(family: str, folder: Path, text: str, message: str) -> None:
    """The file of an older checkpoint's template is checked as every other."""
    (folder / "chat_template.jinja").unlink()
    (folder / "chat_template.json").write_text(text)
    assert message in _refused(family, folder)


@pytest.mark.parametrize("text", ["{", "[1]", '{"model": 3}'])
def test_tokenizers_that_cannot_be_read(family: str, folder: Path, text: str) -> None:
    """Whatever the tokenizer's library raises, the checkpoint is named."""
    (folder / "tokenizer.json").write_text(text)
    assert "Cannot load the model" in _refused(family, folder)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[1]", "processor_config.json' must hold a JSON object, {…}; it holds [1]."),
        ('"a"', 'must hold a JSON object, {…}; it holds "a".'),
        ('{"video_processor": "a"}', "gives 'video_processor' as \"a\"; it must be an object"),
        ('{"image_processor": true}', "gives 'image_processor' as true; it must be an object"),
        ('{"video_processor": {"image_std": 0}}', "gives 'image_std' as 0; it must be three"),
    ],
)
def test_processors_of_odd_types(family: str, folder: Path, text: str, message: str) -> None:
    """The processor's configuration, and what is within it."""
    _rules_file(folder).unlink()
    (folder / "processor_config.json").write_text(text)
    assert message in _refused(family, folder)


def test_frames_that_nothing_is_said_of(family: str, folder: Path) -> None:
    """A checkpoint that does not say is refused, and the error lists what was looked for."""
    _rules_file(folder).unlink()
    with pytest.raises(ModelError) as raised:
        models.get(family).load(folder, LoadOptions())
    message = str(raised.value)
    assert f"'{folder}' does not say how frames are prepared" in message
    names = ("processor_config", "video_preprocessor_config", "preprocessor_config")
    assert ", ".join(f"{name}.json" for name in names) in message


@pytest.mark.parametrize("rules", _RULES)
@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([1], "'here' must hold a JSON object"),
        ({"image_mean": 0.5}, "gives 'image_mean' as 0.5; it must be three numbers"),
        ({"image_mean": [0.5] * 4}, r"'image_mean' as \[0.5, 0.5, 0.5, 0.5\]"),
        ({"image_mean": [0.5, True, 0.5]}, "'image_mean' .* three numbers"),
        ({"image_mean": [0.5, float("nan"), 0.5]}, "'image_mean' .* three numbers"),
        ({"image_mean": [10**400, 0.5, 0.5]}, "'image_mean' .* three numbers"),
        ({"image_std": ["a", "b", "c"]}, "'image_std' .* three numbers above 0"),
        ({"image_std": [0.5, 0, 0.5]}, "'image_std' .* three numbers above 0"),
        ({"resample": 2}, "sets 'resample' to 2, .*: frames are resized by 3 .bicubic"),
        ({"resample": "bilinear"}, "sets 'resample' to \"bilinear\""),
        ({"do_normalize": False}, "sets 'do_normalize' to false"),
        ({"do_rescale": False}, "sets 'do_rescale' to false"),
        ({"do_resize": False}, "sets 'do_resize' to false"),
        ({"do_resize": 1}, "sets 'do_resize' to 1"),
        ({"do_center_crop": True}, "sets 'do_center_crop' to true"),
        ({"rescale_factor": 1}, "sets 'rescale_factor' to 1, .* scaled by 1/255"),
        ({"rescale_factor": "1/255"}, "sets 'rescale_factor'"),
    ],
)
def test_settings_that_cannot_be_followed(rules: str, given: Any, message: str) -> None:
    """What is not a number, and what retake does not do, is refused by name."""
    with pytest.raises(ModelError, match=message):
        _RULES[rules](json.dumps(given), "here")


@pytest.mark.parametrize(
    ("rules", "given", "message"),
    [
        ("fixed", {"size": {"height": 42.0, "width": 42}}, "'size.height' as 42.0; .* 1 to 16384"),
        ("fixed", {"size": {"height": "42", "width": 42}}, "'size.height' as \"42\""),
        ("fixed", {"size": {"height": 42}}, "one 'height' and 'width'"),
        ("fixed", {"size": [42, 42]}, r"'size' as \[42, 42\]"),
        ("fixed", {"size": True}, "'size' as true"),
        ("fixed", {"size": 0}, "'size' as 0"),
        ("fitted", {"size": 384}, "'size' as 384; it must be an object"),
        ("fitted", {"size": {"shortest_edge": "a"}}, "'size.shortest_edge' as \"a\""),
        ("fitted", {"min_pixels": "a"}, "'min_pixels' as \"a\"; it must be a whole number from 1"),
        ("fitted", {"min_pixels": -1}, "'min_pixels' as -1"),
        ("fitted", {"min_pixels": 10**12}, "'min_pixels' as 1000000000000"),
        ("fitted", {"max_pixels": 10**30}, "'max_pixels' as 1000"),
        ("fitted", {"min_pixels": 9000, "max_pixels": 800}, "at least 9000 pixels and at most 800"),
        ("fitted", {"patch_size": 0}, "'patch_size' as 0"),
        ("fitted", {"merge_size": [2]}, r"'merge_size' as \[2\]"),
        ("fitted", {"temporal_patch_size": True}, "'temporal_patch_size' as true"),
    ],
)
def test_sizes_that_are_none(rules: str, given: Any, message: str) -> None:
    """Sizes are whole numbers within reason."""
    with pytest.raises(ModelError, match=message):
        _RULES[rules](json.dumps(given), "here")


def test_one_number_is_both_sides() -> None:
    """As older processors wrote a square."""
    assert FixedFrames.from_json('{"size": 42}', "here") == FixedFrames(height=42, width=42)


@pytest.mark.parametrize("rules", _RULES)
def test_null_is_the_default(rules: str) -> None:
    """A setting that is null says nothing."""
    names = ("size", "image_mean", "image_std", "resample", "do_center_crop", "rescale_factor")
    more = ("do_resize", "min_pixels", "max_pixels", "patch_size", "merge_size")
    given = json.dumps(dict.fromkeys((*names, *more)))
    assert _RULES[rules](given, "here") == _RULES[rules]("{}", "here")


@pytest.mark.parametrize(
    ("rules", "given"),
    [
        # Qwen2-VL, Qwen2.5-VL
        ("fitted", {"min_pixels": 3136, "max_pixels": 12845056, "patch_size": 14, **_CLIP}),
        (
            "fitted",
            {
                **_PLAIN,
                **_CLIP,
                "min_pixels": 3136,
                "max_pixels": 12845056,
                "merge_size": 2,
                "temporal_patch_size": 2,
                "size": {"max_pixels": 12845056, "min_pixels": 3136},
            },
        ),
        (
            "fitted",
            {**_PLAIN, **_CLIP, "size": {"longest_edge": 12845056, "shortest_edge": 3136}},
        ),
        # LLaVA-OneVision, its pictures and its videos
        (
            "fixed",
            {
                **_PLAIN,
                "do_pad": True,
                "image_grid_pinpoints": [[384, 384], [384, 768]],
                "image_mean": [0.5, 0.5, 0.5],
                "image_std": [0.5, 0.5, 0.5],
                "size": {"height": 384, "width": 384},
            },
        ),
        (
            "fixed",
            {
                **_PLAIN,
                "crop_size": None,
                "default_to_square": False,
                "do_center_crop": None,
                "do_sample_frames": False,
                "size": {"height": 384, "width": 384},
            },
        ),
    ],
)
def test_what_published_checkpoints_say_is_followed(rules: str, given: dict[str, Any]) -> None:
    """None of them is refused."""
    made = _RULES[rules](json.dumps(given), "here")
    assert made.mean == tuple(given.get("image_mean", (0.5, 0.5, 0.5)))
    if rules == "fitted":
        assert (made.min_pixels, made.max_pixels) == (3136, 12845056)
    else:
        assert (made.height, made.width) == (384, 384)


def test_narrow_frames_name_the_family() -> None:
    """The family that cannot take them is the one that was loaded."""
    with pytest.raises(VideoError, match=r"too narrow for Qwen2\.5-VL"):
        fitted_size(1, 400, FrameRules(), "Qwen2.5-VL")
