"""LLaVA-OneVision and LLaVA-Video: SigLIP frame by frame, 2 × 2 pooling, 1-D RoPE."""

from typing import Any, ClassVar, Literal, get_args

import torch
from torch import Tensor
from transformers import (
    LlavaOnevisionConfig,
    LlavaOnevisionForConditionalGeneration,
    PretrainedConfig,
)

from retake.core.adapter import Patches
from retake.core.errors import ModelError
from retake.core.frames import resized
from retake.core.placement import held
from retake.core.tokens import Selection
from retake.models.llava_frames import FixedFrames, to_pixels
from retake.models.stock import StockModel

Newline = Literal["one_token", "frame", "grid", "no_token"]


class LlavaOnevision(StockModel):
    """LLaVA-OneVision (arXiv 2408.03326) and LLaVA-Video (arXiv 2410.02713), on the stock model.

    A step is one frame: the SigLIP tower's patches, projected, then pooled two by two. Text
    and video count positions on alike. Where the learned newline token stands is the
    checkpoint's `mm_newline_position`: "one_token" closes the video (LLaVA-OneVision, and what
    `transformers` always does), "frame" every frame, "grid" every row of every frame,
    "no_token" nothing.
    """

    source: ClassVar[str] = "arXiv 2408.03326, 2410.02713"
    model_types: ClassVar[tuple[str, ...]] = ("llava_onevision",)
    title: ClassVar[str] = "LLaVA-OneVision"
    config_class: ClassVar[type[PretrainedConfig]] = LlavaOnevisionConfig
    model_class: ClassVar[Any] = LlavaOnevisionForConditionalGeneration
    rules_class: ClassVar[Any] = FixedFrames
    parts: ClassVar[tuple[str, ...]] = ("text_config", "vision_config")
    video_token: ClassVar[str] = "<video>"
    image_token: ClassVar[str] = "<image>"
    tower: ClassVar[str] = "vision_tower"

    def __init__(self, model: Any, tokenizer: Any, folder: str, rules: FixedFrames) -> None:
        super().__init__(model, tokenizer, folder, rules)
        side = model.config.vision_config.image_size
        if (rules.height, rules.width) != (side, side):
            raise ModelError(
                f"The preprocessor of '{folder}' resizes frames to {rules.height} × {rules.width}, "
                f"its vision tower takes {side} × {side}."
            )
        self._newline = _newline(model.config, folder)
        _check_tower(model.config, folder)

    @classmethod
    def default_rules(cls, config: Any) -> FixedFrames:
        side = config.vision_config.image_size
        return FixedFrames(height=side, width=side)

    def frame_size(self, height: int, width: int, long_side: int | None) -> tuple[int, int]:
        return self.rules.height, self.rules.width

    def token_grid(self, size: tuple[int, int]) -> tuple[int, int]:
        rows, columns = self._pooled_grid()
        if self._newline == "grid":
            return rows, columns + 1
        if self._newline == "frame":
            return 1, rows * columns + 1
        return rows, columns

    def preprocess(self, frames: Tensor, size: tuple[int, int]) -> Patches:
        # Resized where bytes can be: accelerators interpolate floats only, and differently.
        placed = resized(frames.cpu(), size).to(self.tower_device)
        return to_pixels(placed, self.rules, self.model.config.vision_config.patch_size)

    def encode(self, patches: Patches) -> Tensor:
        model = self.model.model
        projected = model.multi_modal_projector(self._tower_states(patches.values))
        return self._with_newlines(model.apply_pooling(projected))

    def _tower_states(self, pixels: Tensor) -> Tensor:
        """What the projector reads of the tower: `[F, P, V]`, after the layers configured.

        The tower is run layer by layer as far as needed: asked for its hidden states, it would
        hold those of all layers at once, and leave hooks behind.
        """
        tower = self.model.model.vision_tower
        tower = getattr(tower, "vision_model", tower)
        wanted = self.model.config.vision_feature_layer
        layers = tower.encoder.layers
        depths = [
            depth % (len(layers) + 1) for depth in ([wanted] if isinstance(wanted, int) else wanted)
        ]
        states = tower.embeddings(pixels.to(self.tower_device))
        found = {0: states} if 0 in depths else {}
        for number, layer in enumerate(layers[: max(depths)], start=1):
            states = layer(states, attention_mask=None)
            if number in depths:
                found[number] = states
        # A tower that is spread leaves each layer's states where that layer is.
        return torch.cat([found[depth].to(states.device) for depth in depths], dim=-1)

    def _with_newlines(self, steps: Tensor) -> Tensor:
        """`[F, N, C]` with a newline behind each frame or row, where the checkpoint has them."""
        if self._newline not in ("grid", "frame"):
            return steps
        lines = self._pooled_grid()[0] if self._newline == "grid" else 1
        rows = steps.reshape(len(steps), lines, -1, steps.shape[-1])
        newline = self._newline_embedding(steps).expand(len(steps), lines, 1, -1)
        return torch.cat((rows, newline), dim=2).flatten(1, 2)

    def _pooled_grid(self) -> tuple[int, int]:
        """Rows and columns of a frame's tokens: half as many as patches, rounded up."""
        vision = self.model.config.vision_config
        side = -(-(vision.image_size // vision.patch_size) // 2)
        return side, side

    def _newline_embedding(self, like: Tensor) -> Tensor:
        # A weight of no module that is called: where it is offloaded, nothing brings it.
        return held(self.model.model, "image_newline").to(like.device, like.dtype)

    def after_video(self) -> Tensor:
        none = super().after_video()
        return self._newline_embedding(none)[None] if self._newline == "one_token" else none

    def video_positions(
        self,
        start: int,
        selection: Selection,
        grid: tuple[int, int],
        seconds: Tensor | None = None,
    ) -> Tensor:
        first = start + selection.first
        count = torch.arange(len(selection), device=selection.rows.device)
        return (first + count)[None]


def _newline(config: Any, folder: str) -> Newline:
    """Where a checkpoint's newlines stand: its own word, or what the stock model does."""
    place: Any = getattr(config, "mm_newline_position", None) or "one_token"
    if place not in get_args(Newline):
        raise ModelError(
            f"'{folder}' has the mm_newline_position '{place}'; known are "
            f"{', '.join(get_args(Newline))}."
        )
    found: Newline = place
    return found


def _check_tower(config: Any, folder: str) -> None:
    """Refuse a tower of another kind, and features selected or pooled as none of these are."""
    vision = config.vision_config
    if vision.model_type != "siglip_vision_model":
        raise ModelError(
            f"The vision tower of '{folder}' is a '{vision.model_type}'; this family's, as far as "
            f"retake reads it, is a 'siglip_vision_model'."
        )
    wanted, depth = config.vision_feature_layer, vision.num_hidden_layers
    layers = [wanted] if isinstance(wanted, int) else list(wanted)
    if not layers or not all(-depth - 1 <= layer <= depth for layer in layers):
        raise ModelError(
            f"'{folder}' reads its tower's features at {wanted}; its tower of {depth} layers has "
            f"{-depth - 1} to {depth}."
        )
    strategy = config.vision_feature_select_strategy
    if strategy != "full":
        raise ModelError(
            f"'{folder}' selects the tower's features by '{strategy}'; SigLIP towers, which "
            f"this family has, are read with vision_feature_select_strategy 'full'."
        )
    mode = getattr(config, "mm_spatial_pool_mode", None) or "bilinear"
    stride = getattr(config, "mm_spatial_pool_stride", None) or 2
    if (mode, stride) != ("bilinear", 2):
        raise ModelError(
            f"'{folder}' pools a frame's tokens by '{mode}' with a stride of {stride}; the "
            f"model of transformers only pools bilinearly, two by two."
        )
