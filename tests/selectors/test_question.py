"""Top-k, AKS and BOLT against their definitions, and at their edges."""

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from retake.core.options import count_of
from retake.core.selector import QuestionSelector
from retake.core.tokens import VisualTokens
from retake.selectors.aks import AKS
from retake.selectors.bolt import Bolt, distinct_quantiles
from retake.selectors.topk_sim import TopKSim

_RELEVANCE = st.lists(st.floats(-1, 1, width=32), min_size=1, max_size=40)


def _rated(relevance: list[float]) -> VisualTokens:
    steps = len(relevance)
    return VisualTokens(
        torch.zeros(steps, 1, 2), torch.arange(steps).double(), (1, 1), torch.tensor(relevance)
    )


def _kept(selector: QuestionSelector, relevance: list[float]) -> list[int]:
    chosen = selector.select(_rated(relevance))
    assert not chosen.pivots.any()
    return [int(step) for step in chosen.steps]


def _best(values: list[float], count: int) -> list[int]:
    """The places of the largest, the earlier first among equals."""
    return sorted(range(len(values)), key=lambda place: -values[place])[:count]


@given(_RELEVANCE, st.floats(0.01, 1))
def test_topk(relevance: list[float], ratio: float) -> None:
    """The best, in the order of time."""
    want = sorted(_best(relevance, count_of(ratio, len(relevance))))
    assert _kept(TopKSim(keep_ratio=ratio), relevance) == want


def _aks_by_definition(
    values: list[float], count: int, threshold: float, levels: int, first: int = 0
) -> list[int]:
    """Judge and split with lists; values are scaled already."""
    best = _best(values, count)
    stands_out = (
        sum(values[place] for place in best) / count - sum(values) / len(values) >= threshold
    )
    if count in (1, len(values)) or levels == 0 or stands_out:
        return [first + place for place in best]
    middle, half = len(values) // 2, count // 2
    halves = values[:middle], values[middle:]
    counts = [half, half]
    if count % 2:
        following = [sorted(part, reverse=True)[half] for part in halves]
        counts[0 if following[0] >= following[1] else 1] += 1
    kept = []
    for part, share, start in zip(halves, counts, (first, first + middle), strict=True):
        if share:
            kept += _aks_by_definition(part, share, threshold, levels - 1, start)
    return kept


@given(
    st.lists(st.integers(0, 8), min_size=2, max_size=40),
    st.floats(0.01, 1),
    st.sampled_from([0.05, 0.3, 0.8]),
    st.integers(0, 6),
)
def test_aks(numbers: list[int], ratio: float, threshold: float, levels: int) -> None:
    """As its definition says, whatever the numbers of steps, kept or not."""
    relevance = [number / 8 for number in numbers]
    low, high = min(relevance), max(relevance)
    scaled = [(value - low) / (high - low) if high > low else 0.0 for value in relevance]
    count = count_of(ratio, len(scaled))
    want = sorted(_aks_by_definition(scaled, count, threshold, levels))
    selector = AKS(keep_ratio=ratio, threshold=threshold, levels=levels)
    assert _kept(selector, relevance) == want


def test_aks_covers_what_does_not_stand_out() -> None:
    """Where nothing stands out each of 2^levels stretches keeps the same number: its best."""
    relevance = torch.rand(64, generator=torch.Generator().manual_seed(0)).tolist()
    kept = _kept(AKS(keep_ratio=0.25, threshold=1.0, levels=3), relevance)
    for start in range(0, 64, 8):
        best = _best(relevance[start : start + 8], 2)
        assert [step for step in kept if start <= step < start + 8] == sorted(
            start + place for place in best
        )


def test_aks_takes_what_stands_out() -> None:
    """A tall peak is kept wholly, as by top-k; so is everything with a threshold of 0."""
    relevance = [0.0] * 60 + [1.0] * 4
    assert _kept(AKS(keep_ratio=4 / 64), relevance) == [60, 61, 62, 63]
    noise = torch.rand(50, generator=torch.Generator().manual_seed(1)).tolist()
    flat = AKS(keep_ratio=0.3, threshold=0.0)
    assert _kept(flat, noise) == _kept(TopKSim(keep_ratio=0.3), noise)


@given(st.integers(2, 40), st.floats(0.02, 0.5), st.integers(0, 99))
def test_bolt_draws_quantiles(steps: int, ratio: float, seed: int) -> None:
    """Where no step would be drawn twice, it is inverse transform sampling to the letter."""
    density = torch.rand(steps, generator=torch.Generator().manual_seed(seed)).double() + 1
    count = count_of(ratio, steps)
    share = density / density.sum()
    if float(share.max()) * count >= 1:
        return
    want, total, step = [], 0.0, -1
    for part in range(count):
        while total < (part + 0.5) / count:
            step += 1
            total += float(share[step])
        want.append(step)
    assert distinct_quantiles(density, count).tolist() == want


@given(
    st.lists(st.sampled_from([0.0, 1e-300, 1e-12, 0.1, 0.5, 1.0]), min_size=1, max_size=30),
    st.data(),
)
def test_bolt_keeps_different_steps(values: list[float], data: st.DataObject) -> None:
    """As many as asked, none twice; steps without relevance only once all others are kept."""
    count = data.draw(st.integers(1, len(values)))
    kept = distinct_quantiles(torch.tensor(values, dtype=torch.float64), count).tolist()
    assert len(set(kept)) == len(kept) == count
    assert kept == sorted(kept)
    relevant = sum(value > 0 for value in values)
    assert sum(values[step] > 0 for step in kept) == min(count, relevant)


def test_bolt_is_denser_where_it_matters() -> None:
    """A stretch three times as relevant keeps three times as many; a power makes it more."""
    relevance = [0.0, *[1 / 3] * 299, *[1.0] * 300]
    plain = _kept(Bolt(keep_ratio=0.1, power=1.0), relevance)
    assert [sum(step < 300 for step in plain), sum(step >= 300 for step in plain)] == [15, 45]
    assert sum(step < 300 for step in _kept(Bolt(keep_ratio=0.1), relevance)) == 2


def test_bolt_keeps_a_lone_peak_and_goes_on() -> None:
    """A step that would be drawn many times is kept once, and the others share the rest."""
    relevance = [0.0, *[0.5] * 49, 1.0, *[0.5] * 49]
    kept = _kept(Bolt(keep_ratio=0.11, power=20.0), relevance)
    assert 50 in kept
    assert len([step for step in kept if step < 50]) == len([s for s in kept if s > 50]) == 5


@pytest.mark.parametrize("selector", [Bolt(keep_ratio=0.5)])
def test_bolt_is_even_where_nothing_differs(selector: Bolt) -> None:
    """The same relevance everywhere is none at all: every other step."""
    assert _kept(selector, [0.25] * 8) == [0, 2, 4, 6]


@pytest.mark.parametrize("name", ["keep_ratio", "threshold", "levels"])
def test_bad_options_of_aks(name: str) -> None:
    """Options out of range are refused by name."""
    with pytest.raises(ValueError, match=name):
        AKS(**{name: -1})


@pytest.mark.parametrize("options", [{"power": 0.0}, {"power": -1.0}, {"keep_ratio": 2.0}])
def test_bad_options_of_bolt(options: dict[str, Any]) -> None:
    """A power must be above 0."""
    with pytest.raises(ValueError, match=next(iter(options))):
        Bolt(**options)


@given(_RELEVANCE, st.sampled_from([TopKSim, AKS, Bolt]), st.floats(0.01, 1))
def test_scale_does_not_matter(relevance: list[float], cls: Any, ratio: float) -> None:
    """Cosine similarities and logits choose alike: halved and moved, the choice stays."""
    values = torch.tensor(relevance).round(decimals=2)
    moved = (values * 0.5 + 4).tolist()
    doubled = (values * 2).tolist()
    selector = cls(keep_ratio=ratio)
    assert _kept(selector, doubled) == _kept(selector, values.tolist())
    assert len(_kept(selector, moved)) == len(_kept(selector, doubled))
