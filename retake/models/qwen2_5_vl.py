"""Qwen2.5-VL: Qwen2-VL's tokens with window attention in the tower and time in seconds."""

from typing import Any, ClassVar

import torch
from torch import Tensor
from transformers import PretrainedConfig, Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration
from transformers.vision_utils import get_vision_window_index

from retake.core.tokens import Selection
from retake.models.qwen2_vl import Qwen2VL


class Qwen25VL(Qwen2VL):
    """Qwen2.5-VL (arXiv 2502.13923), on the stock model of `transformers`.

    A step's time is absolute: its seconds from the video's start times `tokens_per_second`, cut
    to a whole number. What a selector dropped leaves its time empty, and patches packed into a
    row from several steps keep a time of their own. Text behind the video starts one past the
    largest position, as in the family's first release; several releases of `transformers` 5
    place it, and some the steps, elsewhere (docs/models.md). Nothing here relies on them.
    """

    source: ClassVar[str] = "arXiv 2502.13923"
    model_types: ClassVar[tuple[str, ...]] = ("qwen2_5_vl",)
    absolute_time: ClassVar[bool] = True
    title: ClassVar[str] = "Qwen2.5-VL"
    config_class: ClassVar[type[PretrainedConfig]] = Qwen2_5_VLConfig
    model_class: ClassVar[Any] = Qwen2_5_VLForConditionalGeneration

    def tower_facts(self, grid: tuple[int, int, int]) -> dict[str, Tensor]:
        # The tower itself would look for the windows' bounds with `unique_consecutive` on the
        # device, which not every device has.
        vision = self.model.config.vision_config
        index, bounds = get_vision_window_index(
            torch.tensor([grid]), vision.spatial_merge_size, vision.window_size, vision.patch_size
        )
        return {
            "window_index": index.to(self.tower_device),
            "cu_window_seqlens": bounds.to(self.tower_device),
        }

    def video_positions(
        self,
        start: int,
        selection: Selection,
        grid: tuple[int, int],
        seconds: Tensor | None = None,
    ) -> Tensor:
        rate = self.model.config.vision_config.tokens_per_second
        # In float32 and in this order, as published: cutting off is sensitive to rounding.
        times = ((selection.steps.float() if seconds is None else seconds) * rate).long()
        patches = selection.patches
        return torch.stack((times, patches // grid[1], patches % grid[1])) + start
