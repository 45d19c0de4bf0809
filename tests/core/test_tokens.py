"""Visual tokens and selections check themselves, and gathering keeps track of where tokens are."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from retake.core.tokens import Selection, VisualTokens, shape_of


def _tokens(steps: int = 4, rows: int = 2, columns: int = 3, width: int = 5) -> VisualTokens:
    count = steps * rows * columns * width
    features = torch.arange(count).float().reshape(steps, rows * columns, width)
    return VisualTokens(features, torch.arange(steps).double(), (rows, columns))


@pytest.mark.parametrize(
    ("features", "times", "grid", "message"),
    [
        (torch.zeros(4, 6), torch.zeros(4), (2, 3), "features must be"),
        (torch.zeros(0, 6, 5), torch.zeros(0), (2, 3), "needs tokens"),
        (torch.zeros(4, 0, 5), torch.zeros(4), (0, 3), "needs tokens"),
        (torch.zeros(4, 6, 5), torch.zeros(3), (2, 3), r"timestamps must be \[4\], got \[3\]"),
        (torch.zeros(4, 6, 5), torch.zeros(4), (2, 2), "holds 4 tokens, not 6"),
    ],
)
def test_visual_tokens_refuse(
    features: torch.Tensor, times: torch.Tensor, grid: tuple[int, int], message: str
) -> None:
    """Features, times and grid that do not fit together are named."""
    with pytest.raises(ValueError, match=message):
        VisualTokens(features, times, grid)


def _selection(**changed: object) -> Selection:
    parts = {
        "features": torch.zeros(3, 5),
        "rows": torch.tensor([0, 0, 1]),
        "steps": torch.tensor([0, 0, 1]),
        "patches": torch.tensor([0, 1, 0]),
        "pivots": torch.zeros(3, dtype=torch.bool),
        "source": (2, 2),
    }
    return Selection(**{**parts, **changed})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"features": torch.zeros(3, 1, 5)}, "features must be"),
        ({"rows": torch.tensor([0, 1])}, "rows must be"),
        ({"steps": torch.zeros(3, 1)}, "steps must be"),
        ({"patches": torch.zeros(4)}, "patches must be"),
        ({"pivots": torch.zeros(2, dtype=torch.bool)}, "pivots must be"),
        ({"pivots": torch.zeros(3)}, "pivots must be bool"),
        ({"rows": torch.tensor([1, 0, 1])}, "must not descend"),
    ],
)
def test_selection_refuses(changed: dict[str, object], message: str) -> None:
    """A selection whose parts do not fit together is refused by the name of the part."""
    with pytest.raises(ValueError, match=message):
        _selection(**changed)


def test_repr_shows_shapes_only() -> None:
    """No tensor's contents end up in a log."""
    shown = repr(_tokens()) + repr(_selection())
    assert "float32[4, 6, 5]" in shown
    assert "pivots=0 of 3" in shown
    assert "tensor(" not in shown
    assert shape_of(torch.zeros(2, 1, dtype=torch.int64)) == "int64[2, 1]"


def test_gather_whole_steps() -> None:
    """Whole steps keep all their tokens, and rows count what is kept."""
    tokens = _tokens()
    chosen = Selection.gather(tokens, torch.tensor([1, 3]), torch.tensor([True, False]))
    assert len(chosen) == 12
    assert chosen.row_count == 2
    assert torch.equal(chosen.features, tokens.features[[1, 3]].flatten(0, 1))
    assert chosen.rows.tolist() == [0] * 6 + [1] * 6
    assert chosen.steps.tolist() == [1] * 6 + [3] * 6
    assert chosen.patches.tolist() == [*range(6), *range(6)]
    assert chosen.pivots.tolist() == [True] * 6 + [False] * 6
    assert chosen.source == (4, 6)


@given(st.data())
def test_gather_patches(data: st.DataObject) -> None:
    """Every token kept is the source's, at the step and patch it says."""
    tokens = _tokens()
    rows = data.draw(st.integers(1, 4))
    picks = [data.draw(st.permutations(range(4)))[:rows] for _ in range(6)]
    steps = torch.tensor(picks).sort(dim=1).values.T
    chosen = Selection.gather(tokens, steps)
    assert not chosen.pivots.any()
    for feature, step, patch in zip(chosen.features, chosen.steps, chosen.patches, strict=True):
        assert torch.equal(feature, tokens.features[step, patch])
