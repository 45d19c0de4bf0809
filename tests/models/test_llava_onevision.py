"""LLaVA-OneVision: its frames against the published processor, its tower, its newline."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from transformers import LlavaOnevisionImageProcessorPil

from retake.core.adapter import LoadOptions
from retake.core.errors import ModelError
from retake.core.frames import resized
from retake.core.tokens import Selection, VisualTokens
from retake.models.llava_frames import FixedFrames, to_pixels
from retake.models.llava_onevision import LlavaOnevision
from tests.tiny import llava_onevision as tiny

_RULES = FixedFrames()


@pytest.fixture(scope="module")
def adapter(tmp_path_factory: pytest.TempPathFactory) -> LlavaOnevision:
    """A tiny checkpoint that closes a video with one newline."""
    return LlavaOnevision.load(tiny.make(tmp_path_factory.mktemp("tiny") / "llava"), LoadOptions())


def _noise(height: int, width: int) -> Tensor:
    random = torch.Generator().manual_seed(height)
    return torch.randint(0, 256, (height, width, 3), dtype=torch.uint8, generator=random)


def _gradient(height: int, width: int) -> Tensor:
    rows = torch.linspace(0, 255, height)[:, None].expand(-1, width)
    columns = torch.linspace(255, 0, width)[None].expand(height, -1)
    return torch.stack((rows, columns, (rows + columns) / 2), dim=-1).to(torch.uint8)


def _theirs(frame: Tensor) -> Tensor:
    """The whole picture, resized to 384 × 384 and normalised by transformers' PIL processor."""
    processor = LlavaOnevisionImageProcessorPil(image_mean=_RULES.mean, image_std=_RULES.std)
    values = processor(images=[frame.numpy()], return_tensors="np")["pixel_values"]
    return torch.from_numpy(np.asarray(values))[0, 0].float()


def _levels(difference: Tensor) -> Tensor:
    """A difference of normalised values in levels of 255."""
    return difference * 255 / 2


@pytest.mark.parametrize(
    ("picture", "most", "height", "width"),
    [
        *((_noise, 2, *size) for size in ((384, 384), (270, 480), (720, 1280), (300, 300))),
        *((_gradient, 1, *size) for size in ((384, 384), (270, 480), (480, 270), (720, 1280))),
    ],
)
def test_frames_are_the_published_processors(
    picture: Any, most: int, height: int, width: int
) -> None:
    """Within a level of 255 on pictures, two on noise; exact where nothing is resized."""
    frame = picture(height, width)
    mine = to_pixels(resized(frame[None], (384, 384)), _RULES, 14).values[0]
    difference = _levels(mine - _theirs(frame)).abs()
    if (height, width) == (384, 384):
        assert difference.max() < 1e-4
    assert difference.round().max() <= most
    assert (difference.round() > 0).float().mean() < 0.02


def test_upright_frames_are_resized_along_their_rows_first() -> None:
    """As Pillow did before 13, and torchvision does; Pillow 13 takes the cheaper axis first."""
    frame = _noise(480, 270)
    wide = Image.fromarray(frame.numpy()).resize((384, 480), Image.Resampling.BICUBIC)
    theirs = torch.from_numpy(np.array(wide.resize((384, 384), Image.Resampling.BICUBIC)))
    difference = (resized(frame[None], (384, 384))[0].int() - theirs.int()).abs()
    assert difference.max() <= 2


def test_frames_have_one_size(adapter: LlavaOnevision) -> None:
    """Whatever a video's shape, and whatever its longer side may be, the tower gets its square."""
    for size in ((1080, 1920), (100, 30), (42, 42)):
        assert adapter.frame_size(*size, 448) == (42, 42)
        assert adapter.frame_size(*size, None) == (42, 42)
    # Seven patches a side, two by two, rounded up.
    assert adapter.token_grid((42, 42)) == (4, 4)


def test_encoding_is_the_models_own(adapter: LlavaOnevision) -> None:
    """Tokens are what the stock model makes of the frames, its closing newline aside."""
    frames = torch.stack([_noise(42, 42), _gradient(42, 42), _noise(42, 42)])
    patches = adapter.preprocess(frames, (42, 42))
    with torch.inference_mode():
        mine = adapter.encode(patches)
        stock = adapter.model.model.get_video_features(
            patches.values[None], return_dict=True
        ).pooler_output[0]
        closing = adapter.after_video()
    torch.testing.assert_close(torch.cat((mine.flatten(0, 1), closing)), stock)


@pytest.mark.parametrize("layer", [-1, -2, 1, [-2, -1], [0, 2]])
def test_any_layers_of_the_tower(tmp_path: Path, layer: int | list[int]) -> None:
    """One layer's output or several beside each other, counted from either end."""
    config = {"vision_feature_layer": layer}
    made = LlavaOnevision.load(tiny.make(tmp_path / "llava", config=config), LoadOptions())
    patches = made.preprocess(torch.stack([_noise(42, 42)] * 2), (42, 42))
    with torch.inference_mode():
        mine = made.encode(patches)
        stock = made.model.model.get_video_features(
            patches.values[None], return_dict=True
        ).pooler_output[0]
    torch.testing.assert_close(mine.flatten(0, 1), stock[:-1])


@pytest.mark.parametrize(
    ("newline", "grid", "places"),
    [
        # behind the video, outside its steps
        (None, (4, 4), []),
        ("one_token", (4, 4), []),
        ("no_token", (4, 4), []),
        # behind the sixteen tokens of each frame
        ("frame", (1, 17), [16]),
        # behind the four tokens of each row
        ("grid", (4, 5), [4, 9, 14, 19]),
    ],
)
def test_newlines_stand_where_the_checkpoint_says(
    tmp_path: Path, newline: str | None, grid: tuple[int, int], places: list[int]
) -> None:
    """Within a frame's tokens as LLaVA-NeXT's code places them, or closing the video."""
    made = LlavaOnevision.load(tiny.make(tmp_path / "llava", newline=newline), LoadOptions())
    patches = made.preprocess(torch.stack([_noise(42, 42), _gradient(42, 42)]), (42, 42))
    with torch.inference_mode():
        tokens = made.encode(patches)
    assert made.token_grid((42, 42)) == grid
    assert tokens.shape[1] == grid[0] * grid[1]
    embedding = made.model.model.image_newline
    assert (tokens == embedding).all(-1).nonzero()[:, 1].tolist() == places * 2
    closing = made.after_video()
    assert len(closing) == (newline in (None, "one_token"))
    assert all(torch.equal(row, embedding) for row in closing)


def test_positions_count_on(adapter: LlavaOnevision) -> None:
    """Tokens are numbered as they enter; what was dropped leaves no gap; chunks go on."""
    tokens = VisualTokens(torch.zeros(5, 2, 4), torch.arange(5).double(), (1, 2))
    selection = Selection.gather(tokens, torch.tensor([1, 4]))
    assert adapter.video_positions(7, selection, (1, 2)).tolist() == [[7, 8, 9, 10]]
    assert adapter.video_positions(7, selection.part(2, 4), (1, 2)).tolist() == [[9, 10]]


def test_the_newline_is_never_evicted(adapter: LlavaOnevision) -> None:
    """It stands behind the video in every layer, however little of the video is kept."""
    from retake.compressors.pivotkv import PivotKV
    from tests.staging import Stage

    stage = Stage.of(adapter, (4, 4), steps=6)
    engine = stage.engine(PivotKV(), "reforge")
    prefilled = stage.prefill(engine, rows=2, share=stage.share(0.1))
    for layer, kept in zip(prefilled.cache.layers, prefilled.kept, strict=True):
        assert layer.length == len(stage.prefix) + len(kept) + 1
        positions = layer.cached_positions()[0]
        assert positions[-1] == positions[:-1].max() + 1
    assert prefilled.next_position == len(stage.prefix) + len(stage.selection) + 1


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ({"size": {"height": 48, "width": 48}}, "resizes frames to 48 × 48.*takes 42 × 42"),
        ({"size": {"shortest_edge": 384}}, "resizes every frame to one 'height' and 'width'"),
    ],
)
def test_frames_that_the_tower_cannot_read(
    tmp_path: Path, rules: dict[str, Any], message: str
) -> None:
    """A preprocessor that does not belong to the tower is refused when the model is loaded."""
    folder = tiny.make(tmp_path / "llava", preprocessor=rules)
    with pytest.raises(ModelError, match=message):
        LlavaOnevision.load(folder, LoadOptions())


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"mm_newline_position": "somewhere"}, "'somewhere'; known are one_token, frame, grid"),
        ({"vision_feature_select_strategy": "default"}, "read with .* 'full'"),
        ({"vision_feature_layer": 7}, "at 7; its tower of 2 layers has -3 to 2"),
        ({"vision_feature_layer": -5}, "at -5"),
        ({"mm_spatial_pool_mode": "max"}, "pools a frame's tokens by 'max' with a stride of 2"),
        ({"mm_spatial_pool_stride": 4}, "by 'bilinear' with a stride of 4"),
    ],
)
def test_settings_that_are_not_known(tmp_path: Path, config: dict[str, Any], message: str) -> None:
    """A checkpoint that asks for what the family does not have is refused."""
    folder = tiny.make(tmp_path / "llava", config=config)
    with pytest.raises(ModelError, match=message):
        LlavaOnevision.load(folder, LoadOptions())


def test_the_processors_template_comes_first(tmp_path: Path) -> None:
    """Of older checkpoints the processor's template places the video, not the tokenizer's."""
    folder = tiny.make(tmp_path / "llava", template=None)
    config = folder / "tokenizer_config.json"
    held = json.loads(config.read_text())
    held["chat_template"] = "{{ messages[0]['role'] + messages[0]['content'] }}"
    config.write_text(json.dumps(held))
    (folder / "chat_template.json").write_text(json.dumps({"chat_template": tiny.TEMPLATE}))
    prompt = LlavaOnevision.load(folder, LoadOptions()).prompt("Why?")
    assert prompt.text == "<|im_start|>user <video>\nWhy?<|im_end|><|im_start|>assistant\n"


def test_rules_within_the_processors_configuration(tmp_path: Path) -> None:
    """A checkpoint saved by transformers 5 keeps its frames' rules in processor_config.json."""
    folder = tiny.make(tmp_path / "llava")
    rules = json.loads((folder / "video_preprocessor_config.json").read_text())
    (folder / "video_preprocessor_config.json").unlink()
    saved = {"processor_class": "LlavaOnevisionProcessor", "video_processor": rules}
    saved["video_processor"]["image_mean"] = [0.1, 0.2, 0.3]
    (folder / "processor_config.json").write_text(json.dumps(saved))
    assert LlavaOnevision.load(folder, LoadOptions()).rules.mean == (0.1, 0.2, 0.3)


def test_another_tower_is_refused(tmp_path: Path) -> None:
    """A CLIP tower has a first token of its own, and another order of layers."""
    folder = tiny.make(tmp_path / "llava", vision={"model_type": "clip_vision_model"})
    with pytest.raises(ModelError, match=r"'clip_vision_model'.*'siglip_vision_model'"):
        LlavaOnevision.load(folder, LoadOptions())


def test_a_window_is_refused(tmp_path: Path) -> None:
    """Also of a language model whose configuration lists no kinds of layers."""
    folder = tiny.make(tmp_path / "llava", model_type="mistral", sliding_window=5)
    with pytest.raises(ModelError, match="sliding-window attention"):
        LlavaOnevision.load(folder, LoadOptions())


def test_a_configuration_without_its_parts(tmp_path: Path) -> None:
    """What is not described is not made up: the stock class would build a model of 7B."""
    folder = tiny.make(tmp_path / "llava")
    held = json.loads((folder / "config.json").read_text())
    del held["text_config"], held["vision_config"]
    (folder / "config.json").write_text(json.dumps(held))
    with pytest.raises(ModelError, match="has no text_config and no vision_config"):
        LlavaOnevision.load(folder, LoadOptions())
