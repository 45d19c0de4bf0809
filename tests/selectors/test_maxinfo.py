"""MaxInfo against its definition, and at its edges."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from retake.core.tokens import VisualTokens
from retake.selectors.maxinfo import MaxInfo, grown, square_maxvol, strongest_directions


def _video(rows: Tensor) -> VisualTokens:
    """One token a step."""
    return VisualTokens(rows[:, None], torch.arange(len(rows)).double(), (1, 1))


def _rows(steps: int, width: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(steps, width, generator=generator, dtype=torch.float64)


def _volume(rows: Tensor) -> float:
    return float(torch.linalg.det(rows.T @ rows).clamp_min(0).sqrt())


@given(st.integers(1, 30), st.integers(1, 30), st.integers(1, 9), st.integers(0, 99))
@settings(deadline=None)
def test_directions_are_those_of_the_svd(steps: int, width: int, rank: int, seed: int) -> None:
    """The first left singular vectors, up to their signs, whichever side is longer."""
    rows = _rows(steps, width, seed)
    places = strongest_directions(rows, rank)
    left, strengths, _ = torch.linalg.svd(rows, full_matrices=False)
    count = min(rank, steps, width)
    assert places.shape == (steps, count)
    # Directions of nearly the same strength may be turned into each other.
    gaps = strengths[:count].diff(append=strengths[count : count + 1]).abs()
    if not len(gaps) or gaps.min() > 1e-3:
        torch.testing.assert_close(places.abs(), left[:, :count].abs(), atol=1e-7, rtol=0)


@given(st.integers(2, 40), st.integers(1, 8), st.integers(0, 99))
@settings(deadline=None)
def test_no_exchange_makes_the_square_much_larger(steps: int, rank: int, seed: int) -> None:
    """Exchanging any one of the rows gains at most a twentieth of the volume."""
    places = _rows(steps, min(rank, steps), seed)
    chosen = square_maxvol(places)
    assert len(set(chosen.tolist())) == places.shape[1]
    most = _volume(places[chosen])
    for place, row in itertools.product(range(len(chosen)), range(steps)):
        other = chosen.clone()
        other[place] = row
        assert _volume(places[other]) <= 1.05 * most * (1 + 1e-6)


@given(st.integers(3, 20), st.integers(1, 4), st.integers(0, 50), st.data())
@settings(deadline=None)
def test_every_further_row_adds_most(steps: int, rank: int, seed: int, data: st.DataObject) -> None:
    """Each row that joins makes the volume as large as any row could."""
    places = _rows(steps, min(rank, steps), seed)
    chosen = square_maxvol(places)
    count = data.draw(st.integers(len(chosen), steps))
    order = grown(places, chosen, count).tolist()
    assert order[: len(chosen)] == chosen.tolist()
    assert len(set(order)) == count
    for joined in range(len(chosen), count):
        rest = [row for row in range(steps) if row not in order[:joined]]
        volumes = {row: _volume(places[[*order[:joined], row]]) for row in rest}
        assert volumes[order[joined]] >= max(volumes.values()) * (1 - 1e-6)


@pytest.mark.parametrize("rank", [3, 8])
def test_one_of_each_kind(rank: int) -> None:
    """Of a video of five pictures shown for different times, each is kept before any repeat."""
    pictures = _rows(5, 16, 0)
    shown = torch.tensor([0] * 20 + [1] * 3 + [0] * 5 + [2] * 7 + [3] + [4] * 4)
    noise = 1e-3 * _rows(40, 16, 1)
    tokens = _video((pictures[shown] + noise).float())
    chosen = MaxInfo(keep_ratio=5 / 40, rank=rank).select(tokens)
    kept = shown[chosen.steps].tolist()
    assert len(set(kept)) == (5 if rank > 5 else len(set(kept)))
    assert len(set(kept)) >= min(rank, 5)


def test_scale_does_not_matter() -> None:
    """Features a thousand times as large span the same."""
    rows = _rows(30, 12, 3).float()
    selector = MaxInfo(keep_ratio=0.4)
    chosen = [selector.select(_video(rows * scale)).steps for scale in (1.0, 1024.0, 2.0**-20)]
    assert torch.equal(chosen[0], chosen[1])
    assert torch.equal(chosen[0], chosen[2])


def test_the_mean_of_the_tokens_counts() -> None:
    """Tokens that change places within a step change nothing."""
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(20, 4, 6, generator=generator)
    times = torch.arange(20).double()
    first = MaxInfo().select(VisualTokens(features, times, (2, 2)))
    second = MaxInfo().select(VisualTokens(features.flip(1), times, (2, 2)))
    assert torch.equal(first.steps, second.steps)


def test_a_still_video_keeps_the_earliest() -> None:
    """Where all steps are the same, the first ones are as good as any."""
    for value in (0.0, 3.0):
        chosen = MaxInfo(keep_ratio=0.5).select(_video(torch.full((8, 5), value)))
        assert chosen.steps.tolist() == [0, 1, 2, 3]


def test_bad_rank() -> None:
    """A rank of nothing is refused by name."""
    with pytest.raises(ValueError, match="rank"):
        MaxInfo(rank=0)
