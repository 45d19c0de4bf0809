"""SnapKV: what the last tokens looked at, and its surroundings."""

from typing import ClassVar, Literal

import attrs
import torch.nn.functional as F
from torch import Tensor

from retake.compressors.observing import received
from retake.core.compressor import KVCompressor
from retake.core.kv import KVChunk
from retake.core.options import at_least, odd


@attrs.frozen
class SnapKV(KVCompressor):
    """Keep the pairs that the newest queries of a chunk attend to, and those next to them.

    The queries of the observation window attend causally to the chunk's keys; each head's sum is
    pooled along the keys, so that what surrounds a hit stays with it, and heads are averaged.
    From SnapKV (arXiv 2404.14469), whose window is the end of a prompt, the question, and is kept
    whole. In a chunk of video the window is merely what came last and has no such claim: its
    own pairs compete with the others, unless `keep_window` says otherwise.

    Attributes:
        window: newest queries that observe; a shorter chunk observes with all it has.
        kernel: keys pooled together; odd, 1 for none.
        pooling: "max" or "avg".
        keep_window: keep the window's own pairs before the others, as the paper does.
    """

    source: ClassVar[str] = "arXiv 2404.14469"

    window: int = attrs.field(default=32, validator=at_least(1))
    kernel: int = attrs.field(default=7, validator=odd)
    pooling: Literal["max", "avg"] = attrs.field(
        default="max", validator=attrs.validators.in_(("max", "avg"))
    )
    keep_window: bool = False

    def score(self, chunk: KVChunk) -> Tensor:
        seen = received(chunk.queries[:, -self.window :], chunk.keys, chunk.scaling, causal=True)
        scores = self._pooled(seen).mean(0)
        if self.keep_window:
            scores[-self.window :] = scores.max() + 1
        return scores

    def _pooled(self, seen: Tensor) -> Tensor:
        """Each head's `[L]` pooled along the keys; at the ends over those that are there."""
        reach = self.kernel // 2
        if self.pooling == "max":
            # Not through `max_pool1d`, which some devices lack.
            wide = F.pad(seen, (reach, reach), value=float("-inf"))
            return wide.unfold(-1, self.kernel, 1).amax(-1)
        return F.avg_pool1d(seen, self.kernel, stride=1, padding=reach, count_include_pad=False)
