"""From the one config.json of a LLaVA-NeXT checkpoint to the configuration of `transformers`.

The original writes Qwen2's fields at the top, beside its own (`mm_*`), and has no description of
the vision tower but its name. What it holds under "text_config" and "vision_config" are defaults
of the configuration class it inherits from, a LLaMA and a CLIP, and mean nothing.
"""

from pathlib import Path
from typing import Any

from transformers import LlavaOnevisionConfig, Qwen2Config, SiglipVisionConfig

from retake.core.errors import ModelError, nearest
from retake.models.llava_conversion.fields import check_text, described_by, unlike
from retake.models.llava_conversion.source import read_config

ARCHITECTURE = "LlavaQwenForCausalLM"
_CONVERTED = "LlavaOnevisionForConditionalGeneration"
_MODEL_TYPES = ("llava", "llava_qwen")
_NEWLINES = ("grid", "frame", "one_token", "no_token")
#: Without any of these, `transformers` would fill in the values of another model.
_TEXT_NEEDED = (
    "vocab_size",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "max_position_embeddings",
    "rms_norm_eps",
    "rope_theta",
)
_TEXT_TAKEN = (
    *_TEXT_NEEDED,
    "hidden_act",
    "initializer_range",
    "use_cache",
    "tie_word_embeddings",
    "rope_scaling",
    "use_sliding_window",
    "sliding_window",
    "max_window_layers",
    "attention_dropout",
    "bos_token_id",
    "eos_token_id",
    "pad_token_id",
)
#: The towers known by name, as they were published: with all their layers.
_TOWERS = {
    "siglip-so400m-patch14-384": {
        "hidden_size": 1152,
        "image_size": 384,
        "intermediate_size": 4304,
        "num_attention_heads": 16,
        "num_hidden_layers": 27,
        "patch_size": 14,
    }
}


def check_kind(folder: Path, config: dict[str, Any]) -> None:
    """Refuse a checkpoint of another model, or with parts that the converted one would lack.

    Raises:
        ModelError: says which part.
    """
    kinds = config.get("architectures") or ["no architecture"]
    if not isinstance(kinds, list):
        raise unlike(folder, "architectures", kinds, f'["{ARCHITECTURE}"]')
    if _CONVERTED in kinds:
        raise ModelError(
            f"'{folder}' is in the layout of transformers already.",
            hint=f"Use it as it is: retake run VIDEO --model {folder}",
        )
    if ARCHITECTURE not in kinds or config.get("model_type") not in _MODEL_TYPES:
        raise ModelError(
            f"'{folder}' is a {', '.join(map(str, kinds))} of the type "
            f"'{config.get('model_type')}', not a LLaVA-Video or LLaVA-OneVision checkpoint.",
            hint=f"Converted are {ARCHITECTURE} of the type {' or '.join(_MODEL_TYPES)}.",
        )
    if config.get("mm_projector_type") != "mlp2x_gelu":
        raise unlike(folder, "mm_projector_type", config.get("mm_projector_type"), "mlp2x_gelu")
    if "unpad" not in str(config.get("mm_patch_merge_type")):
        # Without it, the original has no newline token, and transformers' model always has one.
        given = config.get("mm_patch_merge_type")
        raise unlike(folder, "mm_patch_merge_type", given, "spatial_unpad")
    parts = {
        "mm_resampler_type": "a resampler",
        "add_faster_video": "slow and fast frames",
        "mm_use_im_start_end": "tokens around each picture",
        "quantization_config": "quantised weights",
    }
    for key, what in parts.items():
        if config.get(key):
            raise unlike(folder, key, config[key], f"nothing: transformers' model has not {what}")


def text_settings(folder: Path, config: dict[str, Any], text: Path | None) -> Qwen2Config:
    """The language model's configuration.

    Args:
        folder: the checkpoint.
        config: its config.json, whose own fields win.
        text: the folder of the Qwen2 model it was made from, for fields it lacks.

    Raises:
        ModelError: fields are missing, or hold what no such model has.
    """
    given = read_config(text) if text is not None else {}
    if given and given.get("model_type") != "qwen2":
        raise ModelError(f"'{text}' is a '{given.get('model_type')}', not a Qwen2 model.")
    own = {key: value for key, value in config.items() if key in _TEXT_TAKEN}
    lent = {k: value for k, value in given.items() if k in _TEXT_TAKEN and k not in own}
    fields = lent | own
    missing = [key for key in _TEXT_NEEDED if fields.get(key) is None]
    if missing:
        raise ModelError(
            f"The config.json of '{folder}' does not describe its language model: "
            f"it lacks {', '.join(missing)}.",
            hint="Give the folder of the Qwen2 model it was made from: --text FOLDER.",
        )
    check_text(folder, own)
    if text is not None:
        check_text(text, lent)
    with described_by(folder, text):
        return Qwen2Config(**fields)


def vision_settings(
    folder: Path, config: dict[str, Any], vision: Path | None
) -> SiglipVisionConfig:
    """The vision tower's configuration, without the last layer and the head LLaVA deleted.

    Args:
        folder: the checkpoint.
        config: its config.json, which names the tower.
        vision: a folder with that tower, for one that is not known by name.

    Raises:
        ModelError: the tower is not known, or is not the one of the checkpoint.
    """
    name = str(config.get("mm_vision_tower") or "")
    tower = _siglip(vision) if vision is not None else _TOWERS.get(name.rstrip("/").split("/")[-1])
    if tower is None:
        raise ModelError(
            f"The vision tower of '{folder}' is '{name}', which is not known.",
            hint="If it is a SigLIP, give its folder: --vision FOLDER. Known by name: "
            f"{', '.join(_TOWERS)}.",
        )
    with described_by(vision or folder):
        settings = SiglipVisionConfig(**tower)
    if config.get("mm_hidden_size", settings.hidden_size) != settings.hidden_size:
        raise ModelError(
            f"The vision tower of '{folder}' gives features of {config['mm_hidden_size']} numbers, "
            f"'{vision or name}' of {settings.hidden_size}.",
            hint=f"Give the folder of '{name}' as --vision.",
        )
    settings.num_hidden_layers -= 1
    settings.vision_use_head = False
    return settings


def _siglip(folder: Path) -> dict[str, Any]:
    config = read_config(folder)
    kind = config.get("model_type")
    if kind == "siglip":
        config = config.get("vision_config") or {}
        if not isinstance(config, dict):
            raise unlike(folder, "vision_config", config, "an object, the tower's settings")
    elif kind != "siglip_vision_model":
        raise ModelError(f"'{folder}' is a '{kind}', not a SigLIP vision tower.")
    known = vars(SiglipVisionConfig())
    return {key: value for key, value in config.items() if key in known and key[0] != "_"}


def video_layout(folder: Path, config: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """How the checkpoint lays out a video's tokens, and notes on what its config.json left open.

    Returns:
        The keys that the converted config.json carries: "mm_newline_position" ("grid": a newline
        behind every row of every frame; "frame": behind every frame; "one_token": behind the
        video; "no_token"), "mm_spatial_pool_mode", "mm_spatial_pool_stride" and
        "add_time_instruction". The original code's defaults stand in for missing ones.

    Raises:
        ModelError: a value is none of the original's, or a pooling that the model of
            transformers has not.
    """
    timed = config.get("add_time_instruction") or False
    if not isinstance(timed, bool):
        raise unlike(folder, "add_time_instruction", timed, "true or false")
    layout: dict[str, Any] = {
        "mm_newline_position": config.get("mm_newline_position"),
        "mm_spatial_pool_mode": config.get("mm_spatial_pool_mode"),
        "mm_spatial_pool_stride": config.get("mm_spatial_pool_stride"),
        "add_time_instruction": timed,
    }
    notes = []
    for key, default in (
        ("mm_newline_position", "one_token"),
        ("mm_spatial_pool_mode", "bilinear"),
        ("mm_spatial_pool_stride", 2),
    ):
        if layout[key] is None:
            layout[key] = default
            notes.append(f"config.json has no {key}; the original code's default is {default}")
    newline = layout["mm_newline_position"]
    if newline not in _NEWLINES:
        close = nearest(str(newline), _NEWLINES, count=1)
        guess = f" (near: {close[0]})" if close else ""
        raise unlike(folder, "mm_newline_position", newline, f"{', '.join(_NEWLINES)}{guess}")
    for key, only in (("mm_spatial_pool_mode", "bilinear"), ("mm_spatial_pool_stride", 2)):
        if layout[key] != only:
            allowed = f"{only}: transformers' model pools bilinearly, two by two"
            raise unlike(folder, key, layout[key], allowed)
    if newline != "one_token":
        notes.append(
            f"retake puts newlines where config.json says ({newline}); the forward of "
            "transformers itself puts one behind the video"
        )
    return layout, notes


def whole_settings(
    config: dict[str, Any],
    text: Qwen2Config,
    vision: SiglipVisionConfig,
    layout: dict[str, Any],
    tokens: tuple[int, int],
) -> LlavaOnevisionConfig:
    """The configuration of the converted model.

    Args:
        config: the original config.json.
        text: of the language model.
        vision: of the tower.
        layout: from `video_layout`.
        tokens: the ids of <image> and <video>.
    """
    pictures = {}
    if isinstance(config.get("image_grid_pinpoints"), list):
        pictures["image_grid_pinpoints"] = config["image_grid_pinpoints"]
    if str(config.get("image_aspect_ratio")).startswith("anyres_max_"):
        pictures["vision_aspect_ratio"] = config["image_aspect_ratio"]
    return LlavaOnevisionConfig(
        architectures=[_CONVERTED],
        text_config=text,
        vision_config=vision,
        image_token_index=tokens[0],
        video_token_index=tokens[1],
        vision_feature_layer=-1,
        vision_feature_select_strategy="full",
        projector_hidden_act="gelu",
        tie_word_embeddings=text.tie_word_embeddings,
        **pictures,
        **layout,
    )
