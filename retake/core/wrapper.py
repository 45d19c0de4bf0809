"""A compressor around another one: the inner one scores, the outer one splits the budget."""

from collections.abc import Sequence
from typing import Any

import attrs
from torch import Tensor

from retake.core.compressor import KVCompressor, Scope
from retake.core.kv import KVChunk
from retake.core.tokens import Selection


@attrs.frozen
class Wrapper(KVCompressor):
    """Asks the compressor that it wraps everything; a subclass overrides what it splits anew.

    On the command line `outer(inner)`, in YAML `{name: outer, options: {of: {name: inner}}}`.

    Attributes:
        of: the compressor inside, which scores and chooses.
    """

    of: KVCompressor

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


def innermost(compressor: KVCompressor) -> Any:
    """The compressor that scores, through all that is wrapped around it."""
    while isinstance(compressor, Wrapper):
        compressor = compressor.of
    return compressor
