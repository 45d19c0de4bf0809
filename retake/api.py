"""The public API: load a model, watch a video, ask about it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs

from retake import loading
from retake.assembling import as_options, as_prefill, as_seed, resolve_budget
from retake.core import config as options
from retake.core.compressor import KVCompressor
from retake.core.config import (
    GenerateOptions,
    ModelOptions,
    PartOptions,
    PrefillOptions,
    RunConfig,
    VideoOptions,
)
from retake.core.errors import UsageError
from retake.core.selector import FrameSelector
from retake.models import models
from retake.video_model import VideoModel


def load(
    model: str | Path | None = None,
    *,
    selector: str | PartOptions | FrameSelector = "dpselect",
    compressor: str | PartOptions | KVCompressor = "pivotkv",
    budget: int | None = None,
    keep_ratio: float | None = None,
    adapter: str = "auto",
    backend: str = "auto",
    dtype: str = "auto",
    attention: str = "sdpa",
    yarn_factor: float | None = None,
    device_map: str | Mapping[str, int | str] | None = None,
    video: VideoOptions | Mapping[str, Any] | None = None,
    prefill: PrefillOptions | Mapping[str, Any] | None = None,
    generate: GenerateOptions | Mapping[str, Any] | None = None,
    seed: int = 0,
) -> VideoModel:
    """Load a model together with the parts that it watches videos through.

    Args:
        model: a checkpoint's folder or hub id; None is the small model shipped with retake.
        selector: a name, `PartOptions(name, options)`, "file.py:Class", or an instance.
        compressor: likewise.
        budget: tokens each layer may hold once a video is watched, prompt included.
        keep_ratio: fraction of the selected visual tokens to keep, instead of a budget. With
            neither, the budget is 32,000 tokens.
        adapter, backend, dtype, attention, yarn_factor, device_map: see `ModelOptions`.
        video: see `VideoOptions`; a mapping is checked and converted.
        prefill: see `PrefillOptions`.
        generate: see `GenerateOptions`.
        seed: of sampled answers.

    Raises:
        UsageError: an option is unknown, of the wrong type or out of range.
        ModelError: the checkpoint cannot be loaded.
    """
    given = {
        "path": None if model is None else str(model),
        "adapter": adapter,
        "backend": backend,
        "dtype": dtype,
        "attention": attention,
        "yarn_factor": yarn_factor,
        "device_map": dict(device_map) if isinstance(device_map, Mapping) else device_map,
    }
    configured = RunConfig(
        model=options.structure(ModelOptions, given, "model option"),
        video=as_options(VideoOptions, video, "video option"),
        prefill=as_prefill(prefill, budget, keep_ratio),
        generate=as_options(GenerateOptions, generate, "generate option"),
        seed=as_seed(seed),
    )
    return from_config(configured, selector=selector, compressor=compressor)


def from_config(
    config: RunConfig,
    *,
    selector: str | PartOptions | FrameSelector | None = None,
    compressor: str | PartOptions | KVCompressor | None = None,
) -> VideoModel:
    """Load what a configuration describes; parts given besides replace the configured ones."""
    # Parts first: a misspelt option should not wait for a model of many gigabytes.
    selecting = loading.make_selector(config.selector if selector is None else selector)
    compressing = loading.make_compressor(config.compressor if compressor is None else compressor)
    prefill = resolve_budget(config.prefill, compressing[0])
    device = loading.make_backend(config.model.backend, config.model.attention)
    adapter, resolved = loading.load_adapter(config.model, device)
    config = attrs.evolve(
        config,
        model=resolved,
        selector=selecting[1],
        compressor=compressing[1],
        prefill=prefill,
    )
    return VideoModel(adapter, device, selecting[0], compressing[0], config)


def resolve(config: RunConfig) -> RunConfig:
    """The configuration with its parts' options and the budget filled in; loads no model.

    What is "auto" is decided when the model is loaded.
    """
    compressing = loading.make_compressor(config.compressor)
    return attrs.evolve(
        config,
        selector=loading.make_selector(config.selector)[1],
        compressor=compressing[1],
        prefill=resolve_budget(config.prefill, compressing[0]),
    )


def attach(
    model: Any,
    tokenizer: Any,
    *,
    adapter: str = "auto",
    selector: str | PartOptions | FrameSelector = "dpselect",
    compressor: str | PartOptions | KVCompressor = "pivotkv",
    budget: int | None = None,
    keep_ratio: float | None = None,
    attention: str = "sdpa",
    video: VideoOptions | Mapping[str, Any] | None = None,
    prefill: PrefillOptions | Mapping[str, Any] | None = None,
    generate: GenerateOptions | Mapping[str, Any] | None = None,
    seed: int = 0,
) -> VideoModel:
    """Use retake with a `transformers` model that is loaded already.

    The model is touched only while a video is watched or a question is answered, and is
    then as it was before. The other arguments are those of `load`.
    """
    if not hasattr(model, "config") or not hasattr(tokenizer, "apply_chat_template"):
        raise UsageError(
            "attach() takes a transformers model and its tokenizer, got "
            f"{type(model).__name__} and {type(tokenizer).__name__}.",
            hint="To load a checkpoint from a folder, use retake.load().",
        )
    family = adapter if adapter != "auto" else loading.family_of(model.config.to_dict(), "model")
    wrapped = models.get(family).wrap(model, tokenizer)
    device = loading.make_backend(wrapped.device.type, attention)
    selecting = loading.make_selector(selector)
    compressing = loading.make_compressor(compressor)
    config = RunConfig(
        model=ModelOptions(
            path=wrapped.folder,
            adapter=family,
            backend=device.name,
            dtype=loading.name_of(wrapped.dtype),
            attention=attention,  # type: ignore[arg-type]
        ),
        video=as_options(VideoOptions, video, "video option"),
        selector=selecting[1],
        compressor=compressing[1],
        prefill=resolve_budget(as_prefill(prefill, budget, keep_ratio), compressing[0]),
        generate=as_options(GenerateOptions, generate, "generate option"),
        seed=as_seed(seed),
    )
    return VideoModel(wrapped, device, selecting[0], compressing[0], config)
