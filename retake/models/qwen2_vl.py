"""Qwen2-VL: two frames a step, 2 × 2 patches a token, M-RoPE."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from transformers import Qwen2VLConfig, Qwen2VLForConditionalGeneration

from retake.core.adapter import LoadOptions, ModelAdapter, Patches, Prompt
from retake.core.errors import ModelError, UsageError
from retake.core.frames import resized
from retake.core.tokens import Selection
from retake.models import checkpoints
from retake.models.qwen2_vl_frames import (
    FrameRules,
    fitted_size,
    to_patches,
    within_long_side,
)

_VIDEO = "<|video_pad|>"


class Qwen2VL(ModelAdapter):
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

    def __init__(self, model: Any, tokenizer: Any, folder: str, rules: FrameRules) -> None:
        super().__init__(model, tokenizer, folder)
        self.rules = rules
        if "sliding_attention" in (getattr(model.config.text_config, "layer_types", None) or ()):
            raise ModelError(
                f"'{folder}' uses sliding-window attention, which retake does not support.",
                hint='Set "use_sliding_window": false in its config.json.',
            )
        vision = model.config.vision_config
        expected = (vision.patch_size, vision.spatial_merge_size, vision.temporal_patch_size)
        if (rules.patch, rules.merge, rules.temporal) != expected:
            raise ModelError(
                f"The preprocessor of '{folder}' cuts patches of "
                f"{(rules.patch, rules.merge, rules.temporal)} (side, merge, frames), "
                f"its vision tower takes {expected}."
            )

    @classmethod
    def load(cls, folder: str | Path, options: LoadOptions) -> "Qwen2VL":
        name = str(folder)
        path = str(Path(name).expanduser()) if checkpoints.looks_local(name) else name
        # Where there is no configuration, transformers would build its default: a 7B model.
        kind = checkpoints.read_config(name).get("model_type")
        if kind not in cls.model_types:
            raise ModelError(f"'{name}' is a model of the type '{kind}', not Qwen2-VL.")
        with checkpoints.checkpoint_errors(name):
            config: Any = Qwen2VLConfig.from_pretrained(path)
            if options.yarn_factor is not None:
                config.text_config.rope_parameters = yarn(config.text_config, options.yarn_factor)
            loaded: Any = Qwen2VLForConditionalGeneration.from_pretrained(
                path,
                config=config,
                dtype=options.dtype,
                attn_implementation=options.kernel,
                output_loading_info=True,
            )
        model, report = loaded
        checkpoints.check_weights(name, report)
        tokenizer = checkpoints.load_tokenizer(path)
        rules = _frame_rules(path) or FrameRules()
        return cls(model.to(options.device).eval(), tokenizer, name, rules)

    @classmethod
    def wrap(cls, model: Any, tokenizer: Any) -> "Qwen2VL":
        if model.training and getattr(model, "is_gradient_checkpointing", False):
            raise UsageError(
                "A model that is training with gradient checkpointing keeps no KV cache.",
                hint="Call model.eval() first.",
            )
        name = str(model.config._name_or_path or "")
        rules = _frame_rules(name, local_only=True) if name else None
        vision = model.config.vision_config
        built_for = FrameRules(
            patch=vision.patch_size,
            merge=vision.spatial_merge_size,
            temporal=vision.temporal_patch_size,
        )
        return cls(model, tokenizer, name or "(a model in memory)", rules or built_for)

    def frame_size(self, height: int, width: int, long_side: int | None) -> tuple[int, int]:
        return fitted_size(*within_long_side(height, width, long_side), self.rules)

    def token_grid(self, size: tuple[int, int]) -> tuple[int, int]:
        return size[0] // self.rules.factor, size[1] // self.rules.factor

    def preprocess(self, frames: Tensor, size: tuple[int, int]) -> Patches:
        # Resized where bytes can be: accelerators interpolate floats only, and differently.
        return to_patches(resized(frames.cpu(), size).to(self.device), self.rules)

    def encode(self, patches: Patches) -> Tensor:
        grid = torch.tensor([patches.grid], device=self.device)
        features = self.model.model.get_video_features(
            patches.values.to(self.device), grid, return_dict=True
        ).pooler_output
        steps = patches.grid[0]
        return torch.cat(tuple(features)).reshape(steps, -1, features[0].shape[-1])

    def video_positions(
        self,
        start: int,
        selection: Selection,
        grid: tuple[int, int],
        seconds_per_step: float = 1.0,
    ) -> Tensor:
        rows, patches = selection.rows, selection.patches
        return torch.stack((rows, patches // grid[1], patches % grid[1])) + start

    def prompt(self, question: str) -> Prompt:
        self._check_plain(question)
        content = [{"type": "video"}, {"type": "text", "text": question}]
        text = self.tokenizer.apply_chat_template(
            [{"role": "user", "content": content}], tokenize=False, add_generation_prompt=True
        )
        before, found, behind = text.partition(_VIDEO)
        if not found:
            raise ModelError(
                f"The chat template of '{self.folder}' places no {_VIDEO} for a video."
            )
        pieces = [
            tuple(self.tokenizer(piece, add_special_tokens=False).input_ids)
            for piece in (before, behind)
        ]
        return Prompt(prefix=pieces[0], suffix=pieces[1], text=text)

    def _check_plain(self, question: str) -> None:
        """Refuse a question that would end its own turn or stand for another video."""
        special = {*self.tokenizer.all_special_tokens, _VIDEO, "<|image_pad|>"}
        found = sorted(token for token in special if token and token in question)
        if found:
            raise UsageError(
                f"The question contains {', '.join(found)}, which the model reads as a command.",
                hint="Leave it out, or write it with spaces.",
            )

    def attention_layers(self) -> Sequence[nn.Module]:
        return [layer.self_attn for layer in self.language_model().layers]

    def language_model(self) -> Any:
        return self.model.model.language_model

    def embed(self, token_ids: Tensor) -> Tensor:
        embedded: Tensor = self.language_model().embed_tokens(token_ids)
        return embedded

    def rotary(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        like = torch.empty(0, dtype=torch.float32, device=positions.device)
        cos, sin = self.language_model().rotary_emb(like, positions[:, None])
        return cos[0], sin[0]

    def state(self) -> dict[str, Any]:
        return {"rope_deltas": self.model.model.rope_deltas}

    def restore(self, saved: dict[str, Any]) -> None:
        self.model.model.rope_deltas = saved["rope_deltas"]


def _frame_rules(folder: str, *, local_only: bool = False) -> FrameRules | None:
    """What a checkpoint says of frames, its video configuration before its image one."""
    for name in ("video_preprocessor_config.json", "preprocessor_config.json"):
        text = checkpoints.read_text(folder, name, local_only=local_only)
        if text is not None:
            return FrameRules.from_json(text, f"{folder}/{name}")
    return None


def yarn(config: Any, factor: float) -> dict[str, Any]:
    """The rotary parameters of a text configuration, stretched by YaRN (arXiv 2309.00071)."""
    return {
        **config.rope_parameters,
        "rope_type": "yarn",
        "factor": float(factor),
        "original_max_position_embeddings": config.max_position_embeddings,
    }
