"""What the tensors of a LLaVA-NeXT checkpoint are called in the layout of `transformers`.

The names are those that `save_pretrained` of transformers 5.23 writes; `from_pretrained` maps
them to the modules of `LlavaOnevisionForConditionalGeneration`.
"""

_TOWER = "vision_tower."
#: Prefixes of the original and of the new name; the first that fits holds.
_RENAMED = (
    ("model.vision_tower.vision_tower.vision_model.", _TOWER),
    ("model.mm_projector.0.", "multi_modal_projector.linear_1."),
    ("model.mm_projector.2.", "multi_modal_projector.linear_2."),
    ("model.image_newline", "image_newline"),
    ("lm_head.", "language_model.lm_head."),
    ("model.", "language_model.model."),
)
#: How a module's name begins in the model and in a file; the first that fits holds.
_MODULES = (
    ("model.language_model.", "language_model.model."),
    ("lm_head.", "language_model.lm_head."),
    ("model.", ""),
)
HEAD = "language_model.lm_head.weight"
EMBEDDINGS = "language_model.model.embed_tokens.weight"


def renamed(original: str) -> str | None:
    """The new name of an original tensor; None where nothing fits."""
    return _with_prefix(original, _RENAMED)


def original_of(name: str) -> str:
    """The original name of a tensor of the new layout."""
    return _with_prefix(name, [(new, old) for old, new in _RENAMED]) or name


def in_file(parameter: str) -> str:
    """How a parameter of the model is called in a file."""
    return _with_prefix(parameter, _MODULES) or parameter


def is_recomputed(original: str) -> bool:
    """Whether a tensor is a buffer that old releases stored and every model works out itself."""
    return original.endswith((".rotary_emb.inv_freq", ".embeddings.position_ids"))


def is_tower(original: str) -> bool:
    """Whether a tensor of a LLaVA-NeXT checkpoint belongs to the vision tower."""
    return original.startswith("model.vision_tower.")


def from_siglip(name: str, layers: int) -> str | None:
    """The new name of a tensor of a SigLIP checkpoint; None where LLaVA does not use it.

    LLaVA takes the features before the tower's last layer, and has deleted that layer, the
    pooling head and the text tower.

    Args:
        name: as SigLIP's checkpoints call it, with or without "vision_model." before it.
        layers: how many of the tower's layers LLaVA keeps.
    """
    part = name.removeprefix("vision_model.")
    unused = ("text_model.", "logit_", "head.", f"encoder.layers.{layers}.")
    return None if part.startswith(unused) else _TOWER + part


def _with_prefix(
    name: str, rules: "tuple[tuple[str, str], ...] | list[tuple[str, str]]"
) -> str | None:
    for old, new in rules:
        if name.startswith(old):
            return new + name[len(old) :]
    return None
