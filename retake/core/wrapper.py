"""A compressor around another one: the inner one scores, the outer one splits the budget."""

from collections.abc import Sequence
from typing import get_args

import attrs
from torch import Tensor

from retake.core.compressor import KVCompressor, Scope
from retake.core.errors import UsageError, unknown_name
from retake.core.kv import KVChunk
from retake.core.tokens import Selection


@attrs.frozen
class Wrapper(KVCompressor):
    """Asks the compressor that it wraps everything; a subclass overrides what it splits anew.

    On the command line `outer(inner)`, in YAML `{name: outer, options: {of: {name: inner}}}`.

    Attributes:
        of: the compressor inside, which scores and chooses.
    """

    of: KVCompressor = attrs.field(validator=attrs.validators.instance_of(KVCompressor))

    # An instance answers for the compressor that it holds; the class has no answer of its own.
    @property
    def evicts(self) -> bool:  # type: ignore[override]
        return self.of.evicts

    @property
    def scope(self) -> Scope:  # type: ignore[override]
        return self.of.scope

    @property
    def needs_question(self) -> bool:  # type: ignore[override]
        return self.of.needs_question

    @property
    def per_head(self) -> bool:  # type: ignore[override]
        return self.of.per_head

    @property
    def accumulates(self) -> bool:  # type: ignore[override]
        return self.of.accumulates

    @property
    def weighs_chunks(self) -> bool:  # type: ignore[override]
        return self.of.weighs_chunks

    @property
    def weighs_layers(self) -> bool:  # type: ignore[override]
        return self.of.weighs_layers

    def score(self, chunk: KVChunk) -> Tensor:
        return self.of.score(chunk)

    def keep(self, chunk: KVChunk, scores: Tensor, count: int) -> Tensor:
        return self.of.keep(chunk, scores, count)

    def compress(self, chunk: KVChunk, count: int) -> Tensor:
        return self.of.compress(chunk, count)

    def head_counts(
        self, scores: Sequence[Tensor], pivots: Sequence[Tensor], count: int
    ) -> list[int]:
        return self.of.head_counts(scores, pivots, count)

    def chunk_weights(self, chunks: Sequence[Selection]) -> Tensor:
        return self.of.chunk_weights(chunks)

    def layer_weights(self, layers: int) -> Sequence[float] | None:
        return self.of.layer_weights(layers)

    def share_layers(self, scores: Sequence[Tensor], count: int) -> Sequence[float]:
        return self.of.share_layers(scores, count)


def check_compressor(compressor: KVCompressor) -> None:
    """Refuse a compressor that asks for what does not go together.

    Raises:
        UsageError: its scope is none, it weighs chunks but evicts from the whole cache, or it
            overrides `compress`, which is not asked where it evicts.
    """
    name, scope = type(compressor).__name__, compressor.scope
    if scope not in get_args(Scope):
        raise unknown_name(f"scope of {name}", str(scope), get_args(Scope))
    if scope == "cache" and compressor.weighs_chunks:
        raise UsageError(
            f"{name} weighs chunks, which share a budget only where each keeps its part of it; "
            "its scope is the whole cache."
        )
    inner = compressor
    while isinstance(inner, Wrapper):
        inner = inner.of
    own = type(inner).compress is not KVCompressor.compress
    if own and (scope == "cache" or compressor.per_head or compressor.weighs_layers):
        raise UsageError(
            f"{type(inner).__name__} overrides compress(), which is asked only where a layer's "
            "newest chunk is decided at once; here scores are needed apart.",
            hint="Override score() and keep() instead.",
        )
