"""The interface of model adapters: all that is particular to one model family."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any, ClassVar

import attrs
import torch
from torch import Tensor, nn

from retake.core.frames import FrameBatch, resized
from retake.core.placement import execution_device, weights
from retake.core.tokens import Selection, shape_of


@attrs.frozen
class LoadOptions:
    """How a checkpoint is loaded.

    Attributes:
        device: where the weights are placed.
        on_host: whether that is the host's own memory.
        dtype: of the weights and the computation.
        kernel: attention of the vision tower, "sdpa" or "eager".
        yarn_factor: stretch the context by YaRN (arXiv 2309.00071) so many times; None leaves
            the checkpoint's own setting.
        device_map: spread the model over several devices, as `ModelOptions.device_map` says.
    """

    device: torch.device = attrs.field(factory=lambda: torch.device("cpu"))
    on_host: bool = True
    dtype: torch.dtype = torch.float32
    kernel: str = "sdpa"
    yarn_factor: float | None = None
    device_map: str | dict[str, int | str] | None = None


@attrs.frozen(eq=False)
class Patches:
    """Preprocessed frames, in the form in which the family's vision tower reads them.

    Attributes:
        values: `[P, D]`, P patches of D numbers in the tower's order; or frames `[F, 3, H, W]`
            for a tower that cuts them itself.
        grid: temporal steps, and rows and columns of patches in a step.
    """

    values: Tensor = attrs.field(repr=shape_of)
    grid: tuple[int, int, int]


@attrs.frozen
class Prompt:
    """A prompt around a video: what stands before the video, and what stands behind it."""

    prefix: tuple[int, ...]
    suffix: tuple[int, ...]
    text: str = ""


class ModelAdapter(ABC):
    """Wraps one loaded model: how its frames become tokens and its tokens get positions.

    An adapter calls the model's own submodules; it replaces nothing in it.
    """

    #: Where the family comes from, as `retake list` shows it.
    source: ClassVar[str] = ""
    #: The `model_type` of the configurations that this family's checkpoints carry.
    model_types: ClassVar[tuple[str, ...]] = ()
    #: Frames that one temporal step stands for.
    frames_per_step: ClassVar[int] = 1
    #: Whether a token's time is that of its second in the video, not of its step's number.
    absolute_time: ClassVar[bool] = False
    #: Axes of a position: 3 with M-RoPE, else 1.
    position_axes: ClassVar[int] = 1

    def __init__(self, model: Any, tokenizer: Any, folder: str) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.folder = folder

    @classmethod
    @abstractmethod
    def load(cls, folder: str | Path, options: LoadOptions) -> "ModelAdapter":
        """Load a checkpoint from a folder or the hub."""

    @classmethod
    @abstractmethod
    def wrap(cls, model: Any, tokenizer: Any) -> "ModelAdapter":
        """Adapt a model that is loaded already."""

    @abstractmethod
    def frame_size(self, height: int, width: int, long_side: int | None) -> tuple[int, int]:
        """Height and width in pixels to which frames of that size are resized."""

    def resize(self, frames: Tensor, size: tuple[int, int]) -> Tensor:
        """Frames, uint8 `[F, H, W, 3]`, as `preprocess` resizes them, uint8 `[F, h, w, 3]`.

        Called on each frame as soon as it is decoded, so that frames of full size are never
        held; `preprocess` then finds them at their size.
        """
        return resized(frames, size)

    @abstractmethod
    def preprocess(self, frames: Tensor, size: tuple[int, int]) -> Patches:
        """Frames, uint8 `[F, H, W, 3]`, as the vision tower wants them.

        F that is no multiple of `frames_per_step` is filled up with the last frame.
        """

    @abstractmethod
    def encode(self, patches: Patches) -> Tensor:
        """Visual tokens `[T, N, C]` of those patches, as they enter the language model."""

    @abstractmethod
    def token_grid(self, size: tuple[int, int]) -> tuple[int, int]:
        """Rows and columns of visual tokens that a step of that frame size has."""

    @abstractmethod
    def video_positions(
        self,
        start: int,
        selection: Selection,
        grid: tuple[int, int],
        seconds: Tensor | None = None,
    ) -> Tensor:
        """The model's own positions of the selected tokens, int64 `[A, K]`.

        Args:
            start: tokens of text before the video.
            selection: what entered.
            grid: rows and columns of tokens in a step.
            seconds: float32 `[K]`, from the video's start to each token's step; for families
                that place tokens in absolute time. None: a step a second.
        """

    def after_video(self) -> Tensor:
        """Embeddings `[E, C]` that close every video, before the text behind it; often none.

        They belong to the text: no selector sees them, and they are never evicted.
        """
        return self.embed(torch.zeros(1, 0, dtype=torch.long, device=self.device))[0]

    @abstractmethod
    def prompt(self, question: str) -> Prompt:
        """A question about one video in the checkpoint's chat template, as token ids."""

    @abstractmethod
    def attention_layers(self) -> Sequence[nn.Module]:
        """The language model's attention modules, first layer first."""

    @abstractmethod
    def language_model(self) -> Any:
        """The decoder stack: takes `inputs_embeds` and a cache."""

    @abstractmethod
    def embed(self, token_ids: Tensor) -> Tensor:
        """Embeddings `[1, Q, C]` of text tokens `[1, Q]`."""

    @abstractmethod
    def rotary(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Cosine and sine for positions `[A, Q]`: each `[Q, D]`, a value a dimension.

        They carry the model's attention scaling, and are what its attention modules take as
        `position_embeddings` once a batch axis is added.
        """

    def state(self) -> dict[str, Any]:
        """What running the model changes on it and `restore` must put back."""
        return {}

    def restore(self, saved: dict[str, Any]) -> None:  # noqa: B027 - most families keep none
        """Put back what `state` saved."""

    @cached_property
    def fingerprint(self) -> str:
        """A short hash that tells one model from another: names, shapes, some weights, angles.

        Reads the first numbers of every parameter, not all. Angles are rounded, as devices
        differ in their last digits.
        """
        digest = sha256()
        for name, weight in weights(self.model):
            start = weight.flatten()[:8].float().cpu()
            digest.update(f"{name}{list(weight.shape)}{start.tolist()}".encode())
        places = torch.arange(1, 4, device=self.device).expand(self.position_axes, -1)
        angles = self.rotary(places)[0].double().cpu().flatten().tolist()
        digest.update(str([f"{angle:.3f}" for angle in angles]).encode())
        return digest.hexdigest()[:16]

    def encode_frames(self, batch: FrameBatch, size: tuple[int, int]) -> Tensor:
        """Visual tokens `[T, N, C]` of a batch of frames."""
        return self.encode(self.preprocess(batch.frames, size)).to(self.device)

    @property
    def device(self) -> torch.device:
        """Where tokens are embedded: what enters the language model is placed there."""
        embeddings = self.model.get_input_embeddings()
        device = execution_device(embeddings) or execution_device(self.model)
        return device or torch.device("meta")

    @property
    def layer_devices(self) -> tuple[torch.device, ...]:
        """Where each attention layer computes, and its cache is held."""
        return tuple(execution_device(layer) or self.device for layer in self.attention_layers())

    @property
    def dtype(self) -> torch.dtype:
        embeddings = self.model.get_input_embeddings()
        # Said without embedding anything, which may have to be read from disk first.
        if type(embeddings) is nn.Embedding:
            return embeddings.weight.dtype
        return self.embed(torch.zeros(1, 1, dtype=torch.long, device=self.device)).dtype
