"""AdaKV and PyramidKV: who keeps how much."""

from typing import Any

import pytest
import torch

from retake.compressors.adakv import AdaKV
from retake.compressors.adaretake import AdaReTaKe
from retake.compressors.pivotkv import PivotKV
from retake.compressors.pyramidkv import PyramidKV


def _counts(
    scores: list[list[float]], count: int, pivots: list[list[int]] | None = None, **given: Any
) -> list[int]:
    marked = [
        torch.tensor([at in held for at in range(len(each))])
        for each, held in zip(scores, pivots or [[]] * len(scores), strict=True)
    ]
    tensors = [torch.tensor(each) for each in scores]
    return AdaKV(of=PivotKV(), **given).head_counts(tensors, marked, count)


@pytest.mark.parametrize(
    ("scores", "count", "given", "counts"),
    [
        # the best four of all are one head's
        ([[9.0, 8, 7, 6, 5], [1, 2, 3, 4, 0]], 2, {"safeguard": 0}, [4, 0]),
        # half of two is safe for each
        ([[9.0, 8, 7, 6, 5], [1, 2, 3, 4, 0]], 2, {"safeguard": 0.5}, [3, 1]),
        # all of it is: an even split
        ([[9.0, 8, 7, 6, 5], [1, 2, 3, 4, 0]], 2, {"safeguard": 1}, [2, 2]),
        # by default a fifth
        ([[9.0, 8, 7, 6, 5, 5, 5], [1, 2, 3, 4, 0, 0, 0]], 5, {}, [7, 3]),
        # no head keeps more than it has
        ([[9.0, 8], [1, 2, 3, 4, 0]], 3, {"safeguard": 0}, [2, 4]),
        ([[9.0, 8], [1, 2, 3, 4, 0]], 3, {"safeguard": 1}, [2, 4]),
        # everything
        ([[9.0, 8], [1, 2]], 2, {}, [2, 2]),
        # ties go to the earlier head
        ([[1.0, 1, 1], [1, 1, 1]], 1, {"safeguard": 0}, [2, 0]),
        ([[9.0, 8, 7]], 2, {}, [2]),
    ],
)
def test_adakv_counts(
    scores: list[list[float]], count: int, given: dict[str, float], counts: list[int]
) -> None:
    """The best of all heads together, but for each head's safe share."""
    assert _counts(scores, count, **given) == counts


def test_adakv_keeps_every_heads_pivots_first() -> None:
    """A pivot that scores nothing counts before another head's best."""
    scores = [[9.0, 8, 7, 6], [0.0, 0, 0, 0]]
    assert _counts(scores, 2, safeguard=0) == [4, 0]
    assert _counts(scores, 2, [[], [1, 2]], safeguard=0) == [2, 2]
    assert _counts(scores, 2, [[0, 1, 2], [0, 1, 2]], safeguard=0) == [3, 1]


@pytest.mark.parametrize("seed", range(5))
def test_adakv_is_top_k_over_heads(seed: int) -> None:
    """Slow and plain: safe ones first, then the best scores of the layer one by one."""
    drawn = torch.Generator().manual_seed(seed)
    scores = [torch.rand(20, generator=drawn) * (head + 1) for head in range(3)]
    safe = [set(each.topk(2).indices.tolist()) for each in scores]
    others = sorted(
        (-float(scores[head][at]), head)
        for head in range(3)
        for at in range(20)
        if at not in safe[head]
    )
    counts = [2 + sum(head == each for _, head in others[: 3 * 8 - 6]) for each in range(3)]
    flags = [torch.zeros(20, dtype=torch.bool)] * 3
    assert AdaKV(of=PivotKV(), safeguard=0.25).head_counts(scores, flags, 8) == counts


@pytest.mark.parametrize(
    ("beta", "layers", "weights"),
    [
        (20, 3, [1.95, 1.0, 0.05]),
        (2, 4, [1.5, 7 / 6, 5 / 6, 0.5]),
        (1, 5, [1.0] * 5),
        (20, 1, [1.0]),
        (20, 2, [1.95, 0.05]),
    ],
)
def test_pyramid(beta: float, layers: int, weights: list[float]) -> None:
    """From 2 − 1/β of the average down to 1/β of it, in equal steps."""
    assert PyramidKV(of=PivotKV(), beta=beta).layer_weights(layers) == pytest.approx(weights)


def test_pyramid_instead_of_what_is_inside() -> None:
    """A scorer's own budgets of layers give way; those of chunks stay."""
    compressor = PyramidKV(of=AdaReTaKe())
    assert not compressor.weighs_layers
    assert compressor.weighs_chunks
    assert compressor.needs_question


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: AdaKV(of=PivotKV(), safeguard=1.5), "safeguard must be from 0 to 1"),
        (lambda: PyramidKV(of=PivotKV(), beta=0.5), "beta must be at least 1"),
    ],
)
def test_bad_options(make: Any, message: str) -> None:
    """Refused by name."""
    with pytest.raises(ValueError, match=message):
        make()
