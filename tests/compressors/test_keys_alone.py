"""KNorm and KeyDiff: what keys alone say."""

import torch
import torch.nn.functional as F

from retake.compressors.keydiff import KeyDiff
from retake.compressors.knorm import KNorm
from retake.core import rope
from tests.compressors.making import make_chunk


def test_knorm_score() -> None:
    """Minus each key's length, the mean over key heads, one number at a time."""
    chunk = make_chunk(9)
    for at in range(9):
        lengths = [float(sum(x * x for x in head[at].tolist())) ** 0.5 for head in chunk.keys]
        torch.testing.assert_close(KNorm().score(chunk)[at], torch.tensor(-sum(lengths) / 2))


def test_knorm_keeps_short_keys() -> None:
    """A needle of a tenth of the others' length is kept, also alone."""
    chunk = make_chunk(50, pivots=0)
    chunk.keys[:, 31] *= 0.1
    assert KNorm().compress(chunk, 1).tolist() == [31]
    assert 31 in KNorm().compress(chunk, 5)


def test_knorm_does_not_see_positions() -> None:
    """Turned keys score as plain ones."""
    chunk = make_chunk(20, pivots=0)
    angles = torch.rand(20, 4).repeat(1, 2)
    turned = make_chunk(20, pivots=0, keys=rope.rotate(chunk.keys, angles.cos(), angles.sin()))
    torch.testing.assert_close(KNorm().score(turned), KNorm().score(chunk))


def test_keydiff_score() -> None:
    """Minus the cosine to the mean of keys at length one, the mean over key heads."""
    chunk = make_chunk(9)
    wanted = torch.zeros(9)
    for head in chunk.keys:
        mean = torch.stack([key / key.norm() for key in head]).mean(0)
        wanted += torch.stack([key @ mean / (key.norm() * mean.norm()) for key in head])
    torch.testing.assert_close(KeyDiff().score(chunk), -wanted / 2)


def test_keydiff_keeps_the_odd_one() -> None:
    """Among keys of one direction, whatever their lengths, the one that points away is kept."""
    direction = F.normalize(torch.randn(8), dim=0)
    keys = direction * torch.linspace(0.5, 9, 40)[:, None] + 0.01 * torch.randn(40, 8)
    keys[23] *= -1
    chunk = make_chunk(40, pivots=0, keys=keys.expand(2, -1, -1).clone())
    assert KeyDiff().compress(chunk, 1).tolist() == [23]
