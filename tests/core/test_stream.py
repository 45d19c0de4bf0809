"""A selection that streams is the one made of the whole video, however the video arrives."""

from typing import Any

import attrs
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from retake import FrameSelector, Selection, UsageError, VisualTokens
from retake.core.chunks import RowChunks, chunks_of_rows
from retake.core.stream import selection_stream
from retake.selectors.dpselect import DPSelect
from retake.selectors.ma_lmm import MaLmm
from retake.selectors.none import NoSelection
from retake.selectors.uniform import Uniform

_FIELDS = ("features", "rows", "steps", "patches", "pivots")
_SELECTORS = [
    NoSelection(),
    DPSelect(),
    DPSelect(window=1),
    DPSelect(window=7, per_patch=False),
    DPSelect(pivots=False),
    DPSelect(keep_ratio=0.5),
    Uniform(keep_ratio=0.3),
    MaLmm(keep_ratio=0.5),
]


@attrs.frozen
class Rising(FrameSelector):
    """Keep a step only where its first number is above that of the step before it."""

    @property
    def lookahead(self) -> int | None:
        return 0

    @property
    def lookback(self) -> int:
        return 1

    def select(self, tokens: VisualTokens) -> Selection:
        first = tokens.features[:, 0, 0]
        rising = torch.cat((torch.tensor([True]), first[1:] > first[:-1]))
        return Selection.gather(tokens, rising.nonzero()[:, 0])


def _video(steps: int, patches: int = 3, seed: int = 0) -> VisualTokens:
    drawn = torch.randn(steps, patches, 8, generator=torch.Generator().manual_seed(seed))
    # Few distinct values make ties, which must go the same way.
    return VisualTokens(drawn.round(), torch.arange(steps).double(), (1, patches))


def _streamed(selector: FrameSelector, tokens: VisualTokens, cuts: list[int]) -> list[Selection]:
    stream = selection_stream(selector, None)
    parts, start = [], 0
    for stop in [*sorted(set(cuts)), tokens.steps]:
        if start < stop <= tokens.steps:
            parts += stream.push(tokens.part(start, stop))
            start = stop
            assert stream.steps == stop
            assert stream.selected == sum(map(len, parts))
    parts += stream.finish()
    assert stream.decided == tokens.steps
    return parts


@pytest.mark.parametrize("selector", [*_SELECTORS, Rising()], ids=repr)
@given(
    steps=st.integers(1, 24),
    cuts=st.lists(st.integers(1, 24), max_size=8),
    seed=st.integers(0, 5),
)
@settings(max_examples=60, deadline=None)
def test_streaming_changes_nothing(
    selector: FrameSelector, steps: int, cuts: list[int], seed: int
) -> None:
    """To the bit: the same tokens, rows, steps, patches and pivots, in the same order."""
    tokens = _video(steps, seed=seed)
    whole = selector.select(tokens)
    parts = _streamed(selector, tokens, cuts)
    assert [part.first for part in parts] == [
        sum(map(len, parts[:number])) for number in range(len(parts))
    ]
    for name in _FIELDS:
        got = torch.cat([getattr(part, name) for part in parts])
        assert torch.equal(got, getattr(whole, name)), name


@pytest.mark.parametrize("selector", [NoSelection(), DPSelect(), DPSelect(window=7)], ids=repr)
def test_a_finite_lookahead_decides_early(selector: FrameSelector) -> None:
    """As soon as the steps ahead are there, and no sooner."""
    stream = selection_stream(selector, None)
    ahead = selector.lookahead
    assert ahead is not None
    tokens = _video(12)
    for step in range(12):
        list(stream.push(tokens.part(step, step + 1)))
        assert stream.decided == max(0, step + 1 - ahead)


@pytest.mark.parametrize(
    ("selector", "most"),
    [(NoSelection(), 0), (DPSelect(), 3), (DPSelect(window=7), 7), (Rising(), 1)],
)
def test_only_what_is_needed_is_held(selector: FrameSelector, most: int) -> None:
    """The steps that are not decided yet, and those that later decisions look back on."""
    stream: Any = selection_stream(selector, None)
    for step in range(40):
        list(stream.push(_video(1, seed=step)))
        held = stream._held.steps if stream._held is not None else 0
        assert held <= most


def test_the_whole_video_is_held_once() -> None:
    """A selector that needs it gets one buffer, taken beforehand and never copied."""
    stream: Any = selection_stream(Uniform(), 40)
    for step in range(40):
        list(stream.push(_video(1, seed=step)))
        start = stream._features.data_ptr()
        assert len(stream._features) == 40
    assert stream._features.data_ptr() == start
    list(stream.finish())
    assert stream._features is None


@pytest.mark.parametrize("wrong", [-1, 1.5, "1", True])
def test_steps_ahead_and_behind_are_whole_numbers(wrong: Any) -> None:
    """Anything else would lose tokens without a word."""

    @attrs.frozen
    class Ahead(NoSelection):
        @property
        def lookahead(self) -> Any:
            return wrong

    @attrs.frozen
    class Behind(NoSelection):
        @property
        def lookback(self) -> Any:
            return wrong

    with pytest.raises(UsageError, match=r"Ahead\.lookahead must be a whole number of steps"):
        selection_stream(Ahead(), None)
    with pytest.raises(UsageError, match=r"Behind\.lookback must be a whole number of steps"):
        selection_stream(Behind(), None)


def test_a_wrong_selection_is_refused() -> None:
    """In a window as in the whole: naming the selector and what was wrong with its answer."""

    @attrs.frozen
    class Wrong(NoSelection):
        def select(self, tokens: VisualTokens) -> Any:
            return None

    with pytest.raises(UsageError, match=r"Wrong.select\(\) must return a Selection"):
        list(selection_stream(Wrong(), None).push(_video(3)))


@given(
    rows=st.lists(st.integers(0, 12), min_size=1, max_size=40).map(sorted),
    per_chunk=st.integers(1, 5),
    cuts=st.lists(st.integers(1, 40), max_size=6),
)
@settings(max_examples=200, deadline=None)
def test_chunks_do_not_depend_on_parts(rows: list[int], per_chunk: int, cuts: list[int]) -> None:
    """Chunks of so many rows, the same from any parts as from the whole."""
    count = len(rows)
    selection = Selection(
        features=torch.arange(count).float()[:, None],
        rows=torch.tensor(rows),
        steps=torch.tensor(rows),
        patches=torch.zeros(count, dtype=torch.int64),
        pivots=torch.zeros(count, dtype=torch.bool),
        source=(13, 1),
    )
    # A part holds all tokens of its rows.
    ends = sorted({sum(row <= rows[cut - 1] for row in rows) for cut in cuts if cut <= count})
    chunks, builder, start = [], RowChunks(per_chunk), 0
    for stop in [*ends, count]:
        if start < stop:
            chunks += builder.push(selection.part(start, stop))
            start = stop
    chunks += builder.finish()
    want = chunks_of_rows(selection.rows, per_chunk)
    assert [(chunk.first, chunk.first + len(chunk)) for chunk in chunks] == want
    assert torch.equal(torch.cat([chunk.features for chunk in chunks]), selection.features)
