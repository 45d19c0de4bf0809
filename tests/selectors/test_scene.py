"""Shots: where they begin, and what each keeps."""

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from retake.core.tokens import VisualTokens
from retake.selectors.scene import Scene, shares


def _shots(*lengths: int, noise: float = 0.02, patches: int = 3) -> VisualTokens:
    """Shots that differ, each of steps that nearly do not."""
    generator = torch.Generator().manual_seed(len(lengths))
    shown = torch.arange(len(lengths)).repeat_interleave(torch.tensor(lengths))
    pictures = torch.randn(len(lengths), patches, 32, generator=generator)
    features = pictures[shown] + noise * torch.randn(len(shown), patches, 32, generator=generator)
    return VisualTokens(features, torch.arange(len(shown)).double(), (1, patches))


def _steps(selector: Scene, tokens: VisualTokens) -> tuple[list[int], list[int]]:
    """The steps kept, and those of them that are pivots."""
    chosen = selector.select(tokens)
    steps = chosen.steps.reshape(-1, tokens.patches)
    pivots = chosen.pivots.reshape(-1, tokens.patches)
    assert (steps == steps[:, :1]).all()
    assert (pivots == pivots[:, :1]).all()
    return steps[:, 0].tolist(), steps[pivots[:, 0], 0].tolist()


@pytest.mark.parametrize(
    "lengths", [(9,), (5, 5), (1, 8), (8, 1), (12, 3, 20, 6), (4, 1, 4, 2, 30), (2, 2, 2, 2)]
)
def test_cuts_are_found(lengths: tuple[int, ...]) -> None:
    """Every shot's first step is a pivot, and no other."""
    begins = torch.tensor((0, *lengths)).cumsum(0)[:-1].tolist()
    _, pivots = _steps(Scene(keep_ratio=1.0), _shots(*lengths))
    assert pivots == begins


def test_steady_motion_is_no_cut() -> None:
    """However much changes from step to step, what is usual is no cut; nor is no change."""
    generator = torch.Generator().manual_seed(0)
    moving = torch.randn(40, 2, 64, generator=generator)
    for features in (moving, torch.ones(40, 2, 8), torch.zeros(40, 2, 8)):
        tokens = VisualTokens(features, torch.arange(40).double(), (1, 2))
        _, pivots = _steps(Scene(keep_ratio=1.0), tokens)
        assert pivots == [0]


def test_a_cut_within_motion_is_found() -> None:
    """A change that is several times the usual one begins a shot, also where all moves."""
    generator = torch.Generator().manual_seed(1)
    steps = 0.3 * torch.randn(40, 2, 64, generator=generator)
    drift = steps.cumsum(0) + 3
    drift[20:] *= -1
    tokens = VisualTokens(drift, torch.arange(40).double(), (1, 2))
    assert _steps(Scene(keep_ratio=1.0), tokens)[1] == [0, 20]


@pytest.mark.parametrize(
    ("ratio", "kept"),
    [
        # By length: 1, 5 and 3 of shots of 4, 20 and 12.
        (9 / 36, [0, 4, 8, 12, 16, 20, 24, 28, 32]),
        # One for the shortest, and 3 for the others together.
        (4 / 36, [0, 4, 14, 24]),
        (3 / 36, [0, 4, 24]),
        # No room for all: the longest first.
        (2 / 36, [4, 24]),
        (1 / 36, [4]),
    ],
)
def test_what_shots_keep(ratio: float, kept: list[int]) -> None:
    """Evenly spaced steps of each, from its first one on."""
    assert _steps(Scene(keep_ratio=ratio), _shots(4, 20, 12))[0] == kept


def test_pivots_can_be_left_out() -> None:
    """The same steps, none of them marked."""
    tokens = _shots(4, 20, 12)
    marked, plain = (_steps(Scene(keep_ratio=0.3, pivots=flag), tokens) for flag in (True, False))
    assert marked[0] == plain[0]
    assert marked[1] == [0, 4, 24]
    assert plain[1] == []


@given(st.lists(st.integers(1, 50), min_size=1, max_size=20), st.data())
def test_shares_are_fair(lengths: list[int], data: st.DataObject) -> None:
    """All is given, to nobody more than fits; to everybody one, and to the longer no less."""
    count = data.draw(st.integers(1, sum(lengths)))
    given_to = shares(torch.tensor(lengths), count)
    assert int(given_to.sum()) == count
    assert (given_to <= torch.tensor(lengths)).all()
    if count >= len(lengths):
        assert (given_to >= 1).all()
        # Who has more than one has no more than its part of the whole, rounded up.
        most = count * torch.tensor(lengths) / sum(lengths)
        assert (given_to <= most.ceil().clamp_min(1)).all()
    else:
        assert given_to.max() == 1
        left_out = [size for size, share in zip(lengths, given_to, strict=True) if not share]
        assert max(left_out) <= min(
            size for size, share in zip(lengths, given_to, strict=True) if share
        )
    order = torch.tensor(lengths).argsort(stable=True)
    assert (given_to[order].diff() >= -1).all()


@pytest.mark.parametrize("window", [1, 2, 5])
def test_it_streams_where_it_keeps_all(window: int) -> None:
    """Marks do not change once as many steps as declared were seen behind them."""
    tokens = _shots(3, 7, 1, 9, 4)
    selector = Scene(keep_ratio=1.0, window=window)
    ahead = selector.lookahead
    assert ahead == window
    whole = selector.select(tokens).pivots.reshape(24, 3)
    for seen in range(ahead + 1, 25):
        part = selector.select(tokens.part(0, seen)).pivots.reshape(seen, 3)
        assert torch.equal(part[: seen - ahead], whole[: seen - ahead])
    assert Scene(keep_ratio=0.5).lookahead is None


@pytest.mark.parametrize(
    "options", [{"threshold": 0.5}, {"least": -0.1}, {"window": 0}, {"keep_ratio": 0.0}]
)
def test_bad_options(options: dict[str, Any]) -> None:
    """Options out of range are refused by name."""
    with pytest.raises(ValueError, match=next(iter(options))):
        Scene(**options)


def test_the_usual_change_leaves_the_step_itself_out() -> None:
    """A lone jump in a video of two shots is a cut, however short the video."""
    features: Tensor = torch.tensor([[[1.0, 0.0]], [[1.0, 0.0]], [[0.0, 1.0]]])
    tokens = VisualTokens(features, torch.arange(3).double(), (1, 1))
    assert _steps(Scene(keep_ratio=1.0), tokens)[1] == [0, 2]
