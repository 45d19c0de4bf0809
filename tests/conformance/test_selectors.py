"""What every registered selector must do, whatever its method."""

import attrs
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from retake import FrameSelector, Selection, VisualTokens, selectors
from retake.core.stream import selection_stream

NAMES = selectors.names()


def _video(steps: int, patches: int, *, constant: bool = False, seed: int = 0) -> VisualTokens:
    drawn = torch.randn(steps, patches, 8, generator=torch.Generator().manual_seed(seed))
    features = drawn[:1].expand_as(drawn).clone() if constant else drawn
    return VisualTokens(features, torch.arange(steps, dtype=torch.float64), (1, patches))


def _made(name: str, keep_ratio: float | None = None) -> FrameSelector:
    """The selector with its defaults, and a keep_ratio where it has one."""
    cls = selectors.get(name)
    takes = any(field.name == "keep_ratio" for field in attrs.fields(cls))
    return cls(keep_ratio=keep_ratio) if takes and keep_ratio else cls()


def _same(a: Selection, b: Selection) -> bool:
    names = ("features", "rows", "steps", "patches", "pivots")
    return all(torch.equal(getattr(a, name), getattr(b, name)) for name in names)


@pytest.mark.parametrize("name", NAMES)
@given(
    steps=st.integers(1, 20),
    patches=st.integers(1, 5),
    ratio=st.floats(0.01, 1),
    constant=st.booleans(),
)
@settings(max_examples=40, deadline=None)
def test_selection_is_sound(
    name: str, steps: int, patches: int, ratio: float, constant: bool
) -> None:
    """Any video gives a non-empty selection of its own steps and patches, in order."""
    tokens = _video(steps, patches, constant=constant)
    selection = _made(name, ratio).select(tokens)
    assert selection.source == (steps, patches)
    assert 0 < len(selection) <= steps * patches
    assert selection.features.dtype == tokens.features.dtype
    assert (selection.rows.diff() >= 0).all()
    assert selection.rows[0] == 0
    assert set(selection.steps.tolist()) <= set(range(steps))
    assert set(selection.patches.tolist()) <= set(range(patches))
    places = list(zip(selection.steps.tolist(), selection.patches.tolist(), strict=True))
    assert len(set(places)) == len(places)


@pytest.mark.parametrize("name", NAMES)
def test_same_video_same_selection(name: str) -> None:
    """Selecting twice gives the same tokens, and leaves the video as it was."""
    tokens = _video(17, 4)
    before = tokens.features.clone()
    selector = _made(name, 0.5)
    assert _same(selector.select(tokens), selector.select(tokens))
    assert torch.equal(tokens.features, before)


@pytest.mark.parametrize("name", NAMES)
def test_no_state_is_carried_over(name: str) -> None:
    """Another video in between changes nothing."""
    selector = _made(name, 0.5)
    first = selector.select(_video(9, 3))
    selector.select(_video(14, 2, seed=1))
    assert _same(first, selector.select(_video(9, 3)))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_kept(name: str, dtype: torch.dtype) -> None:
    """Features keep their dtype."""
    tokens = _video(6, 2)
    half = VisualTokens(tokens.features.to(dtype), tokens.timestamps, tokens.grid)
    assert _made(name, 0.5).select(half).features.dtype == dtype


@pytest.mark.parametrize("name", NAMES)
def test_keep_ratio_of_one_keeps_everything(name: str) -> None:
    """A keep_ratio of 1 drops no token."""
    if any(field.name == "keep_ratio" for field in attrs.fields(selectors.get(name))):
        assert len(_made(name, 1.0).select(_video(11, 3))) == 33
    else:
        assert len(_made(name).select(_video(11, 3))) <= 33


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("ratio", [None, 1.0])
@given(steps=st.integers(1, 20), slices=st.integers(1, 6), seed=st.integers(0, 9))
@settings(max_examples=30, deadline=None)
def test_streaming_changes_nothing(
    name: str, ratio: float | None, steps: int, slices: int, seed: int
) -> None:
    """Shown a video in slices, a selector says the same as of the whole, to the bit."""
    tokens, selector = _video(steps, 3, seed=seed), _made(name, ratio)
    stream = selection_stream(selector, steps)
    parts: list[Selection] = []
    for start in range(0, steps, slices):
        parts += stream.push(tokens.part(start, min(steps, start + slices)))
    parts += stream.finish()
    assert _same(Selection.joined(parts), selector.select(tokens))


@pytest.mark.parametrize("name", NAMES)
def test_it_says_what_it_is(name: str) -> None:
    """Every selector has a docstring, and is frozen."""
    cls = selectors.get(name)
    assert cls.__doc__
    assert cls.__doc__ != FrameSelector.__doc__
    field = attrs.fields(cls)
    if field:
        with pytest.raises(attrs.exceptions.FrozenInstanceError):
            setattr(cls(), field[0].name, None)
