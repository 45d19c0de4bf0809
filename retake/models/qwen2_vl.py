"""Qwen2-VL: two frames a step, 2 × 2 patches a token, M-RoPE."""

from typing import Any, ClassVar

import torch
from torch import Tensor
from transformers import PretrainedConfig, Qwen2VLConfig, Qwen2VLForConditionalGeneration

from retake.core.adapter import Patches
from retake.core.errors import ModelError
from retake.core.frames import resized
from retake.core.tokens import Selection
from retake.models.qwen2_vl_frames import (
    FrameRules,
    fitted_size,
    to_patches,
    within_long_side,
)
from retake.models.stock import StockModel


class Qwen2VL(StockModel):
    """Qwen2-VL (arXiv 2409.12191), on the stock model of `transformers`.

    Positions follow the family's own rule: time, height and width count on from the text
    before the video, and the text behind it starts one past the largest of them. (Releases
    of `transformers` 5 place that text at `start + max(H, W) // merge` instead, which is
    inside any video of more steps than rows; nothing here relies on them.)
    """

    source: ClassVar[str] = "arXiv 2409.12191"
    model_types: ClassVar[tuple[str, ...]] = ("qwen2_vl",)
    frames_per_step: ClassVar[int] = 2
    position_axes: ClassVar[int] = 3
    title: ClassVar[str] = "Qwen2-VL"
    config_class: ClassVar[type[PretrainedConfig]] = Qwen2VLConfig
    model_class: ClassVar[Any] = Qwen2VLForConditionalGeneration
    rules_class: ClassVar[Any] = FrameRules
    video_token: ClassVar[str] = "<|video_pad|>"
    image_token: ClassVar[str] = "<|image_pad|>"
    tower: ClassVar[str] = "visual"

    def __init__(self, model: Any, tokenizer: Any, folder: str, rules: FrameRules) -> None:
        super().__init__(model, tokenizer, folder, rules)
        expected = _built_for(model.config)
        if (rules.patch, rules.merge, rules.temporal) != expected:
            raise ModelError(
                f"The preprocessor of '{folder}' cuts patches of "
                f"{(rules.patch, rules.merge, rules.temporal)} (side, merge, frames), "
                f"its vision tower takes {expected}."
            )

    @classmethod
    def default_rules(cls, config: Any) -> FrameRules:
        patch, merge, temporal = _built_for(config)
        return FrameRules(patch=patch, merge=merge, temporal=temporal)

    def frame_size(self, height: int, width: int, long_side: int | None) -> tuple[int, int]:
        return fitted_size(*within_long_side(height, width, long_side), self.rules, self.title)

    def token_grid(self, size: tuple[int, int]) -> tuple[int, int]:
        return size[0] // self.rules.factor, size[1] // self.rules.factor

    def preprocess(self, frames: Tensor, size: tuple[int, int]) -> Patches:
        # Resized where bytes can be: accelerators interpolate floats only, and differently.
        return to_patches(resized(frames.cpu(), size).to(self.tower_device), self.rules)

    def encode(self, patches: Patches) -> Tensor:
        device = self.tower_device
        grid = torch.tensor([patches.grid], device=device)
        features = self.model.model.get_video_features(
            patches.values.to(device), grid, return_dict=True, **self.tower_facts(patches.grid)
        ).pooler_output
        steps = patches.grid[0]
        return torch.cat(tuple(features)).reshape(steps, -1, features[0].shape[-1])

    def tower_facts(self, grid: tuple[int, int, int]) -> dict[str, Tensor]:
        """What the tower is told of a video's grid; it finds out the rest itself."""
        return {}

    def video_positions(
        self,
        start: int,
        selection: Selection,
        grid: tuple[int, int],
        seconds: Tensor | None = None,
    ) -> Tensor:
        rows, patches = selection.rows, selection.patches
        return torch.stack((rows, patches // grid[1], patches % grid[1])) + start

    def state(self) -> dict[str, Any]:
        return {"rope_deltas": self.model.model.rope_deltas}

    def restore(self, saved: dict[str, Any]) -> None:
        self.model.model.rope_deltas = saved["rope_deltas"]


def _built_for(config: Any) -> tuple[int, int, int]:
    """Side of a patch, patches merged per side, frames a step, as the vision tower has them."""
    vision = config.vision_config
    return vision.patch_size, vision.spatial_merge_size, vision.temporal_patch_size
