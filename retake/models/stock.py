"""What model families share that `transformers` lays out alike: towers before a text decoder.

A family of such a model says what it is called, how it is configured, and what is its own:
frames, encoding and positions.
"""

import warnings
from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from jinja2 import TemplateError
from torch import Tensor, nn
from transformers import PretrainedConfig

from retake.core.adapter import LoadOptions, ModelAdapter, Prompt
from retake.core.errors import ModelError, UsageError
from retake.core.placement import execution_device
from retake.models import checkpoints


class StockModel(ModelAdapter):
    """A stock model with its decoder at `model.language_model`, and a chat template.

    Attributes:
        rules: what the checkpoint's preprocessor configuration says of frames.
    """

    #: How messages call the family.
    title: ClassVar[str]
    #: The configuration and the model of `transformers`.
    config_class: ClassVar[type[PretrainedConfig]]
    model_class: ClassVar[Any]
    #: What a preprocessor configuration says of frames; `from_json(text, path)` reads it.
    rules_class: ClassVar[Any]
    #: Parts that a configuration must have; a family with a flat one has none.
    parts: ClassVar[tuple[str, ...]] = ()
    #: What stands for a video, and for a picture, in the chat template.
    video_token: ClassVar[str]
    image_token: ClassVar[str]
    #: The vision tower's name in the model.
    tower: ClassVar[str]

    def __init__(self, model: Any, tokenizer: Any, folder: str, rules: Any) -> None:
        super().__init__(model, tokenizer, folder)
        self.rules = rules
        if _slides(model.config.text_config):
            raise ModelError(
                f"'{folder}' uses sliding-window attention, which retake does not support.",
                hint='Set "use_sliding_window": false in its config.json.',
            )

    @classmethod
    @abstractmethod
    def default_rules(cls, config: Any) -> Any:
        """Frames as a model of that configuration takes them, where no file says more."""

    @classmethod
    def load(cls, folder: str | Path, options: LoadOptions) -> Self:
        name = str(folder)
        path = str(Path(name).expanduser()) if checkpoints.looks_local(name) else name
        # Where there is no configuration, transformers would build its default: a 7B model.
        told = checkpoints.read_config(name)
        kind = told.get("model_type")
        if kind not in cls.model_types:
            raise ModelError(f"'{name}' is a model of the type '{kind}', not {cls.title}.")
        missing = [part for part in cls.parts if part not in told]
        if missing:
            raise ModelError(f"The config.json of '{name}' has no {' and no '.join(missing)}.")
        rules = cls._rules(path)
        if rules is None:
            raise checkpoints.no_frame_rules(name)
        with checkpoints.checkpoint_errors(name):
            config: Any = cls.config_class.from_pretrained(path)
        if options.yarn_factor is not None:
            config.text_config.rope_parameters = yarn(config.text_config, options.yarn_factor, name)
        model = checkpoints.load_model(cls.model_class, config, path, options)
        tokenizer = checkpoints.load_tokenizer(path)
        return cls(model, tokenizer, name, rules)

    @classmethod
    def wrap(cls, model: Any, tokenizer: Any) -> Self:
        if model.training and getattr(model, "is_gradient_checkpointing", False):
            raise UsageError(
                "A model that is training with gradient checkpointing keeps no KV cache.",
                hint="Call model.eval() first.",
            )
        name = str(model.config._name_or_path or "")
        rules = cls._rules(name, local_only=True) if name else None
        if rules is None:
            rules = cls.default_rules(model.config)
            warnings.warn(
                f"No preprocessor configuration was found with this {cls.title} model: its frames "
                f"are prepared by {rules}, which may not be what it was trained with.",
                stacklevel=3,
            )
        return cls(model, tokenizer, name or "(a model in memory)", rules)

    @classmethod
    def _rules(cls, folder: str, *, local_only: bool = False) -> Any:
        """What a checkpoint says of frames, None where it says nothing."""
        found = checkpoints.read_frame_rules(folder, local_only=local_only)
        return cls.rules_class.from_json(*found) if found else None

    def prompt(self, question: str) -> Prompt:
        self._check_plain(question)
        content = [{"type": "video"}, {"type": "text", "text": question}]
        try:
            text = self.tokenizer.apply_chat_template(
                [{"role": "user", "content": content}], tokenize=False, add_generation_prompt=True
            )
        except (TemplateError, TypeError, ValueError) as error:
            raise ModelError(
                f"The chat template of '{self.folder}' cannot be filled in: {error}."
            ) from error
        before, found, behind = text.partition(self.video_token)
        if not found:
            raise ModelError(
                f"The chat template of '{self.folder}' places no {self.video_token} for a video."
            )
        pieces = [
            tuple(self.tokenizer(piece, add_special_tokens=False).input_ids)
            for piece in (before, behind)
        ]
        return Prompt(prefix=pieces[0], suffix=pieces[1], text=text)

    def _check_plain(self, question: str) -> None:
        """Refuse a question that would end its own turn or stand for another video."""
        special = {*self.tokenizer.all_special_tokens, self.video_token, self.image_token}
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
        rotary = self.language_model().rotary_emb
        there = execution_device(rotary) or positions.device
        like = torch.empty(0, dtype=torch.float32, device=there)
        # A batch of one: [1, Q] with 1-D RoPE, [3, 1, Q] with M-RoPE.
        places = positions if self.position_axes == 1 else positions[:, None]
        cos, sin = rotary(like, places.to(there))
        return cos[0].to(positions.device), sin[0].to(positions.device)

    @property
    def tower_device(self) -> torch.device:
        """Where frames are encoded."""
        return execution_device(getattr(self.model.model, self.tower)) or self.device


def _slides(config: Any) -> bool:
    """Whether any layer of a text configuration forgets what lies behind a window."""
    layers = getattr(config, "layer_types", None)
    if layers is not None:
        return any(kind != "full_attention" for kind in layers)
    return getattr(config, "sliding_window", None) is not None


def yarn(config: Any, factor: float, folder: str) -> dict[str, Any]:
    """The rotary parameters of a text configuration, stretched by YaRN (arXiv 2309.00071).

    Raises:
        UsageError: the checkpoint stretches its context already.
    """
    held = config.rope_parameters
    kind = held.get("rope_type", "default")
    if kind != "default":
        told = {key: value for key, value in held.items() if key != "mrope_section"}
        raise UsageError(
            f"'{folder}' scales its positions itself ({told}), so --yarn {factor:g} cannot.",
            hint="Leave --yarn (yarn_factor) out, or change rope_parameters in its config.json.",
        )
    return {
        **held,
        "rope_type": "yarn",
        "factor": float(factor),
        "original_max_position_embeddings": config.max_position_embeddings,
    }
