"""`retake convert`: checkpoints in other layouts to one that `transformers` and retake load."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from . import units

if TYPE_CHECKING:
    from retake.models.llava_conversion import Conversion

_FOLDER = click.Path(path_type=Path)
_NEWLINES = {
    "grid": "a newline behind every row of every frame",
    "frame": "a newline behind every frame",
    "one_token": "one newline behind the video",
    "no_token": "no newline",
}


@click.group("convert", no_args_is_help=True)
def command() -> None:
    """Convert checkpoints to a layout that transformers and retake load."""


@command.command("llava-video", no_args_is_help=True)
@click.argument("source", type=_FOLDER)
@click.option(
    "-o",
    "--output",
    type=_FOLDER,
    required=True,
    metavar="FOLDER",
    help="What is written: a new or empty folder, or one that was begun before.",
)
@click.option(
    "--vision",
    type=_FOLDER,
    metavar="FOLDER",
    help="The SigLIP tower, where SOURCE does not hold it or names one that is not known.",
)
@click.option(
    "--text",
    type=_FOLDER,
    metavar="FOLDER",
    help="The Qwen2 model, where SOURCE lacks a tokenizer or fields of its config.json.",
)
@click.option(
    "--dtype",
    type=click.Choice(["float32", "bfloat16", "float16"]),
    help="Of the new weights. Default: each as it is stored.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
def llava_video(
    source: Path,
    output: Path,
    vision: Path | None,
    text: Path | None,
    dtype: str | None,
    as_json: bool,
) -> None:
    """Convert an original LLaVA-Video or LLaVA-OneVision checkpoint.

    SOURCE is a folder as LLaVA-NeXT writes it (LlavaQwenForCausalLM), with safetensors weights.
    Stopped half-way, the same command goes on: finished files are checked and kept.
    """
    import torch

    from retake.models.llava_conversion import convert_llava_video

    from .console import print_json, progress, quiet_models, stdout

    quiet_models()
    with progress() as told:
        done = convert_llava_video(
            source.expanduser(),
            output.expanduser(),
            vision=vision.expanduser() if vision is not None else None,
            text=text.expanduser() if text is not None else None,
            dtype=getattr(torch, dtype) if dtype is not None else None,
            progress=told,
        )
    if as_json:
        print_json(_as_data(done))
        return
    from .report import labelled

    stdout().print(labelled(_rows(done)))
    stdout().print(f"\nAsk it: retake run VIDEO --model {done.folder}", soft_wrap=True)


def _rows(done: "Conversion") -> list[tuple[str, str]]:
    kept = f", of which {done.kept} there already, checked" if done.kept else ""
    files = "1 file" if done.files == 1 else f"{done.files} files"
    layout = done.layout
    rows = [
        ("Checkpoint", str(done.folder)),
        ("Weights", f"{done.tensors} tensors · {units.memory(done.size)} · {files}{kept}"),
        ("Stored as", ", ".join(done.dtypes)),
        ("Head", "tied to the embeddings" if done.tied else "its own"),
        ("Tower", f"from {done.tower}"),
        (
            "Video",
            f"{layout['mm_newline_position']}: {_NEWLINES[str(layout['mm_newline_position'])]} · "
            f"{layout['mm_spatial_pool_mode']} pooling, {layout['mm_spatial_pool_stride']} × "
            f"{layout['mm_spatial_pool_stride']}",
        ),
    ]
    return rows + [("Note", note) for note in done.notes]


def _as_data(done: "Conversion") -> dict[str, Any]:
    return {
        "format": "retake.convert/1",
        "folder": str(done.folder),
        "tensors": done.tensors,
        "bytes": done.size,
        "files": done.files,
        "kept": done.kept,
        "dtypes": list(done.dtypes),
        "tied": done.tied,
        "tower": done.tower,
        "layout": done.layout,
        "notes": list(done.notes),
    }
