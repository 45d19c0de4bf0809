"""Which tensor goes where: every one is accounted for before the first byte is written."""

from collections.abc import Iterable, Mapping
from functools import cached_property

import torch
from attrs import define, field
from transformers import LlavaOnevisionConfig, LlavaOnevisionForConditionalGeneration

from retake.core.errors import ModelError
from retake.models.llava_conversion import naming
from retake.models.llava_conversion.source import Source, shortened
from retake.models.llava_conversion.tensor_file import NAMES, Stored, header


@define(slots=False)
class Shard:
    """A file to be written.

    Attributes:
        name: of the file.
        tensors: by their new names, in the order of their bytes.
        dtype: to convert to; None keeps each as it is stored.
    """

    name: str
    tensors: Mapping[str, Stored]
    dtype: torch.dtype | None = field(default=None)

    @cached_property
    def header(self) -> bytes:
        """Its first bytes."""
        return header(
            [(name, self.dtype or each.dtype, each.shape) for name, each in self.tensors.items()]
        )

    @property
    def size(self) -> int:
        """Bytes of the whole file."""
        return len(self.header) + self.content

    @property
    def content(self) -> int:
        """Bytes of its tensors."""
        return sum(
            (self.dtype or each.dtype).itemsize * each.count for each in self.tensors.values()
        )


def expected_shapes(settings: LlavaOnevisionConfig) -> dict[str, tuple[int, ...]]:
    """Name and shape of every tensor that the converted checkpoint must hold.

    Asked of the model itself, built without memory. A tied head is not among them.
    """
    with torch.device("meta"):
        model = LlavaOnevisionForConditionalGeneration(settings)
    shapes = {naming.in_file(name): tuple(each.shape) for name, each in model.state_dict().items()}
    if settings.tie_word_embeddings:
        del shapes[naming.HEAD]
    return shapes


def collect(source: Source, tower: Source | None, layers: int) -> list[dict[str, Stored]]:
    """The tensors of each shard under their new names, the tower's own files behind the others.

    Args:
        source: the checkpoint.
        tower: a SigLIP checkpoint, where the source holds no vision tower.
        layers: how many of the tower's layers LLaVA keeps.

    Returns:
        What nothing is known of is among them under its own name, for `check` to refuse.
    """
    shards = [_renamed(shard) for shard in source.shards]
    for shard in tower.shards if tower is not None else ():
        used = [each for each in shard if not naming.is_recomputed(each.name)]
        named = {naming.from_siglip(each.name, layers): each for each in used}
        shards.append({name: each for name, each in named.items() if name is not None})
    return [shard for shard in shards if shard]


def _renamed(shard: Iterable[Stored]) -> dict[str, Stored]:
    return {
        naming.renamed(each.name) or each.name: each
        for each in shard
        if not naming.is_recomputed(each.name)
    }


def check(
    source: Source,
    shards: list[dict[str, Stored]],
    expected: Mapping[str, tuple[int, ...]],
) -> None:
    """Refuse a checkpoint whose tensors are not exactly those that are expected.

    Raises:
        ModelError: names the missing and the unexpected, or those of another shape, as the
            original calls them.
    """
    found = {name: each for shard in shards for name, each in shard.items()}
    lora = [each.name for each in found.values() if ".lora_" in each.name]
    if lora:
        raise ModelError(
            f"'{source.folder}' is a LoRA checkpoint: it holds {shortened(sorted(lora))}.",
            hint="Merge it into its base model first, and convert the merged checkpoint.",
        )
    missing = [naming.original_of(name) for name in expected if name not in found]
    unexpected = [each.name for name, each in found.items() if name not in expected]
    if missing or unexpected:
        raise _unlike(source, missing, unexpected)
    whole = [f"{each.name} ({NAMES[each.dtype]})" for each in found.values() if not each.is_real]
    if whole:
        raise ModelError(
            f"'{source.folder}' holds whole numbers in place of weights: {shortened(whole)}.",
            hint="Quantised checkpoints are not converted; take the one before quantisation.",
        )
    shapes = [
        f"{each.name} is {_shape(each.shape)}, not {_shape(expected[name])}"
        for name, each in found.items()
        if each.shape != tuple(expected[name])
    ]
    if shapes:
        raise ModelError(
            f"'{source.folder}' has tensors of shapes that its config.json does not describe: "
            f"{shortened(shapes)}.",
            hint="Is the config.json (or the one of --vision or --text) another checkpoint's?",
        )


def _unlike(source: Source, missing: list[str], unexpected: list[str]) -> ModelError:
    parts = []
    if missing:
        parts.append(f"lacks {shortened(missing)}")
    if unexpected:
        parts.append(f"holds {shortened(unexpected)}, which the model has no place for")
    hint = "Nothing was written. Is the checkpoint whole, and is its config.json its own?"
    if missing == [naming.original_of(naming.HEAD)]:
        hint = 'If the output head is the embeddings, "tie_word_embeddings" in its config.json '
        hint += "must be true."
    return ModelError(f"'{source.folder}' {', and '.join(parts)}.", hint=hint)


def _shape(shape: Iterable[int]) -> str:
    return "×".join(map(str, shape)) or "a single number"


def arrange(shards: list[dict[str, Stored]], dtype: torch.dtype | None) -> list[Shard]:
    """The files to be written: one for each file that was read, under the names of `transformers`.

    Args:
        shards: tensors by their new names.
        dtype: to convert to; None keeps each as it is stored.
    """
    count = len(shards)
    return [
        Shard(
            f"model-{number:05}-of-{count:05}.safetensors" if count > 1 else "model.safetensors",
            # Widest numbers first, so that each tensor starts where it may be read in place.
            dict(sorted(held.items(), key=lambda item: (-item[1].dtype.itemsize, item[0]))),
            dtype,
        )
        for number, held in enumerate(shards, 1)
    ]
