"""What config.json must say of a language model, before `transformers` builds one from it.

Some wrong values `transformers` takes without a word, such as a context of 0 tokens; others it
meets with whatever goes wrong first, a division by zero or a missing key. The first are refused
here by name, the second are turned into an error that names the file.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from transformers.activations import ACT2FN
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

from retake.core.errors import ModelError, RetakeError

_COUNTS = (
    "vocab_size",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "max_position_embeddings",
)
_REAL = ("rms_norm_eps", "rope_theta")


def unlike(folder: Path, key: str, given: Any, allowed: str) -> ModelError:
    """The error for an entry of a folder's config.json."""
    return ModelError(
        f"'{folder}' has {key} = {given!r} in its config.json.", hint=f"Allowed is {allowed}."
    )


@contextmanager
def described_by(*folders: Path | None) -> Iterator[None]:
    """Turn what `transformers` raises on a configuration into an error that names the file.

    Args:
        folders: whose config.json the configuration is from.

    Raises:
        ModelError: instead of whatever was raised, unless that was written for people.
    """
    try:
        yield
    except RetakeError:
        raise
    except Exception as error:  # whatever a wrong value happens to break
        files = " or ".join(f"'{folder}'" for folder in folders if folder is not None)
        reason = " ".join(str(error).split()).rstrip(".") or "no reason given"
        raise ModelError(
            f"The config.json of {files} describes no model that transformers can build: "
            f"{reason} ({type(error).__name__}).",
            hint="Is it the checkpoint's own, as it was published?",
        ) from error


def check_text(folder: Path, fields: dict[str, Any]) -> None:
    """Refuse values that would make another model, or none.

    Args:
        folder: whose config.json the fields are from.
        fields: of the language model; those that are not there are not checked.

    Raises:
        ModelError: names the first wrong one and what is allowed.
    """
    for key in _COUNTS:
        if key in fields and (type(fields[key]) is not int or fields[key] < 1):
            raise unlike(folder, key, fields[key], "a whole number from 1 on")
    for key in _REAL:
        if key in fields and not _is_positive(fields[key]):
            raise unlike(folder, key, fields[key], "a number above 0")
    if fields.get("use_sliding_window"):
        # Which layers slide has changed between releases of transformers, and retake has none.
        raise unlike(folder, "use_sliding_window", fields["use_sliding_window"], "false")
    _check_activation(folder, fields.get("hidden_act"))
    _check_rope(folder, fields.get("rope_scaling"))


def _is_positive(given: Any) -> bool:
    number = isinstance(given, int | float) and not isinstance(given, bool)
    return number and math.isfinite(given) and given > 0


def _check_activation(folder: Path, given: Any) -> None:
    if given is not None and (not isinstance(given, str) or given not in ACT2FN):
        raise unlike(folder, "hidden_act", given, f"{', '.join(ACT2FN)}; Qwen2's is silu")


def _check_rope(folder: Path, given: Any) -> None:
    if given is None:
        return
    kinds = ("default", *ROPE_INIT_FUNCTIONS)
    kind = given.get("rope_type", given.get("type")) if isinstance(given, dict) else None
    if kind not in kinds:
        allowed = f"null, or an object with one of these types: {', '.join(kinds)}"
        raise unlike(folder, "rope_scaling", given, allowed)
