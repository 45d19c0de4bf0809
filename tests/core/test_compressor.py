"""The compressor's base class: pivots first, then the best; bad scores fail."""

from typing import Any

import attrs
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from retake.backends.cpu import CPU
from retake.core.compressor import KVCompressor, best_first, checked
from retake.core.errors import UsageError
from retake.core.kv import KVChunk


@attrs.frozen
class Given(KVCompressor):
    """Scores as given."""

    scores: Any = None

    def score(self, chunk: KVChunk) -> Tensor:
        return self.scores


def _chunk(count: int, marked: list[int] | tuple[int, ...] = (), **changed: Any) -> KVChunk:
    flags = torch.zeros(count, dtype=torch.bool)
    flags[torch.tensor(marked, dtype=torch.long)] = True
    parts: dict[str, Any] = {
        "layer": 1,
        "layers": 3,
        "queries": torch.randn(4, count, 8),
        "keys": torch.randn(2, count, 8),
        "values": torch.randn(2, count, 8),
        "positions": torch.arange(count)[None],
        "pivots": flags,
        "scaling": 0.3,
        "backend": CPU(),
        "past_keys": torch.randn(2, 5, 8),
        "past_values": torch.randn(2, 5, 8),
        "numbers": torch.arange(count),
        "rows": torch.arange(count),
        "patches": torch.zeros(count, dtype=torch.long),
    }
    return KVChunk(**{**parts, **changed})


@pytest.mark.parametrize(
    ("scores", "pivots", "count", "kept"),
    [
        # the best
        ([1.0, 3.0, 2.0], [], 2, [1, 2]),
        # ties go to the earlier
        ([1.0, 1.0, 1.0, 1.0], [], 2, [0, 1]),
        ([0.0, 1.0, 2.0, 1.0, 1.0], [], 3, [1, 2, 3]),
        # pivots before better tokens
        ([9.0, 0.0, 8.0, 0.1], [1], 2, [0, 1]),
        # more pivots than room: the best-scored pivots, ties to the earlier
        ([9.0, 1.0, 3.0, 2.0], [1, 2, 3], 2, [2, 3]),
        ([9.0, 1.0, 1.0, 1.0], [1, 2, 3], 2, [1, 2]),
        # just enough room for the pivots
        ([9.0, 1.0, 3.0, 2.0], [1, 3], 2, [1, 3]),
        # minus infinity is a score like any other
        ([float("-inf"), 0.0, float("-inf")], [], 2, [0, 1]),
        ([float("inf"), 0.0, float("inf")], [1], 1, [1]),
        # all and one
        ([1.0, 3.0, 2.0], [], 3, [0, 1, 2]),
        ([1.0], [], 1, [0]),
    ],
)
def test_keep(scores: list[float], pivots: list[int], count: int, kept: list[int]) -> None:
    """What is kept, by example."""
    chunk = _chunk(len(scores), pivots)
    assert Given(torch.tensor(scores)).compress(chunk, count).tolist() == kept


@given(st.lists(st.integers(0, 3), min_size=1, max_size=30), st.data())
def test_keep_is_a_stable_ranking(scores: list[int], data: st.DataObject) -> None:
    """Kept are the first in the order (pivot, score, place), whatever the ties."""
    total = len(scores)
    pivots = sorted(data.draw(st.sets(st.integers(0, total - 1))))
    count = data.draw(st.integers(1, total))
    kept = Given(torch.tensor(scores).float()).compress(_chunk(total, pivots), count)
    order = sorted(range(total), key=lambda place: (place not in pivots, -scores[place], place))
    assert kept.tolist() == sorted(order[:count])


def test_best_first_is_stable() -> None:
    """Equal scores stand in their own order, in long chunks too."""
    scores = torch.arange(4000) % 3
    order = best_first(scores.float())
    want = [i for value in (2, 1, 0) for i in range(4000) if i % 3 == value]
    assert order.tolist() == want


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        (torch.zeros(4), r"must return a tensor \[5\].*returned \[4\]"),
        (torch.zeros(2, 5), r"returned \[2, 5\]"),
        ([0.0] * 5, "returned list"),
        (None, "returned NoneType"),
        (torch.tensor([0.0, 1.0, float("nan"), 2.0, 3.0]), "NaN in layer 1"),
    ],
)
def test_bad_scores(scores: Any, message: str) -> None:
    """Scores that are none are refused, by the compressor's name and what it returned."""
    with pytest.raises(UsageError, match=message) as raised:
        Given(scores).compress(_chunk(5), 2)
    assert "Given.score()" in raised.value.message


@pytest.mark.parametrize(
    ("kept", "message"),
    [
        (torch.arange(5), r"must choose 2 of 5 pairs.*returned int64\[5\]"),
        (torch.tensor([3, 1]), r"returned \[3, 1\]"),
        (torch.tensor([1, 1]), r"returned \[1, 1\]"),
        (torch.tensor([-1, 1]), r"returned \[-1, 1\]"),
        (torch.tensor([1, 5]), r"returned \[1, 5\]"),
        (torch.tensor([0.0, 1.0]), "returned float32"),
        ([0, 1], "returned a list"),
        (None, "returned a NoneType"),
    ],
)
def test_bad_choices(kept: Any, message: str) -> None:
    """Whatever a compressor chooses must be as many pairs as asked, each once, in order."""
    with pytest.raises(UsageError, match=message):
        checked(kept, 5, 2, "Greedy.keep()")


@pytest.mark.parametrize("name", ["values", "positions", "pivots", "numbers", "rows", "patches"])
def test_chunk_refuses(name: str) -> None:
    """A chunk whose parts disagree on how many tokens it has is refused."""
    short = {
        "values": torch.randn(2, 4, 8),
        "positions": torch.arange(4)[None],
        "pivots": torch.zeros(4, dtype=torch.bool),
        **dict.fromkeys(("numbers", "rows", "patches"), torch.arange(4)),
    }
    with pytest.raises(ValueError, match=f"{name} must be"):
        _chunk(5, **{name: short[name]})


def test_chunk_shows_no_contents() -> None:
    """A chunk's repr has shapes, and says how many pivots there are."""
    shown = repr(_chunk(5, [1, 2]))
    assert "float32[4, 5, 8]" in shown
    assert "2 of 5" in shown
    assert "tensor(" not in shown
