"""Qwen2-VL's frames: sizes and patches are those of the family's own processor."""

import json
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import (
    Qwen2VLImageProcessorPil,
    smart_resize,
)

from retake.core.errors import ModelError, VideoError
from retake.core.frames import resized
from retake.models.qwen2_vl_frames import (
    FrameRules,
    fitted_size,
    to_patches,
    within_long_side,
)

_RULES = FrameRules(min_pixels=4 * 28 * 28, max_pixels=40 * 28 * 28)


def _noise(height: int, width: int) -> Tensor:
    random = torch.Generator().manual_seed(height * width)
    return torch.randint(0, 256, (height, width, 3), dtype=torch.uint8, generator=random)


def _gradient(height: int, width: int) -> Tensor:
    """Something like a photograph: slow changes, an edge and a bright patch."""
    down, across = torch.meshgrid(
        torch.linspace(0, 1, height), torch.linspace(0, 1, width), indexing="ij"
    )
    red = 255 * (0.2 + 0.6 * down)
    green = 255 * (0.5 + 0.4 * torch.sin(9 * across))
    blue = torch.where(down + across > 1, 230.0, 20.0)
    return torch.stack((red, green, blue), dim=-1).round().to(torch.uint8)


_SIZES = [(37, 53), (101, 64), (300, 41), (97, 203), (241, 319), (28, 28), (64, 480)]


def _theirs(frame: Tensor, size: tuple[int, int]) -> tuple[Tensor, tuple[int, int, int]]:
    """Patches of one frame, repeated to fill a step, by the processor of `transformers`.

    Resized by Pillow before, across and then down: releases since 13 go down first for some
    sizes, which matters by up to 20 levels on noise. Every earlier one goes across first.
    """
    processor = Qwen2VLImageProcessorPil(
        size={"shortest_edge": _RULES.min_pixels, "longest_edge": _RULES.max_pixels}
    )
    picture = Image.fromarray(frame.numpy())
    picture = picture.resize((size[1], picture.height), Image.Resampling.BICUBIC)
    picture = picture.resize((size[1], size[0]), Image.Resampling.BICUBIC)
    made = processor(images=[picture], return_tensors="np")
    return torch.from_numpy(made["pixel_values"]), tuple(made["image_grid_thw"][0].tolist())


def _levels(difference: Tensor) -> Tensor:
    """A difference of normalised patches `[P, 3 × F × S × S]` in levels of 255."""
    std = torch.tensor(_RULES.std).repeat_interleave(difference.shape[1] // 3)
    return difference * std * 255


@pytest.mark.parametrize(
    ("picture", "most", "share"),
    [
        # (what is resized, levels of 255 that a value may be off, values that may be off)
        (_noise, 2, 0.02),
        (_gradient, 1, 0.01),
    ],
)
@pytest.mark.parametrize(("height", "width"), _SIZES)
def test_patches_are_the_processors(
    picture: Any, most: int, share: float, height: int, width: int
) -> None:
    """The same but for rounding: one level of 255 on pictures, two on noise, on few values."""
    frame = picture(height, width)
    size = fitted_size(height, width, _RULES)
    want, grid = _theirs(frame, size)
    mine = to_patches(resized(torch.stack((frame, frame)), size), _RULES)
    assert mine.grid == grid
    assert mine.values.shape == want.shape
    levels = _levels(mine.values - want).abs().round()
    assert levels.max() <= most
    assert (levels > 0).float().mean() < share


@pytest.mark.parametrize(("height", "width"), _SIZES)
def test_the_whole_processor_agrees_on_pictures(height: int, width: int) -> None:
    """Sizes and all, the processor of `transformers` gives the same picture within a level."""
    frame = _gradient(height, width)
    processor = Qwen2VLImageProcessorPil(
        size={"shortest_edge": _RULES.min_pixels, "longest_edge": _RULES.max_pixels}
    )
    made = processor(images=[frame.numpy()], return_tensors="np")
    size = fitted_size(height, width, _RULES)
    mine = to_patches(resized(torch.stack((frame, frame)), size), _RULES)
    assert [list(mine.grid)] == made["image_grid_thw"].tolist()
    levels = _levels(mine.values - torch.from_numpy(made["pixel_values"])).abs().round()
    assert levels.max() <= 1


@pytest.mark.parametrize("picture", [_noise, _gradient])
def test_without_resizing_patches_are_exact(picture: Any) -> None:
    """A frame that has the right size already is only normalised."""
    frame = picture(56, 84)
    assert fitted_size(56, 84, _RULES) == (56, 84)
    want, _ = _theirs(frame, (56, 84))
    mine = to_patches(resized(torch.stack((frame, frame)), (56, 84)), _RULES)
    assert _levels(mine.values - want).abs().max() < 1e-3


def test_a_step_holds_two_frames_one_after_the_other() -> None:
    """Each half of a patch is its frame's, as if that frame filled the step."""
    first, second = _noise(56, 84), _gradient(56, 84)
    both = to_patches(resized(torch.stack((first, second)), (56, 84)), _RULES)
    parts = both.values.reshape(-1, 3, 2, 14 * 14)
    for number, frame in enumerate((first, second)):
        alone, _ = _theirs(frame, (56, 84))
        difference = (parts[:, :, number] - alone.reshape(-1, 3, 2, 14 * 14)[:, :, 0]).abs()
        assert difference.max() < 1e-5


def test_an_odd_frame_is_filled_up_with_itself() -> None:
    """Three frames are four with the last one twice, bit by bit."""
    frames = torch.stack([_noise(56, 84), _gradient(56, 84), _noise(84, 56).transpose(0, 1)])
    odd = to_patches(resized(frames, (56, 56)), _RULES)
    even = to_patches(resized(torch.cat((frames, frames[-1:])), (56, 56)), _RULES)
    assert odd.grid == even.grid == (2, 4, 4)
    assert torch.equal(odd.values, even.values)


def test_frames_do_not_see_each_other() -> None:
    """Steps preprocessed together and apart are the same, bit by bit."""
    frames = torch.stack([_noise(50, 70) for _ in range(2)] + [_gradient(50, 70)] * 4)
    size = fitted_size(50, 70, _RULES)
    whole = to_patches(resized(frames, size), _RULES).values
    parts = [to_patches(resized(part, size), _RULES).values for part in frames.split(2)]
    assert torch.equal(whole, torch.cat(parts))


def test_patches_of_a_token_stand_together() -> None:
    """Four patches in a row are one token's: its top two, then its bottom two."""
    place = torch.arange(4 * 4).reshape(4, 4).repeat_interleave(14, 0).repeat_interleave(14, 1)
    frame = place[:, :, None].expand(-1, -1, 3).to(torch.uint8)
    rules = FrameRules(mean=(0.0, 0.0, 0.0), std=(1 / 255, 1 / 255, 1 / 255))
    made = to_patches(resized(torch.stack((frame, frame)), (56, 56)), rules).values
    assert (made == made[:, :1]).all()
    order = [0, 1, 4, 5, 2, 3, 6, 7, 8, 9, 12, 13, 10, 11, 14, 15]
    torch.testing.assert_close(made[:, 0], torch.tensor(order).float(), atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("height", "width", "want"),
    [
        # fits: to the nearest multiple of 28, halves to the even one
        (56, 84, (56, 84)),
        (60, 80, (56, 84)),
        (70, 98, (56, 112)),
        # too large: shrunk, rounded down
        (1080, 1920, (112, 224)),
        (1920, 1080, (224, 112)),
        # too small: grown, rounded up
        (10, 10, (56, 56)),
        (1, 1, (56, 56)),
        (14, 42, (56, 112)),
        # narrow: never below one token
        (3, 600, (28, 588)),
        (20, 4000, (28, 2492)),
    ],
)
def test_fitted_size(height: int, width: int, want: tuple[int, int]) -> None:
    """Sizes, by example."""
    assert fitted_size(height, width, _RULES) == want


@given(st.integers(15, 3000), st.integers(15, 3000), st.integers(1, 30), st.integers(0, 900))
def test_fitted_size_is_the_familys(height: int, width: int, least: int, more: int) -> None:
    """For frames with a token a side the rule is that of `transformers`."""
    rules = FrameRules(min_pixels=least * 784, max_pixels=(least + more) * 784)
    assume(max(height, width) <= 200 * min(height, width))
    want = smart_resize(
        height, width, factor=28, min_pixels=rules.min_pixels, max_pixels=rules.max_pixels
    )
    assert fitted_size(height, width, rules) == want


@given(st.integers(1, 5000), st.integers(1, 5000))
def test_fitted_size_is_allowed(height: int, width: int) -> None:
    """Whatever comes in: multiples of a token's side, at least one token, and room enough."""
    if max(height, width) > 200 * min(height, width):
        with pytest.raises(VideoError, match="too narrow"):
            fitted_size(height, width, _RULES)
        return
    high, wide = fitted_size(height, width, _RULES)
    assert high % 28 == wide % 28 == 0
    assert high >= 28
    assert wide >= 28
    assert min(high, wide) == 28 or high * wide <= _RULES.max_pixels


@pytest.mark.parametrize(
    ("height", "width", "long_side", "want"),
    [
        (480, 640, None, (480, 640)),
        (480, 640, 640, (480, 640)),
        (480, 640, 1000, (480, 640)),
        (480, 640, 320, (240, 320)),
        (640, 480, 320, (320, 240)),
        (2, 1000, 10, (1, 10)),
    ],
)
def test_within_long_side(
    height: int, width: int, long_side: int | None, want: tuple[int, int]
) -> None:
    """The longer side is brought down, never up, and none vanishes."""
    assert within_long_side(height, width, long_side) == want


@pytest.mark.parametrize(
    ("given_rules", "least", "most"),
    [
        ({}, 128 * 784, 768 * 784),
        ({"min_pixels": 3136, "max_pixels": 12845056}, 3136, 12845056),
        ({"size": {"shortest_edge": 3136, "longest_edge": 12845056}}, 3136, 12845056),
        ({"max_pixels": 99999, "size": {"longest_edge": 5}}, 128 * 784, 99999),
    ],
)
def test_rules_from_json(given_rules: dict[str, Any], least: int, most: int) -> None:
    """Both ways in which checkpoints write the bounds; what is left out keeps its default."""
    rules = FrameRules.from_json(json.dumps(given_rules), "here")
    assert (rules.min_pixels, rules.max_pixels) == (least, most)
    assert rules.factor == 28
    assert np.allclose(rules.mean, FrameRules().mean)


def test_rules_that_are_no_json() -> None:
    """The file is named, and what is wrong with it."""
    with pytest.raises(ModelError, match=r"'here/it\.json' is not valid JSON"):
        FrameRules.from_json("{", "here/it.json")
