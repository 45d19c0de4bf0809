"""What every registered selector must do, whatever its method.

One that needs the question is shown steps that were rated, as a scorer rates them.
"""

import attrs
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from retake import FrameSelector, QuestionSelector, Selection, UsageError, VisualTokens, selectors
from retake.core.options import count_of
from retake.core.stream import selection_stream

NAMES = selectors.names()


def _takes_ratio(name: str) -> bool:
    return any(field.name == "keep_ratio" for field in attrs.fields(selectors.get(name)))


WITH_RATIO = [name for name in NAMES if _takes_ratio(name)]
ASKING = [name for name in NAMES if selectors.get(name).needs_question]


def _tokens(features: Tensor, relevance: Tensor | None = None) -> VisualTokens:
    steps, patches, _ = features.shape
    rated = torch.linspace(-1, 1, steps).sin() if relevance is None else relevance
    return VisualTokens(
        features, torch.arange(steps, dtype=torch.float64), (1, patches), relevance=rated
    )


def _video(steps: int, patches: int, *, constant: bool = False, seed: int = 0) -> VisualTokens:
    draw = torch.Generator().manual_seed(seed)
    drawn = torch.randn(steps, patches, 8, generator=draw)
    rated = torch.randn(steps, generator=draw)
    if constant:
        drawn, rated = drawn[:1].expand_as(drawn).clone(), rated[:1].expand_as(rated).clone()
    return _tokens(drawn, rated)


def _made(name: str, keep_ratio: float | None = None) -> FrameSelector:
    """The selector with its defaults, and a keep_ratio where it has one."""
    cls = selectors.get(name)
    return cls(keep_ratio=keep_ratio) if keep_ratio and _takes_ratio(name) else cls()


def _same(a: Selection, b: Selection) -> bool:
    names = ("features", "rows", "steps", "patches", "pivots")
    return all(torch.equal(getattr(a, name), getattr(b, name)) for name in names)


def _check_sound(selection: Selection, tokens: VisualTokens) -> None:
    """A non-empty selection of a video's own steps and patches, in order, nothing twice."""
    steps, patches = tokens.steps, tokens.patches
    assert selection.source == (steps, patches)
    assert 0 < len(selection) <= steps * patches
    assert selection.features.dtype == tokens.features.dtype
    assert selection.features.device == tokens.features.device
    assert selection.features.isfinite().all()
    assert (selection.rows.diff() >= 0).all()
    assert selection.rows[0] == 0
    for name, limit in (("steps", steps), ("patches", patches)):
        values = getattr(selection, name)
        assert int(values.min()) >= 0
        assert int(values.max()) < limit
    places = selection.steps * patches + selection.patches
    assert len(places.unique()) == len(places)
    for patch in range(patches):
        kept = selection.steps[selection.patches == patch]
        assert (kept.diff() > 0).all()


def _check_count(selection: Selection, tokens: VisualTokens, keep_ratio: float) -> None:
    """As many steps as asked, of every patch."""
    kept = count_of(keep_ratio, tokens.steps)
    assert selection.row_count == kept
    assert selection.patches.bincount(minlength=tokens.patches).tolist() == [kept] * tokens.patches


@pytest.mark.parametrize("name", NAMES)
@given(
    steps=st.integers(1, 20),
    patches=st.integers(1, 5),
    ratio=st.floats(0.01, 1),
    constant=st.booleans(),
    seed=st.integers(0, 99),
)
@settings(max_examples=40, deadline=None)
def test_selection_is_sound(
    name: str, steps: int, patches: int, ratio: float, constant: bool, seed: int
) -> None:
    """Any video gives a selection of its own tokens, in order, as many as asked."""
    tokens = _video(steps, patches, constant=constant, seed=seed)
    selection = _made(name, ratio).select(tokens)
    _check_sound(selection, tokens)
    if _takes_ratio(name):
        _check_count(selection, tokens, ratio)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("value", [0.0, 1.0, -3.5, 1e-30, 1e4])
@pytest.mark.parametrize("steps", [1, 2, 9])
def test_still_videos(name: str, value: float, steps: int) -> None:
    """Where nothing ever changes, and nothing fits better than the rest, as much is kept."""
    tokens = _tokens(torch.full((steps, 3, 4), value), torch.full((steps,), value))
    for ratio in (0.1, 0.5, 1.0):
        selection = _made(name, ratio).select(tokens)
        _check_sound(selection, tokens)
        if _takes_ratio(name):
            _check_count(selection, tokens, ratio)


@pytest.mark.parametrize("name", NAMES)
def test_long_videos(name: str) -> None:
    """An hour, a step a second: no different, and nothing takes the square of it."""
    tokens = _video(3_600, 1)
    selection = _made(name, 0.1).select(tokens)
    _check_sound(selection, tokens)
    if _takes_ratio(name):
        _check_count(selection, tokens, 0.1)


@pytest.mark.parametrize("name", NAMES)
def test_same_video_same_selection(name: str) -> None:
    """Selecting twice gives the same tokens, and leaves the video as it was."""
    tokens = _video(17, 4)
    before = tokens.features.clone()
    selector = _made(name, 0.5)
    assert _same(selector.select(tokens), selector.select(tokens))
    assert _same(selector.select(tokens), _made(name, 0.5).select(tokens))
    assert torch.equal(tokens.features, before)


@pytest.mark.parametrize("name", NAMES)
def test_chance_and_threads_change_nothing(name: str) -> None:
    """Neither the global generator nor the number of threads has a say."""
    tokens, selector = _video(33, 4), _made(name, 0.4)
    torch.manual_seed(1)
    first = selector.select(tokens)
    torch.manual_seed(2)
    state = torch.get_rng_state()
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        assert _same(selector.select(tokens), first)
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(torch.get_rng_state(), state)


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
    """Features keep their dtype, and as many are kept."""
    tokens = _video(6, 2)
    half = attrs.evolve(tokens, features=tokens.features.to(dtype))
    selection = _made(name, 0.5).select(half)
    _check_sound(selection, half)
    assert len(selection) == len(_made(name, 0.5).select(tokens))


@pytest.mark.parametrize("name", NAMES)
def test_a_view_is_as_good_as_a_copy(name: str) -> None:
    """Features that lie apart in memory, as of a longer buffer's part, give the same."""
    tokens, selector = _video(12, 3), _made(name, 0.5)
    wide = torch.zeros(12, 6, 16)
    wide[:, ::2, ::2] = tokens.features
    view = attrs.evolve(tokens, features=wide[:, ::2, ::2])
    assert _same(selector.select(tokens), selector.select(view))


@pytest.mark.parametrize("name", WITH_RATIO)
def test_keep_ratio_of_one_keeps_everything(name: str) -> None:
    """A keep_ratio of 1 drops no token."""
    tokens = _video(11, 3)
    selection = _made(name, 1.0).select(tokens)
    assert len(selection) == 33
    _check_sound(selection, tokens)


@pytest.mark.parametrize("name", WITH_RATIO)
@pytest.mark.parametrize("ratio", [0.0, -0.5, 1.01, float("nan")])
def test_a_bad_keep_ratio_is_refused(name: str, ratio: float) -> None:
    """Ratios out of range are refused by name."""
    with pytest.raises(ValueError, match="keep_ratio"):
        selectors.get(name)(keep_ratio=ratio)  # type: ignore[call-arg]


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


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ASKING])
def test_without_the_question_relevance_has_no_say(name: str) -> None:
    """A selector that does not say that it needs the question must not look at it."""
    tokens, selector = _video(15, 3), _made(name, 0.5)
    chosen = selector.select(tokens)
    for other in (tokens.relevance.flip(0), None):  # type: ignore[union-attr]
        assert _same(chosen, selector.select(attrs.evolve(tokens, relevance=other)))


@pytest.mark.parametrize("name", ASKING)
def test_with_the_question_relevance_has_a_say(name: str) -> None:
    """A single relevant step is kept, wherever it is."""
    for place in range(16):
        fits = torch.zeros(16)
        fits[place] = 1.0
        tokens = attrs.evolve(_video(16, 2), relevance=fits)
        assert place in _made(name, 0.25).select(tokens).steps


@pytest.mark.parametrize("name", ASKING)
def test_without_a_scorer_it_says_what_to_do(name: str) -> None:
    """Steps that nobody rated are refused, and the message names the remedy."""
    selector = _made(name, 0.5)
    assert isinstance(selector, QuestionSelector)
    with pytest.raises(UsageError, match=r"needs a scorer(.|\n)*in brackets(.|\n)*list scorers"):
        selector.select(attrs.evolve(_video(6, 2), relevance=None))


@pytest.mark.parametrize("name", NAMES)
def test_it_says_what_it_is(name: str) -> None:
    """Every selector has a docstring, and is frozen."""
    cls = selectors.get(name)
    assert cls.__doc__
    assert cls.__doc__ not in (FrameSelector.__doc__, QuestionSelector.__doc__)
    field = attrs.fields(cls)
    if field:
        with pytest.raises(attrs.exceptions.FrozenInstanceError):
            setattr(cls(), field[0].name, None)
