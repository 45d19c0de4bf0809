"""What a compressor sees of one layer after a chunk of video was prefilled."""

from typing import TYPE_CHECKING

import attrs
from torch import Tensor

from retake.core.tokens import shape_of

if TYPE_CHECKING:
    from retake.core.backend import Backend


@attrs.frozen(eq=False)
class KVChunk:
    """The newest chunk of video in one layer: Q tokens, not yet compressed.

    Attributes:
        layer: number of the layer, 0 … layers-1.
        layers: how many layers the language model has.
        queries: `[H, Q, D]`. Free of their rotary embedding when positions will be reforged
            (then scores must not depend on positions that are about to change), else rotated.
        keys: `[KV, Q, D]`, rotated or not as the queries are.
        values: `[KV, Q, D]`.
        positions: int64 `[A, Q]`, the positions attended with; A is 3 with M-RoPE, else 1.
            The first axis is time.
        pivots: bool `[Q]`, the selector's keyframe tokens.
        scaling: factor of the attention logits.
        backend: the device's attention and attention mass.
        past_keys, past_values: `[KV, P, D]`, read-only views of what the layer kept before,
            keys rotated.
    """

    layer: int
    layers: int
    queries: Tensor = attrs.field(repr=shape_of)
    keys: Tensor = attrs.field(repr=shape_of)
    values: Tensor = attrs.field(repr=shape_of)
    positions: Tensor = attrs.field(repr=shape_of)
    pivots: Tensor = attrs.field(repr=lambda p: f"{int(p.sum())} of {p.numel()}")
    scaling: float
    backend: "Backend" = attrs.field(repr=lambda b: b.name)
    past_keys: Tensor = attrs.field(repr=shape_of)
    past_values: Tensor = attrs.field(repr=shape_of)

    def __attrs_post_init__(self) -> None:
        count = self.queries.shape[-2]
        expected = {
            "queries": (self.queries.shape[0], count, self.queries.shape[2]),
            "keys": (self.keys.shape[0], count, self.queries.shape[2]),
            "values": (self.keys.shape[0], count, self.values.shape[2]),
            "positions": (self.positions.shape[0], count),
            "pivots": (count,),
        }
        for name, shape in expected.items():
            given = tuple(getattr(self, name).shape)
            if given != shape:
                raise ValueError(f"{name} must be {list(shape)}, got {list(given)}")

    def __len__(self) -> int:
        return int(self.queries.shape[1])

    def attention_mass(self) -> Tensor:
        """Float32 `[Q]`: the attention each of the chunk's keys receives from its queries."""
        return self.backend.attention_mass(self.queries, self.keys, self.scaling)
