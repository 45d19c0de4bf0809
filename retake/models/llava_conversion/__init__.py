"""From LLaVA-Video's own checkpoints to the layout that `transformers` and retake load.

LLaVA-Video and LLaVA-OneVision (arXiv 2410.02713, 2408.03326) were published by LLaVA-NeXT's
code, whose layout only that code reads. Everything is checked by names and shapes first; then
each file is copied under new names, a block at a time; config.json comes last, so that a folder
that loads is a whole one.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path

import torch
from attrs import frozen

from retake.core.errors import ModelError
from retake.models.llava_conversion import beside, copying, naming, plan, settings
from retake.models.llava_conversion.fields import described_by
from retake.models.llava_conversion.folder import LAST, Destination
from retake.models.llava_conversion.source import Source, read_source
from retake.models.llava_conversion.tensor_file import NAMES, Stored

#: Called with a stage's name, how much of it is done, and how much there is.
Progress = Callable[[str, int, int], None]


@frozen
class Conversion:
    """What was converted.

    Attributes:
        folder: the new checkpoint.
        tensors: how many it holds.
        size: bytes of its weights.
        files: with weights.
        kept: how many of those files were there already, whole.
        dtypes: of the tensors, by safetensors' names.
        tied: whether the output head is the embeddings.
        layout: how a video's tokens are laid out; the keys of config.json.
        tower: where the vision tower came from.
        notes: what the reader should know.
    """

    folder: Path
    tensors: int
    size: int
    files: int
    kept: int
    dtypes: tuple[str, ...]
    tied: bool
    layout: dict[str, object]
    tower: str
    notes: tuple[str, ...]


def convert_llava_video(
    source: Path,
    destination: Path,
    *,
    vision: Path | None = None,
    text: Path | None = None,
    dtype: torch.dtype | None = None,
    progress: Progress | None = None,
) -> Conversion:
    """Convert an original LLaVA-Video or LLaVA-OneVision checkpoint.

    Interrupted, the same call goes on: files that are there are compared with what they should
    be and kept, and the result is the same to the byte.

    Args:
        source: a folder in LLaVA-NeXT's layout, with safetensors weights.
        destination: a new or empty folder, or one that was begun.
        vision: a SigLIP folder, for a checkpoint without its tower or with an unknown one.
        text: a Qwen2 folder, for a checkpoint without tokenizer or with an incomplete config.json.
        dtype: of the new weights; None keeps each as it is stored.
        progress: told about bytes.

    Raises:
        ModelError: the checkpoint is of another kind, or incomplete, or holds what the model has
            no place for; the system refuses to read or write.
        UsageError: the destination holds something else.
    """
    checkpoint = read_source(source)
    job = _Job(checkpoint, vision, text, dtype)
    target = Destination(destination, job.identity)
    target.check()
    return job.run(target, progress or (lambda stage, done, total: None))


class _Job:
    """Everything decided and checked, nothing written."""

    def __init__(
        self, source: Source, vision: Path | None, text: Path | None, dtype: torch.dtype | None
    ) -> None:
        folder, config = source.folder, source.config
        settings.check_kind(folder, config)
        own_tower = any(naming.is_tower(name) for name in source.tensors)
        tower = None if own_tower else _tower(source, vision)
        text_settings = settings.text_settings(folder, config, text)
        vision_settings = settings.vision_settings(folder, config, vision)
        self.layout, notes = settings.video_layout(folder, config)
        self.small, tokens = beside.tokenizer_files(folder, text, text_settings.vocab_size)
        with described_by(folder, text, vision):
            self.settings = settings.whole_settings(
                config, text_settings, vision_settings, self.layout, tokens
            )
            expected = plan.expected_shapes(self.settings)
        held = plan.collect(source, tower, vision_settings.num_hidden_layers)
        if text_settings.tie_word_embeddings:
            held = _without_tied_head(source, held)
        plan.check(source, held, expected)
        self.shards = plan.arrange(held, dtype)
        found = {name: each for shard in held for name, each in shard.items()}
        self.dtypes = sorted({NAMES[dtype or each.dtype] for each in found.values()})
        self.settings.dtype = dtype or found[naming.EMBEDDINGS].dtype
        self.small |= beside.preprocessing_files(vision_settings)
        self.small |= beside.generation_file(folder, text_settings)
        self.tower = "the checkpoint" if tower is None else str(tower.folder)
        self.notes = tuple(notes)
        self.identity = {
            "checkpoint": source.identity,
            "tower": tower.identity if tower is not None else None,
            "vision": _config_hash(vision),
            "text": _config_hash(text),
            "dtype": NAMES[dtype] if dtype is not None else None,
        }

    def run(self, target: Destination, progress: Progress) -> Conversion:
        """Write what is not there yet; config.json last."""
        whole = sum(shard.size for shard in self.shards)
        with target.claimed():
            kept = _write(self.shards, target, lambda done: progress("convert", done, whole))
            if len(self.shards) > 1:
                self.small["model.safetensors.index.json"] = self._index()
            self.small[LAST] = self.settings.to_json_string().encode()
            for name, content in self.small.items():
                path = target.folder / name
                if not path.is_file() or path.read_bytes() != content:
                    target.put(name, [content])
        return Conversion(
            folder=target.folder,
            tensors=sum(len(shard.tensors) for shard in self.shards),
            size=sum(shard.content for shard in self.shards),
            files=len(self.shards),
            kept=kept,
            dtypes=tuple(self.dtypes),
            tied=bool(self.settings.tie_word_embeddings),
            layout=self.layout,
            tower=self.tower,
            notes=self.notes,
        )

    def _index(self) -> bytes:
        files = {name: shard.name for shard in self.shards for name in shard.tensors}
        size = sum(shard.content for shard in self.shards)
        return beside.as_json({"metadata": {"total_size": size}, "weight_map": files})


def _write(shards: list[plan.Shard], target: Destination, told: Callable[[int], None]) -> int:
    """Bring every shard to the disk; how many were there."""
    done = kept = 0
    sizes = {shard.name: shard.size for shard in shards}
    there = {name for name in sizes if (target.folder / name).is_file()}
    target.check_room(sum(size for name, size in sizes.items() if name not in there))
    for shard in shards:
        so_far = done

        def count(size: int) -> None:
            nonlocal so_far
            so_far += size
            told(so_far)

        if copying.is_finished(shard, target.folder / shard.name, count):
            kept += 1
        else:
            so_far = done
            target.reopen()
            target.put(shard.name, copying.content(shard), count)
        done += shard.size
    return kept


def _config_hash(folder: Path | None) -> str | None:
    if folder is None:
        return None
    return hashlib.sha256((folder / "config.json").read_bytes()).hexdigest()


def _tower(source: Source, vision: Path | None) -> Source:
    if vision is None:
        raise ModelError(
            f"'{source.folder}' holds no vision tower.",
            hint=f"Give the folder of '{source.config.get('mm_vision_tower')}', which holds it: "
            "--vision FOLDER.",
        )
    return read_source(vision)


def _without_tied_head(source: Source, held: list[dict[str, Stored]]) -> list[dict[str, Stored]]:
    """Leave out a stored head that is the embeddings, as config.json says.

    Raises:
        ModelError: it is not.
    """
    found = {name: each for shard in held for name, each in shard.items()}
    head, embeddings = found.get(naming.HEAD), found.get(naming.EMBEDDINGS)
    if head is None or embeddings is None:
        return held
    if not copying.equal(head, embeddings):
        raise ModelError(
            f"The config.json of '{source.folder}' says that the output head is the embeddings "
            "(tie_word_embeddings), but lm_head.weight differs from them.",
            hint="If the head is to be used, set tie_word_embeddings to false there.",
        )
    shards = [{n: each for n, each in shard.items() if n != naming.HEAD} for shard in held]
    return [shard for shard in shards if shard]
