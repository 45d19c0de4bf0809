"""Finding, reading and checking checkpoints, with errors that say what is wrong with them."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from transformers import AutoTokenizer, PretrainedConfig
from transformers.utils.hub import cached_file

from retake.core.adapter import LoadOptions
from retake.core.errors import ModelError
from retake.models import placing

# Where a checkpoint says how frames are prepared, and under which key: what `transformers` 5 saves
# comes before what older releases did, and what is said of videos before what is said of pictures.
_FRAME_RULES = (
    ("processor_config.json", "video_processor"),
    ("video_preprocessor_config.json", None),
    ("processor_config.json", "image_processor"),
    ("preprocessor_config.json", None),
)
_TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt")


def looks_local(folder: str) -> bool:
    """Whether a model's name is meant as a path: it exists, or no hub id looks like it."""
    path = Path(folder)
    return path.exists() or folder.startswith((".", "/", "~")) or folder.count("/") != 1


@contextmanager
def checkpoint_errors(folder: str) -> Iterator[None]:
    """Turn what `transformers` raises while loading into an error that names the checkpoint."""
    try:
        yield
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
        if isinstance(error, KeyError):
            reason = f"missing key {error}"
        hint = (
            "Give a folder with config.json, the tokenizer's files and *.safetensors weights."
            if looks_local(folder)
            else "Is the hub id right, and the hub reachable? A local folder works offline."
        )
        raise ModelError(f"Cannot load the model '{folder}': {reason}", hint=hint) from error


def read_config(folder: str) -> dict[str, Any]:
    """A checkpoint's `config.json`.

    Raises:
        ModelError: there is none, or it is not JSON.
    """
    path = Path(folder).expanduser()
    if looks_local(folder):
        if not path.exists():
            raise ModelError(
                f"There is no model at '{folder}'.",
                hint="Give a checkpoint's folder or a hub id such as Qwen/Qwen2-VL-7B-Instruct.",
            )
        if not path.is_dir():
            raise ModelError(
                f"'{folder}' is a file; a model is a folder.",
                hint="Give the folder that holds config.json.",
            )
        if not (path / "config.json").is_file():
            held = ", ".join(sorted(entry.name for entry in path.iterdir())[:8]) or "nothing"
            raise ModelError(f"'{folder}' holds no config.json (it holds: {held}).")
    with checkpoint_errors(folder):
        config, _ = PretrainedConfig.get_config_dict(str(path) if path.exists() else folder)
    return dict(config)


def read_text(folder: str, name: str, *, local_only: bool = False) -> str | None:
    """The text of one of a checkpoint's files, or None where it has none.

    Args:
        folder: a local folder or a hub id.
        name: the file.
        local_only: of a hub id, look only at what was downloaded before.
    """
    path = Path(folder).expanduser()
    if path.is_dir() or looks_local(folder):
        file = path / name
        return file.read_text() if file.is_file() else None
    found = cached_file(
        folder,
        name,
        local_files_only=local_only,
        _raise_exceptions_for_missing_entries=False,
        _raise_exceptions_for_connection_errors=False,
    )
    return Path(found).read_text() if found else None


def load_tokenizer(folder: str) -> Any:
    """A checkpoint's tokenizer.

    Raises:
        ModelError: it has none, or no chat template.
    """
    path = Path(folder).expanduser()
    # Without its files, `transformers` would make up a tokenizer that knows no words.
    if path.is_dir() and not any((path / name).is_file() for name in _TOKENIZER_FILES):
        raise ModelError(
            f"'{folder}' holds no tokenizer.",
            hint=f"Add one of {', '.join(_TOKENIZER_FILES)} and what belongs to it.",
        )
    with checkpoint_errors(folder):
        tokenizer = AutoTokenizer.from_pretrained(str(path))
    # A processor's own template knows of videos; a tokenizer's may be that of the bare text model.
    if read_text(folder, "chat_template.jinja") is None:
        template = read_text(folder, "chat_template.json")
        if template is not None:
            tokenizer.chat_template = json.loads(template)["chat_template"]
    if not tokenizer.chat_template:
        raise ModelError(
            f"The tokenizer of '{folder}' has no chat template.",
            hint="Add chat_template.jinja (or 'chat_template' in tokenizer_config.json).",
        )
    return tokenizer


def read_frame_rules(folder: str, *, local_only: bool = False) -> tuple[str, str] | None:
    """What a checkpoint says of frames, as JSON text, and the file that says it.

    Args:
        folder: a local folder or a hub id.
        local_only: of a hub id, look only at what was downloaded before.

    Raises:
        ModelError: the processor's configuration is not JSON.
    """
    for name, key in _FRAME_RULES:
        text = read_text(folder, name, local_only=local_only)
        if text is None:
            continue
        if key is None:
            return text, f"{folder}/{name}"
        try:
            part = json.loads(text).get(key)
        except json.JSONDecodeError as error:
            raise ModelError(f"'{folder}/{name}' is not valid JSON: {error}.") from error
        if part:
            return json.dumps(part), f"{folder}/{name}"
    return None


def load_model(stock: Any, config: Any, folder: str, options: LoadOptions) -> Any:
    """A checkpoint's model, complete, on its device or spread as asked, ready to answer.

    Args:
        stock: the model's class in `transformers`.
        config: its configuration.
        folder: a local folder or a hub id.
        options: dtype, attention of the vision tower, device or map of devices.

    Raises:
        ModelError: weights are missing, unreadable or of another shape.
        MissingExtraError: a library is missing that the map or the weights need.
    """
    told = placing.placed(config, options)
    with checkpoint_errors(folder), placing.library_errors(folder, config):
        model, report = stock.from_pretrained(
            folder,
            config=config,
            dtype=options.dtype,
            attn_implementation=options.kernel,
            output_loading_info=True,
            **told,
        )
    check_weights(folder, report)
    return model.eval() if told else model.to(options.device).eval()


def check_weights(folder: str, report: Any) -> None:
    """Refuse a checkpoint that left weights of the model at their random start.

    Args:
        folder: the checkpoint.
        report: the loading information of `from_pretrained(output_loading_info=True)`.
    """
    problems = {
        "missing": sorted(report["missing_keys"]),
        "of another shape": sorted(str(entry[0]) for entry in report["mismatched_keys"]),
        "unreadable": sorted(str(entry) for entry in report.get("error_msgs") or ()),
    }
    for what, keys in problems.items():
        if keys:
            shown = ", ".join(keys[:3]) + (f" and {len(keys) - 3} more" if len(keys) > 3 else "")
            raise ModelError(f"The checkpoint '{folder}' has weights {what}: {shown}.")
