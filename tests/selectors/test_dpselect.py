"""DPSelect against its definition, and at its edges."""

from typing import Any

import attrs
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from retake.core.options import count_of
from retake.core.tokens import VisualTokens
from retake.selectors.dpselect import (
    DPSelect,
    dissimilarity,
    dissimilarity_reference,
    local_peaks,
)

_TABLES = st.integers(1, 9).flatmap(
    lambda patches: st.lists(
        st.lists(st.integers(0, 3), min_size=patches, max_size=patches), min_size=1, max_size=14
    )
)


def _video(features: Tensor) -> VisualTokens:
    steps, patches, _ = features.shape
    return VisualTokens(features, torch.arange(steps).double(), (1, patches))


def _random(steps: int, patches: int, seed: int = 0) -> VisualTokens:
    return _video(torch.randn(steps, patches, 8, generator=torch.Generator().manual_seed(seed)))


@given(_TABLES, st.sampled_from([1, 3, 5, 7, 99]))
@settings(deadline=None)
def test_peaks_are_the_first_largest_of_their_window(table: list[list[int]], window: int) -> None:
    """A peak is larger than all before it in the window and no smaller than all behind it."""
    change = torch.tensor(table).float()
    reach = window // 2
    for patch in range(change.shape[1]):
        values = change[:, patch].tolist()
        want = [
            all(value > other for other in values[max(0, place - reach) : place])
            and all(value >= other for other in values[place + 1 : place + 1 + reach])
            for place, value in enumerate(values)
        ]
        assert local_peaks(change, window)[:, patch].tolist() == want


def test_dissimilarity() -> None:
    """The same is 0, a right angle 1, the opposite 2, whatever the lengths; the first step 1."""
    features = torch.tensor([[1.0, 0.0], [3.0, 0.0], [0.0, 2.0], [0.0, -5.0]])[:, None]
    want = torch.tensor([[1.0], [0.0], [1.0], [2.0]])
    torch.testing.assert_close(dissimilarity(features), want)
    assert dissimilarity(features.bfloat16()).dtype == torch.float32


_DTYPES = st.sampled_from([torch.bfloat16, torch.float16, torch.float32])


def _features(steps: int, patches: int, width: int, dtype: torch.dtype, seed: int) -> Tensor:
    """Steps that resemble each other, as a video's do, some of them much shorter than others."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(steps, patches, width, generator=generator)
    lengths = 10.0 ** torch.randint(-2, 2, (steps, patches, 1), generator=generator)
    return ((noise.cumsum(0) + 1) * lengths).to(dtype)


@given(st.integers(1, 9), st.integers(1, 40), st.integers(1, 300), _DTYPES, st.integers(0, 99))
@settings(deadline=None)
def test_one_pass_agrees_with_the_reference(
    steps: int, patches: int, width: int, dtype: torch.dtype, seed: int
) -> None:
    """Within what float32 sums differ by when they are added in another order."""
    features = _features(steps, patches, width, dtype, seed)
    want = dissimilarity_reference(features)
    torch.testing.assert_close(dissimilarity(features), want, atol=2e-6, rtol=0)


@pytest.mark.parametrize("value", [0.0, 1e-9, 1e-7, 1e-30, 1e15])
def test_tiny_and_huge_tokens_agree_too(value: float) -> None:
    """Tokens shorter than 1e-8 count as that long, as torch's cosine similarity has it."""
    features = torch.tensor([[1.0, 2.0], [2.0, 1.0], [1.0, 1.0]])[:, None] * value
    want = dissimilarity_reference(features)
    torch.testing.assert_close(dissimilarity(features), want, atol=2e-6, rtol=0)


@given(st.integers(2, 12), st.integers(1, 40), st.integers(1, 2000), _DTYPES, st.data())
@settings(deadline=None)
def test_a_piece_of_a_video_has_the_bits_of_the_whole(
    steps: int, patches: int, width: int, dtype: torch.dtype, data: st.DataObject
) -> None:
    """Pieces that share a step may be cut anywhere, on any number of threads."""
    first = data.draw(st.integers(1, steps - 1))
    last = data.draw(st.integers(first + 1, steps))
    features = _features(steps, patches, width, dtype, steps)
    whole = dissimilarity(features)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(3 if threads == 1 else 1)
        piece = dissimilarity(features[first - 1 : last].clone())
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(piece[1:], whole[first:last])
    assert (piece[0] == 1).all()


def test_a_piece_has_the_bits_of_the_whole_in_real_shape() -> None:
    """The same with Qwen2-VL-7B's 144 tokens of 3,584 numbers a step."""
    features = _features(5, 144, 3584, torch.bfloat16, 0)
    whole = dissimilarity(features)
    for first, last in ((1, 2), (2, 5), (4, 5)):
        assert torch.equal(dissimilarity(features[first - 1 : last])[1:], whole[first:last])


class _Largest(TorchDispatchMode):
    """Records the bytes of the largest tensor, other than the features, that an operator makes."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, Tensor) and not leaf._is_view():
                self.bytes = max(self.bytes, leaf.nbytes)
        return result


def test_features_are_not_copied() -> None:
    """Beyond the result, memory is two steps of float32, however long the video is."""
    features = _features(64, 4, 256, torch.bfloat16, 0)
    with _Largest() as made:
        dissimilarity(features)
    assert made.bytes <= 2 * 4 * 256 * 4
    with _Largest() as made:
        dissimilarity_reference(features)
    assert made.bytes >= 63 * 4 * 256 * 4


@given(
    st.integers(1, 20), st.integers(1, 5), st.floats(0.01, 1.0), st.booleans(), st.integers(0, 50)
)
@settings(deadline=None)
def test_peaks_are_kept_first(
    steps: int, patches: int, ratio: float, per_patch: bool, seed: int
) -> None:
    """As many steps as asked, ascending; a step that is no peak only where every peak is kept."""
    tokens = _random(steps, patches, seed)
    chosen = DPSelect(keep_ratio=ratio, per_patch=per_patch).select(tokens)
    kept = chosen.steps.reshape(-1, patches)
    pivots = chosen.pivots.reshape(-1, patches)
    assert kept.shape[0] == chosen.row_count == count_of(ratio, steps)
    assert (kept.diff(dim=0) > 0).all()
    change = dissimilarity(tokens.features)
    if not per_patch:
        assert (kept == kept[:, :1]).all()
        change = change.mean(dim=1, keepdim=True).expand(-1, patches)
    peaks = local_peaks(change, 3)
    assert torch.equal(pivots, peaks.gather(0, kept))
    for patch in range(patches):
        ordinary_kept = kept[~pivots[:, patch], patch]
        if len(ordinary_kept):
            assert int(pivots[:, patch].sum()) == int(peaks[:, patch].sum())
            left = torch.ones(steps, dtype=torch.bool)
            left[kept[:, patch]] = False
            if left.any():
                assert change[ordinary_kept, patch].min() >= change[left, patch].max()


@pytest.mark.parametrize("per_patch", [True, False])
@pytest.mark.parametrize("value", [0.0, 1.0, -3.5])
def test_a_still_video(per_patch: bool, value: float) -> None:
    """Where nothing changes, the first step is a pivot, and what is kept are the earliest."""
    tokens = _video(torch.full((8, 3, 4), value))
    chosen = DPSelect(keep_ratio=0.5, per_patch=per_patch).select(tokens)
    steps = chosen.steps.reshape(-1, 3)
    assert chosen.pivots.reshape(-1, 3)[0].all()
    assert not chosen.pivots.reshape(-1, 3)[1:].any()
    assert (steps == torch.arange(4)[:, None]).all()


@pytest.mark.parametrize("per_patch", [True, False])
@pytest.mark.parametrize(("steps", "patches"), [(1, 1), (1, 4), (7, 1), (2, 1)])
@pytest.mark.parametrize("window", [1, 3, 31])
def test_small_videos(steps: int, patches: int, per_patch: bool, window: int) -> None:
    """One step or one patch is enough, and windows may be longer than the video."""
    selector = DPSelect(keep_ratio=0.5, per_patch=per_patch, window=window)
    chosen = selector.select(_random(steps, patches))
    assert len(chosen) == count_of(0.5, steps) * patches
    assert chosen.pivots.any()
    if steps == 1:
        assert chosen.pivots.all()


def test_keeping_all_only_marks() -> None:
    """With a ratio of 1 the video is what it was, and both settings mark other pivots."""
    tokens = _random(12, 5)
    marked = [DPSelect(per_patch=flag).select(tokens) for flag in (True, False)]
    for chosen in marked:
        assert torch.equal(chosen.features, tokens.features.flatten(0, 1))
        assert 0 < int(chosen.pivots.sum()) < len(chosen)
    assert not torch.equal(marked[0].pivots, marked[1].pivots)


def test_pivots_can_be_left_out() -> None:
    """Without pivots the same steps are kept and none is marked."""
    tokens = _random(12, 5)
    marked = DPSelect(keep_ratio=0.5).select(tokens)
    plain = DPSelect(keep_ratio=0.5, pivots=False).select(tokens)
    assert torch.equal(plain.steps, marked.steps)
    assert marked.pivots.any()
    assert not plain.pivots.any()


@pytest.mark.parametrize("window", [1, 3, 5])
@pytest.mark.parametrize("per_patch", [True, False])
def test_lookahead_is_enough(window: int, per_patch: bool) -> None:
    """Marks do not change once as many steps as declared were seen behind them."""
    selector = DPSelect(window=window, per_patch=per_patch)
    tokens = _random(15, 4)
    ahead = selector.lookahead
    assert ahead == window // 2
    whole = selector.select(tokens).pivots.reshape(15, 4)
    for seen in range(ahead + 1, 16):
        part = selector.select(_video(tokens.features[:seen])).pivots.reshape(seen, 4)
        assert torch.equal(part[: seen - ahead], whole[: seen - ahead])
    assert attrs.evolve(selector, keep_ratio=0.5).lookahead is None


def test_the_input_stays_and_the_choice_repeats() -> None:
    """Selecting twice gives the same, and changes no feature."""
    tokens = _random(12, 5)
    before = tokens.features.clone()
    first, second = (DPSelect(keep_ratio=0.4).select(tokens) for _ in range(2))
    assert torch.equal(first.steps, second.steps)
    assert torch.equal(first.pivots, second.pivots)
    assert torch.equal(tokens.features, before)


@pytest.mark.parametrize(
    "options",
    [
        {"keep_ratio": 0.0},
        {"keep_ratio": -0.5},
        {"keep_ratio": 1.01},
        {"keep_ratio": float("nan")},
        {"window": 2},
        {"window": 0},
        {"window": -1},
    ],
)
def test_bad_options(options: dict[str, Any]) -> None:
    """Options out of range are refused by name."""
    with pytest.raises(ValueError, match=next(iter(options))):
        DPSelect(**options)
