"""A budget is kept, and used up, whatever the video's length turns out to be."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retake.core.allowance import Allowance, RatioAllowance
from retake.core.budget import share_of
from retake.core.errors import UsageError

_CHUNKS = st.lists(st.integers(1, 400), min_size=1, max_size=30)


def _spend(allowance: Allowance, chunks: list[int], expected: list[int | None]) -> list[int]:
    """What a layer holds of the video after each chunk."""
    held, after = 0, []
    for chunk, guess in zip(chunks, expected, strict=True):
        ration = allowance.next(chunk, guess)
        assert 0 <= ration.keep <= chunk
        if ration.thin is not None:
            assert 0 <= ration.thin < held
            held = ration.thin
        held += ration.keep
        after.append(held)
    return after


@given(_CHUNKS, st.integers(1, 5000), st.integers(0, 50))
def test_known_length(chunks: list[int], left: int, text: int) -> None:
    """The expectation holds: the shares are those of `Share`, and nothing is ever thinned."""
    total = sum(chunks)
    share = share_of(video=total, text=text, budget=text + left, keep_ratio=None)
    allowance = Allowance(budget=text + left, text=text, expected=total)
    seen, want = 0, []
    for chunk in chunks:
        want.append((want[-1] if want else 0) + share.keep(seen, chunk))
        seen += chunk
    assert _spend(allowance, chunks, [total] * len(chunks)) == want
    assert want[-1] == min(left, total)
    assert (allowance.respread, allowance.thinned) == (0, 0)


@given(_CHUNKS, st.integers(1, 3000), st.data())
def test_never_above_the_budget(chunks: list[int], left: int, data: st.DataObject) -> None:
    """Whatever is expected on the way: right, wrong, changing, or nothing at all."""
    guesses = st.one_of(st.none(), st.integers(1, 20000))
    first = data.draw(guesses)
    expected = [data.draw(guesses) for _ in chunks]
    held = _spend(Allowance(budget=left, text=0, expected=first), chunks, expected)
    assert max(held) <= left


@given(_CHUNKS, st.integers(1, 3000))
def test_unknown_length_keeps_at_least_half(chunks: list[int], left: int) -> None:
    """Nothing known: all of it while it fits, then never much less than half of the budget."""
    held = _spend(Allowance(budget=left, text=0, expected=None), chunks, [None] * len(chunks))
    seen = 0
    for chunk, count in zip(chunks, held, strict=True):
        seen += chunk
        if seen <= left:
            assert count == seen
        elif chunk <= left // 4:
            assert count >= left // 2 - chunk - 1


@given(_CHUNKS, _CHUNKS, st.integers(1, 3000))
def test_a_shorter_video_uses_the_budget_up(before: list[int], after: list[int], left: int) -> None:
    """Half way it turns out shorter: what is left is spent on what still comes, to the token."""
    total, planned = sum(before) + sum(after), 2 * (sum(before) + sum(after))
    allowance = Allowance(budget=left, text=0, expected=planned)
    held = _spend(allowance, [*before, *after], [planned] * len(before) + [total] * len(after))
    spent = held[len(before) - 1]
    assert held[-1] == min(left, spent + sum(after))
    assert allowance.respread == 1


def test_a_longer_video_is_thinned() -> None:
    """The plan is doubled when it is outgrown, and what was kept shrinks to its new share."""
    allowance = Allowance(budget=100, text=0, expected=200)
    rations = [allowance.next(100, None) for _ in range(6)]
    assert [ration.keep for ration in rations] == [50, 50, 25, 25, 12, 13]
    assert [ration.thin for ration in rations] == [None, None, 50, None, 50, None]
    assert allowance.thinned == 2


def test_text_alone() -> None:
    """A budget that the text uses up is refused."""
    with pytest.raises(UsageError, match="used up by the prompt"):
        Allowance(budget=10, text=10, expected=5)


@given(_CHUNKS, st.integers(1, 1000))
def test_a_ratio_needs_no_length(chunks: list[int], thousandths: int) -> None:
    """A ratio keeps the same whatever is expected."""
    share = share_of(video=None, text=0, budget=None, keep_ratio=thousandths / 1000)
    allowance = RatioAllowance(share)
    kept = sum(allowance.next(chunk, guess).keep for guess, chunk in enumerate(chunks))
    assert kept == thousandths * sum(chunks) // 1000
