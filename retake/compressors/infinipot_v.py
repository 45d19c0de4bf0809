"""InfiniPot-V: what has changed since, and what carries a large value."""

from itertools import groupby
from typing import ClassVar

import attrs
import torch
import torch.nn.functional as F
from torch import Tensor

from retake.core.compressor import KVCompressor, Scope, best_first
from retake.core.kv import KVChunk
from retake.core.options import between


@attrs.frozen
class InfiniPotV(KVCompressor):
    """Keep the newest frames and what differs from them (TaR), then the largest values (VaN).

    Temporal redundancy: an earlier pair scores minus the mean cosine between its key and the keys
    at the same place of the newest frames, averaged over key heads; where those frames hold nothing
    at its place, 0. The newest frames are ahead of all earlier ones, the very newest first. Value
    norm: the L2 norm of the value, averaged over key heads. A share of the room goes by the first,
    the rest, among what is left, by the second; pivots, which the paper does not know, first.
    From InfiniPot-V (arXiv 2506.15745). Its pooling of value norms over neighbouring places, off by
    default in the published code, is left out: few neighbours are left in a compressed cache.

    Attributes:
        temporal: share of the room that goes by temporal redundancy, newest frames included.
        recent: fraction of the pairs that count as the newest frames, in whole frames, one at
            least.
    """

    source: ClassVar[str] = "arXiv 2506.15745"
    scope: ClassVar[Scope] = "cache"

    temporal: float = attrs.field(default=0.5, validator=between(0, 1))
    recent: float = attrs.field(default=0.25, validator=between(0, 1))

    def score(self, chunk: KVChunk) -> Tensor:
        start = self._recent_from(chunk.rows)
        size = len(chunk)
        newer = torch.arange(1, size + 1, device=chunk.keys.device) / size
        scores = -_likeness(chunk, start)
        scores[start:] = 1 + newer[start:]
        return scores

    def keep(self, chunk: KVChunk, scores: Tensor, count: int) -> Tensor:
        values = torch.linalg.vector_norm(chunk.values.float(), dim=-1).mean(0)
        marked, plain = chunk.pivots.nonzero()[:, 0], (~chunk.pivots).nonzero()[:, 0]
        first = self._choose(marked, scores, values, min(count, len(marked)))
        rest = self._choose(plain, scores, values, count - len(first))
        return torch.cat((first, rest)).sort().values

    def _choose(self, among: Tensor, scores: Tensor, values: Tensor, count: int) -> Tensor:
        """`count` of the indices `among`: a share by redundancy, the others by value."""
        ranked = among[best_first(scores[among])]
        distinct = round(self.temporal * count)
        left = ranked[distinct:].sort().values
        valued = left[best_first(values[left])][: count - distinct]
        return torch.cat((ranked[:distinct], valued))

    def _recent_from(self, rows: Tensor) -> int:
        """Index of the first pair of the newest frames, given each pair's frame, ascending."""
        held = rows.contiguous()
        wanted = max(1, int(self.recent * len(held)))
        if wanted >= len(held):
            return 0
        # Frames that reach further back than wanted are not among the newest, but for the last.
        start = int(torch.searchsorted(held, held[-1 - wanted], right=True))
        return min(start, int(torch.searchsorted(held, held[-1])))


def _likeness(chunk: KVChunk, start: int) -> Tensor:
    """Mean cosine of each key to those at its place from index `start` on: `[L]`."""
    directions = F.normalize(chunk.keys.float(), dim=-1)
    groups, size, width = directions.shape
    places = int(chunk.patches.max()) + 1
    total = directions.new_zeros(groups, places, width)
    frames = directions.new_zeros(places)
    # Frame by frame, where each place occurs once: sums that do not depend on the device's order.
    frame_of = chunk.rows[start:].tolist()
    sizes = [len(list(frame)) for _, frame in groupby(frame_of)]
    for each in torch.split(torch.arange(start, size, device=directions.device), sizes):
        there = chunk.patches[each]
        total[:, there] += directions[:, each]
        frames[there] += 1
    mean = total / frames.clamp_min(1)[:, None]
    return (directions * mean[:, chunk.patches]).sum(-1).mean(0)
