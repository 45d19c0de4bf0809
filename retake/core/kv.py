"""What a compressor sees of one layer after a chunk of video was prefilled."""

from typing import TYPE_CHECKING

import attrs
import torch
from torch import Tensor

from retake.core.tokens import shape_of

if TYPE_CHECKING:
    from retake.core.backend import Backend


@attrs.frozen(eq=False)
class KVChunk:
    """The L pairs of one layer that may be kept or evicted, and the Q queries that came last.

    For a compressor whose `scope` is "chunk" the pairs are those of the newest chunk, and L = Q.
    For one whose `scope` is "cache" they are all of the video that the layer still holds, the
    newest chunk's Q last.

    Attributes:
        layer: number of the layer, 0 … layers-1.
        layers: how many layers the language model has.
        queries: `[H, Q, D]`, of the newest chunk. Free of their rotary embedding when positions
            will be reforged (then scores must not depend on positions that are about to
            change), else rotated.
        keys: `[KV, L, D]`, rotated or not as the queries are.
        values: `[KV, L, D]`.
        positions: int64 `[A, L]`, those attended with; A is 3 with M-RoPE, else 1. The first
            axis is time.
        pivots: bool `[L]`, the selector's keyframe tokens.
        scaling: factor of the attention logits.
        backend: the device's attention and attention mass.
        past_keys, past_values: `[KV, P, D]`, read-only views of what the layer holds before
            those pairs (text, and with scope "chunk" the video so far), keys rotated.
        numbers: int64 `[L]`, ascending: which of the selected tokens the pairs belong to.
        rows, patches: int64 `[L]`, each token's row and its place in the step's grid.
        carried: float32 `[L]`, with scope "cache": the scores that earlier chunks left the
            pairs with, 0 for those of the newest. Else None.
        group: which of the layer's key heads it is, where heads are shown one by one; else 0.
        guide: `[H, G, D]`, the question's queries, for a compressor that needs the question;
            else None. Rotated or not as the others are.
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
    numbers: Tensor = attrs.field(repr=shape_of)
    rows: Tensor = attrs.field(repr=shape_of)
    patches: Tensor = attrs.field(repr=shape_of)
    carried: Tensor | None = attrs.field(default=None, repr=False)
    guide: Tensor | None = attrs.field(default=None, repr=False)
    group: int = 0

    def __attrs_post_init__(self) -> None:
        groups, count, width = self.keys.shape
        expected: dict[str, tuple[int, ...]] = {
            "queries": (self.queries.shape[0], self.queries.shape[1], width),
            "values": (groups, count, self.values.shape[2]),
            "positions": (self.positions.shape[0], count),
            **dict.fromkeys(("pivots", "numbers", "rows", "patches"), (count,)),
        }
        if self.carried is not None:
            expected["carried"] = (count,)
        for name, shape in expected.items():
            given = tuple(getattr(self, name).shape)
            if given != shape:
                raise ValueError(f"{name} must be {list(shape)}, got {list(given)}")
        if self.queries.shape[1] > count:
            raise ValueError(f"{self.queries.shape[1]} queries cannot be of {count} pairs")

    def __len__(self) -> int:
        return int(self.keys.shape[1])

    @property
    def newest(self) -> int:
        """How many of the pairs, the last ones, are of the newest chunk."""
        return int(self.queries.shape[1])

    def attention_mass(self) -> Tensor:
        """Float32 `[L]`: the attention each pair's key receives from the newest queries.

        Not causal, summed over queries and averaged over heads.
        """
        return self.backend.attention_mass(self.queries, self.keys, self.scaling)

    def head(self, group: int) -> "KVChunk":
        """The same pairs as one key head alone has them, with the query heads that share it."""
        heads = self.queries.shape[0] // self.keys.shape[0]
        asking, one = slice(group * heads, (group + 1) * heads), slice(group, group + 1)
        return attrs.evolve(
            self,
            queries=self.queries[asking],
            keys=self.keys[one],
            values=self.values[one],
            past_keys=self.past_keys[one],
            past_values=self.past_values[one],
            guide=None if self.guide is None else self.guide[asking],
            group=group,
        )

    def generator(self, seed: int) -> torch.Generator:
        """Random numbers of this layer, head and chunk: the same whenever it is seen again."""
        made = torch.Generator()
        last = int(self.numbers[-1]) if len(self) else 0
        # A seed is 64 bits at most.
        place = (seed * 1_000_003 + self.layer) * 1_000_000_007 + last
        made.manual_seed((place + self.group * 999_999_999_989) % 2**63)
        return made
