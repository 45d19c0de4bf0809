"""The baselines: every step, evenly spaced steps, and steps drawn by chance."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from retake.core.options import count_of
from retake.core.tokens import VisualTokens
from retake.selectors.none import NoSelection
from retake.selectors.random import Random
from retake.selectors.uniform import Uniform


def _video(steps: int, patches: int = 2) -> VisualTokens:
    features = torch.randn(steps, patches, 4)
    return VisualTokens(features, torch.arange(steps).double(), (1, patches))


@pytest.mark.parametrize(
    ("steps", "ratio", "kept"),
    [
        (8, 0.5, [1, 3, 5, 7]),
        (9, 1 / 3, [1, 4, 7]),
        (5, 0.2, [2]),
        (4, 0.01, [2]),
        (1, 0.5, [0]),
        (3, 1.0, [0, 1, 2]),
    ],
)
def test_uniform(steps: int, ratio: float, kept: list[int]) -> None:
    """The middle step of equal spans, by example."""
    chosen = Uniform(keep_ratio=ratio).select(_video(steps))
    assert chosen.steps.reshape(-1, 2)[:, 0].tolist() == kept
    assert not chosen.pivots.any()


@given(st.integers(1, 200), st.floats(0.001, 1.0))
def test_uniform_is_even(steps: int, ratio: float) -> None:
    """Gaps differ by one at most, no step is taken twice, and both ends are left alike."""
    kept = Uniform(keep_ratio=ratio).select(_video(steps, 1)).steps
    assert len(kept) == count_of(ratio, steps)
    gaps = kept.diff()
    if len(gaps):
        assert gaps.min() >= 1
        assert gaps.max() - gaps.min() <= 1
    assert abs(int(kept[0]) - (steps - 1 - int(kept[-1]))) <= 1


@pytest.mark.parametrize("ratio", [0.0, 1.5, float("nan")])
def test_bad_ratio(ratio: float) -> None:
    """Ratios out of range are refused by name."""
    with pytest.raises(ValueError, match="keep_ratio"):
        Uniform(keep_ratio=ratio)


def test_none_keeps_all_and_needs_no_future() -> None:
    """Every token enters, in order, and none is a pivot."""
    tokens = _video(5)
    chosen = NoSelection().select(tokens)
    assert torch.equal(chosen.features, tokens.features.flatten(0, 1))
    assert chosen.steps.tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    assert not chosen.pivots.any()
    assert NoSelection().lookahead == 0


@given(st.integers(1, 200), st.floats(0.001, 1.0), st.integers(0, 9))
def test_random_is_a_draw_by_its_seed(steps: int, ratio: float, seed: int) -> None:
    """Distinct steps in order, the same whenever the seed and the length are."""
    tokens = _video(steps, 1)
    kept = Random(keep_ratio=ratio, seed=seed).select(tokens).steps
    assert len(kept) == count_of(ratio, steps)
    assert (kept.diff() > 0).all()
    assert torch.equal(kept, Random(keep_ratio=ratio, seed=seed).select(_video(steps, 1)).steps)


def test_random_prefers_no_step() -> None:
    """Over many seeds every step is kept about as often, and seeds differ."""
    tokens = _video(20, 1)
    kept = torch.stack([Random(seed=seed).select(tokens).steps for seed in range(400)])
    counts = kept.flatten().bincount(minlength=20)
    assert counts.min() > 150
    assert counts.max() < 250
    assert len(kept.unique(dim=0)) > 390
