"""Finding, reading and checking checkpoints, with errors that say what is wrong with them."""

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from transformers import AutoTokenizer, PretrainedConfig
from transformers.utils.hub import cached_file

from retake.core.adapter import LoadOptions
from retake.core.errors import ModelError, RetakeError
from retake.models import placing
from retake.models.documents import Settings, json_object, shown

# Where a checkpoint says how frames are prepared, and under which key: what `transformers` 5 saves
# comes before what older releases did, and what is said of videos before what is said of pictures.
_FRAME_RULES = (
    ("processor_config.json", "video_processor"),
    ("video_preprocessor_config.json", None),
    ("processor_config.json", "image_processor"),
    ("preprocessor_config.json", None),
)
# What `transformers` raises for a wrong value depends on where it comes to matter.
_DAMAGE = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    SafetensorError,
    StrictDataclassError,
)
# Weights of real checkpoints that nothing reads: tables that are computed, and the end of a
# SigLIP tower, whose features are taken before it.
_UNREAD = re.compile(
    r"(^|\.)(inv_freq|position_ids)$|(^|\.)vision_tower\.(vision_model\.)?(head|post_layernorm)\."
)
_TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt")


def looks_local(folder: str) -> bool:
    """Whether a model's name is meant as a path: it exists, or no hub id looks like it."""
    path = Path(folder)
    return path.exists() or folder.startswith((".", "/", "~")) or folder.count("/") != 1


@contextmanager
def checkpoint_errors(folder: str, kinds: tuple[type[Exception], ...] = _DAMAGE) -> Iterator[None]:
    """Turn what `transformers` raises while loading into an error that names the checkpoint.

    Only for blocks that do nothing else: a defect of retake's own must stay one.

    Args:
        folder: the checkpoint.
        kinds: the errors that a damaged checkpoint may cause.
    """
    try:
        yield
    except RetakeError:
        raise
    except kinds as error:
        hint = (
            "Give a folder with config.json, the tokenizer's files and *.safetensors weights."
            if looks_local(folder)
            else "Is the hub id right, and the hub reachable? A local folder works offline."
        )
        raise ModelError(
            f"Cannot load the model '{folder}': {_reason(error)}", hint=hint
        ) from error


def _reason(error: Exception) -> str:
    """What an error says, in a line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if not lines:
        return repr(error)
    if isinstance(error, KeyError):
        return f"missing key {error}"
    if isinstance(error, StrictDataclassError):
        # The field, then what is wrong with it.
        return " ".join(lines)
    # Written for programmers, these say little without their kind.
    programmers = (ArithmeticError, AssertionError, AttributeError, IndexError, TypeError)
    return f"{type(error).__name__}: {lines[0]}" if isinstance(error, programmers) else lines[0]


def read_config(folder: str) -> dict[str, Any]:
    """A checkpoint's `config.json`.

    Raises:
        ModelError: there is none, or it is no JSON object.
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
        json_object(_text(path / "config.json"), f"{folder}/config.json")
    with checkpoint_errors(folder):
        config, _ = PretrainedConfig.get_config_dict(str(path) if path.exists() else folder)
    if not isinstance(config, dict):
        raise ModelError(f"The config.json of '{folder}' is {shown(config)}, not an object.")
    # In place of what is null, transformers would build its default: a model of 7B.
    settings = Settings(config, f"{folder}/config.json")
    for name in ("text_config", "vision_config"):
        if name in config and not isinstance(config[name], dict):
            raise settings.wrong(name, "an object, {…}")
    return config


def read_text(folder: str, name: str, *, local_only: bool = False) -> str | None:
    """The text of one of a checkpoint's files, or None where it has none.

    Args:
        folder: a local folder or a hub id.
        name: the file.
        local_only: of a hub id, look only at what was downloaded before.

    Raises:
        ModelError: it cannot be read, or is not text.
    """
    path = Path(folder).expanduser()
    if path.is_dir() or looks_local(folder):
        file = path / name
        return _text(file) if file.is_file() else None
    found = cached_file(
        folder,
        name,
        local_files_only=local_only,
        _raise_exceptions_for_missing_entries=False,
        _raise_exceptions_for_connection_errors=False,
    )
    return _text(Path(found)) if found else None


def _text(file: Path) -> str:
    """A file's text."""
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ModelError(f"'{file}' is not UTF-8 text: {error}.") from error
    except OSError as error:
        raise ModelError(f"'{file}' cannot be read: {error.strerror}.") from error


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
    # The library beneath it raises plain exceptions.
    with checkpoint_errors(folder, (Exception,)):
        tokenizer = AutoTokenizer.from_pretrained(str(path))
    # A processor's own template knows of videos; a tokenizer's may be that of the bare text model.
    if read_text(folder, "chat_template.jinja") is None:
        template = read_text(folder, "chat_template.json")
        if template is not None:
            settings = Settings.of(template, f"{folder}/chat_template.json")
            tokenizer.chat_template = settings.text("chat_template")
    if not tokenizer.chat_template:
        raise ModelError(
            f"The tokenizer of '{folder}' has no chat template.",
            hint="Add chat_template.jinja (or 'chat_template' in tokenizer_config.json).",
        )
    if not isinstance(tokenizer.chat_template, (str, dict)):
        raise ModelError(
            f"The chat template of '{folder}' is {tokenizer.chat_template!r}; it must be a text."
        )
    return tokenizer


def read_frame_rules(folder: str, *, local_only: bool = False) -> tuple[str, str] | None:
    """What a checkpoint says of frames, as JSON text, and the file that says it.

    Args:
        folder: a local folder or a hub id.
        local_only: of a hub id, look only at what was downloaded before.

    Raises:
        ModelError: a file is no text, or the processor's configuration no JSON object.
    """
    for name, key in _FRAME_RULES:
        text = read_text(folder, name, local_only=local_only)
        if text is None:
            continue
        if key is None:
            return text, f"{folder}/{name}"
        part = Settings.of(text, f"{folder}/{name}").part(key).given
        if part:
            return json.dumps(part), f"{folder}/{name}"
    return None


def no_frame_rules(folder: str) -> ModelError:
    """The error for a checkpoint that does not say how its frames are prepared."""
    names = dict.fromkeys(name for name, _ in _FRAME_RULES)
    return ModelError(
        f"'{folder}' does not say how frames are prepared: it holds none of {', '.join(names)} "
        f"(of the first, its 'video_processor' or 'image_processor').",
        hint="Copy preprocessor_config.json from the model that it was made from.",
    )


def load_model(stock: Any, config: Any, folder: str, options: LoadOptions) -> Any:
    """A checkpoint's model, complete, on its device or spread as asked, ready to answer.

    Args:
        stock: the model's class in `transformers`.
        config: its configuration.
        folder: a local folder or a hub id.
        options: dtype, attention of the vision tower, device or map of devices.

    Raises:
        ModelError: weights are missing, unreadable, of another shape, or have no place.
        MissingExtraError: a library is missing that the map or the weights need.
        UsageError: the map leaves weights out.
    """
    told = placing.placed(config, options)
    with checkpoint_errors(folder), placing.library_errors(folder, config):
        model, report = stock.from_pretrained(
            folder,
            config=config,
            dtype=options.dtype,
            attn_implementation=options.kernel,
            output_loading_info=True,
            # Reported, with both shapes, and refused below.
            ignore_mismatched_sizes=True,
            **told,
        )
    check_weights(folder, report, quantised=placing.quantised(config))
    placing.check_covered(model, options)
    return model.eval() if told else model.to(options.device).eval()


def check_weights(folder: str, report: Any, *, quantised: bool = False) -> None:
    """Refuse a checkpoint that is not the configured model's: too little of it, or too much.

    Args:
        folder: the checkpoint.
        report: the loading information of `from_pretrained(output_loading_info=True)`.
        quantised: its weights are, and come with scales and the like that no model names.

    Raises:
        ModelError: weights stayed at their random start, or were left aside.
    """
    problems = {
        "of another shape": sorted(_shapes(*entry) for entry in report["mismatched_keys"]),
        "missing": sorted(report["missing_keys"]),
        "unreadable": sorted(str(entry) for entry in report.get("error_msgs") or ()),
    }
    if not quantised:
        left = [key for key in report["unexpected_keys"] if not _UNREAD.search(key)]
        problems["that the configured model has no place for"] = sorted(left)
    for what, keys in problems.items():
        if keys:
            listed = ", ".join(keys[:3]) + (f" and {len(keys) - 3} more" if len(keys) > 3 else "")
            raise ModelError(
                f"The checkpoint '{folder}' has weights {what}: {listed}.",
                hint="Is it complete, and does its config.json belong to these weights?",
            )


def _shapes(name: str, held: Sequence[int], wanted: Sequence[int]) -> str:
    """A weight that does not fit, with both shapes."""
    return f"{name} (it is {list(held)}, config.json asks for {list(wanted)})"
