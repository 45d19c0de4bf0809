"""An even spread over the video, whatever it shows."""

import attrs
from torch import Tensor

from retake.core.compressor import KVCompressor
from retake.core.kv import KVChunk

# 2^32 divided by the golden ratio, as a whole number.
_STEP = 2_654_435_769
_WHOLE = 2**32


@attrs.frozen
class Uniform(KVCompressor):
    """Keep pairs evenly spread over a chunk by their numbers, pivots before all others.

    Multiples of the golden ratio, taken modulo 1, fill the unit interval evenly however many there
    are; so the best-scored pairs, however many, lie evenly among all: gaps take three sizes at
    most (the three-distance theorem). Taking every n-th would fall into step with the patches of a
    frame and, where n divides their number, keep the same places of every frame and never the
    others.
    """

    def score(self, chunk: KVChunk) -> Tensor:
        return (chunk.numbers * _STEP % _WHOLE).float() / -_WHOLE
