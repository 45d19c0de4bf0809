"""PyramidKV: early layers keep more than late ones."""

from collections.abc import Sequence
from typing import ClassVar

import attrs

from retake.core.options import at_least
from retake.core.wrapper import Wrapper


@attrs.frozen
class PyramidKV(Wrapper):
    """Let layers keep numbers that fall evenly from the first layer to the last.

    Attention is found to spread widely in early layers and to gather on few tokens in late ones.
    The last layer keeps 1/β of the average, the first 2 − 1/β, so that the average is what was
    asked; in place of what the compressor inside says of layers. From PyramidKV (arXiv 2406.02069).

    Attributes:
        of: the compressor inside, which scores and chooses.
        beta: how steep: the average over what the last layer keeps; 1 is flat.
    """

    source: ClassVar[str] = "arXiv 2406.02069"

    beta: float = attrs.field(default=20.0, validator=at_least(1))

    @property
    def weighs_layers(self) -> bool:  # type: ignore[override]
        return False

    def layer_weights(self, layers: int) -> Sequence[float] | None:
        if layers == 1:
            return [1.0]
        last = 1 / self.beta
        fall = 2 * (1 - last) / (layers - 1)
        return [2 - last - fall * layer for layer in range(layers)]
