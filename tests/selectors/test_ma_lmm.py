"""MA-LMM's memory bank against its definition, and at its edges."""

import itertools

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from retake.core.options import count_of
from retake.core.tokens import VisualTokens
from retake.selectors.ma_lmm import MaLmm


def _random(steps: int, patches: int, seed: int = 0) -> VisualTokens:
    features = torch.randn(steps, patches, 8, generator=torch.Generator().manual_seed(seed))
    return VisualTokens(features, torch.arange(steps).double(), (1, patches))


def _by_definition(features: Tensor, keep: int, hard: bool) -> tuple[Tensor, list[int]]:
    """One patch's bank `[T, C]`, merged with lists and loops."""
    bank = [(token, 1, step) for step, token in enumerate(features)]
    while len(bank) > keep:
        alike = [float(F.cosine_similarity(a[0], b[0], dim=0)) for a, b in itertools.pairwise(bank)]
        place = alike.index(max(alike))
        (a, m, step), (b, n, later) = bank[place : place + 2]
        merged = (b, n, later) if hard else ((m * a + n * b) / (m + n), m + n, step)
        bank[place : place + 2] = [merged]
    return torch.stack([token for token, _, _ in bank]), [step for _, _, step in bank]


@given(
    st.integers(1, 10), st.integers(1, 3), st.floats(0.05, 1.0), st.booleans(), st.integers(0, 30)
)
def test_each_patch_by_definition(
    steps: int, patches: int, ratio: float, hard: bool, seed: int
) -> None:
    """The most similar neighbours become one until few enough are left, patch by patch."""
    tokens = _random(steps, patches, seed)
    chosen = MaLmm(keep_ratio=ratio, hard=hard).select(tokens)
    keep = count_of(ratio, steps)
    assert len(chosen) == keep * patches
    features = chosen.features.reshape(keep, patches, -1)
    for patch in range(patches):
        want, source = _by_definition(tokens.features[:, patch], keep, hard)
        torch.testing.assert_close(features[:, patch], want, atol=1e-5, rtol=1e-5)
        assert chosen.steps.reshape(keep, patches)[:, patch].tolist() == source


@pytest.mark.parametrize("hard", [True, False])
def test_whole_steps(hard: bool) -> None:
    """Without `per_patch` all patches merge at the same place, by their mean similarity."""
    tokens = _random(9, 4)
    chosen = MaLmm(keep_ratio=8 / 9, per_patch=False, hard=hard).select(tokens)
    features = tokens.features
    alike = F.cosine_similarity(features[:-1], features[1:], dim=-1).mean(1)
    place = int(alike.argmax())
    steps = chosen.steps.reshape(8, 4)
    gone = place if hard else place + 1
    assert (steps == steps[:, :1]).all()
    assert steps[:, 0].tolist() == [step for step in range(9) if step != gone]
    merged = chosen.features.reshape(8, 4, -1)[place]
    want = features[place + 1] if hard else features[place : place + 2].mean(0)
    torch.testing.assert_close(merged, want)


def test_merging_loses_no_weight() -> None:
    """The one token left of a whole video is the mean of all its steps."""
    tokens = _random(11, 3)
    chosen = MaLmm(keep_ratio=0.01).select(tokens)
    torch.testing.assert_close(chosen.features, tokens.features.mean(0), atol=1e-6, rtol=1e-5)
    assert chosen.steps.tolist() == [0, 0, 0]


@pytest.mark.parametrize("hard", [True, False])
@pytest.mark.parametrize("per_patch", [True, False])
@pytest.mark.parametrize(("steps", "patches"), [(1, 1), (1, 4), (6, 1)])
def test_small_and_still_videos(steps: int, patches: int, per_patch: bool, hard: bool) -> None:
    """One step or patch, or no change at all, is no special case; ties merge the earliest."""
    still = VisualTokens(torch.ones(steps, patches, 8), torch.arange(steps).double(), (1, patches))
    chosen = MaLmm(keep_ratio=0.5, per_patch=per_patch, hard=hard).select(still)
    keep = count_of(0.5, steps)
    assert torch.equal(chosen.features, torch.ones(keep * patches, 8))
    assert not chosen.pivots.any()
    # The pair that goes first is the first one: what was never touched are the last steps.
    assert (chosen.steps.reshape(keep, patches)[1:].diff(dim=0) == 1).all()
    assert chosen.steps[-1] == steps - 1 or keep == 1


def test_keeping_all_changes_nothing() -> None:
    """With a ratio of 1 every token is what it was."""
    tokens = _random(7, 3)
    chosen = MaLmm(keep_ratio=1.0).select(tokens)
    assert torch.equal(chosen.features, tokens.features.flatten(0, 1))


def test_it_needs_the_whole_video_and_leaves_it_alone() -> None:
    """The bank is compared as a whole; the input is not written to; the result repeats."""
    tokens = _random(9, 3)
    before = tokens.features.clone()
    first, second = (MaLmm(keep_ratio=0.4).select(tokens) for _ in range(2))
    assert MaLmm().lookahead is None
    assert torch.equal(first.features, second.features)
    assert torch.equal(tokens.features, before)


@pytest.mark.parametrize("ratio", [0.0, -1.0, 1.5, float("nan")])
def test_bad_ratio(ratio: float) -> None:
    """Ratios out of range are refused by name."""
    with pytest.raises(ValueError, match="keep_ratio"):
        MaLmm(keep_ratio=ratio)
