"""Position policies, by example: input, output."""

from fractions import Fraction

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from retake.core.errors import UsageError
from retake.core.positions import (
    Original,
    OriginalPublished,
    Reforge,
    ReforgePublished,
    position_policy,
)

_EMPTY = torch.empty(3, 0, dtype=torch.int64)


def _at(*axes: list[int]) -> torch.Tensor:
    return torch.tensor(axes)


@pytest.mark.parametrize(
    ("own", "cached", "want"),
    [
        # nothing before: the model's own
        ([[5, 5, 6]], [[]], [[5, 5, 6]]),
        # text before, nothing evicted yet: the model's own again
        ([[5, 5, 6]], [[3, 4]], [[5, 5, 6]]),
        # the cache ends earlier than the model thinks: time moves up behind it
        ([[9, 9, 10]], [[3, 4, 6]], [[7, 7, 8]]),
        # height and width stay
        ([[9, 10], [5, 6], [7, 8]], [[4], [4], [4]], [[5, 6], [5, 6], [7, 8]]),
    ],
)
def test_reforge_places_video_behind_the_cache(
    own: list[list[int]], cached: list[list[int]], want: list[list[int]]
) -> None:
    """A chunk's time starts one past the last cached token's."""
    before = torch.tensor(own)
    held = torch.tensor(cached, dtype=torch.int64)
    placed = Reforge().place_video(before, held, None)
    assert placed.tolist() == want
    assert before.tolist() == own


@pytest.mark.parametrize(
    ("used", "kept", "want"),
    [
        # all kept: nothing moves
        ([[5, 5, 6, 6]], [0, 1, 2, 3], [[5, 5, 6, 6]]),
        # half kept: times after the first halve
        ([[5, 6, 7, 8]], [0, 3], [[5, 6]]),
        # the first kept token is where time starts
        ([[5, 6, 7, 8]], [2, 3], [[7, 7]]),
        # whole numbers, cut off: 5 + 3 * 3 / 4 = 7.25
        ([[5, 6, 7, 8]], [0, 1, 3], [[5, 5, 7]]),
        # height and width stay
        ([[0, 2], [8, 9], [3, 4]], [0, 1], [[0, 2], [8, 9], [3, 4]]),
        ([[0, 2], [8, 9], [3, 4]], [1], [[2], [9], [4]]),
        # nothing kept
        ([[5, 6]], [], [[]]),
    ],
)
def test_reforge_settles(used: list[list[int]], kept: list[int], want: list[list[int]]) -> None:
    """Kept times shrink by the share that was kept, cut to whole numbers."""
    held = torch.tensor(kept, dtype=torch.int64)
    before = torch.tensor(used)
    share = Fraction(len(kept), before.shape[1])
    assert Reforge().settle(before, held, share).tolist() == want
    assert before.tolist() == used


@given(st.lists(st.integers(0, 60), min_size=1, max_size=40), st.data())
def test_reforge_keeps_time_in_order(times: list[int], data: st.DataObject) -> None:
    """Settled times rise no faster than before, never descend, and start where they started."""
    used = torch.tensor([sorted(times)])
    flags = data.draw(st.lists(st.booleans(), min_size=len(times), max_size=len(times)))
    kept = torch.tensor(flags).nonzero()[:, 0]
    settled = Reforge().settle(used, kept, Fraction(len(kept), len(times)))[0]
    if len(kept):
        assert settled[0] == used[0, kept[0]]
        assert (settled.diff() >= 0).all()
        assert (settled <= used[0, kept]).all()


def test_text_after_a_reforged_video() -> None:
    """Text starts one past the largest position in the layer, the same on every axis."""
    cached = _at([0, 5, 6], [0, 9, 2], [0, 1, 2])
    own = torch.full((3, 2), 40) + torch.arange(2)
    for phase in ("question", "decode"):
        assert Reforge().place_text(own, cached, phase).tolist() == [[10, 11]] * 3
    assert Reforge().place_text(own, _EMPTY, "question").tolist() == [[40, 41]] * 3


def test_text_after_a_reforged_video_as_published() -> None:
    """Only time is re-anchored for the question; all axes take the time's while decoding."""
    cached = _at([0, 5, 6], [0, 9, 2], [0, 1, 2])
    own = torch.full((3, 2), 40) + torch.arange(2)
    policy = ReforgePublished()
    assert policy.place_text(own, cached, "question").tolist() == [[7, 8], [40, 41], [40, 41]]
    assert policy.place_text(own, cached, "decode").tolist() == [[7, 8]] * 3


def test_original_never_moves_anything() -> None:
    """Every token keeps the model's own position."""
    own, cached, policy = _at([9, 9, 12]), _at([1, 2]), Original()
    assert policy.place_video(own, cached, 40).tolist() == [[9, 9, 12]]
    assert policy.settle(own, torch.tensor([0, 2]), Fraction(2, 3)).tolist() == [[9, 12]]
    assert policy.place_text(own, cached, "question").tolist() == [[9, 9, 12]]


def test_original_as_published() -> None:
    """Generated tokens stand as many steps later as were dropped; the question does not."""
    own, cached, policy = _at([9, 10]), _at([1, 2]), OriginalPublished(dropped=4)
    assert policy.place_text(own, cached, "question").tolist() == [[9, 10]]
    assert policy.place_text(own, cached, "decode").tolist() == [[13, 14]]


@pytest.mark.parametrize(
    ("name", "published", "kind"),
    [
        ("original", False, Original),
        ("reforge", False, Reforge),
        ("original", True, OriginalPublished),
        ("reforge", True, ReforgePublished),
    ],
)
def test_by_name(name: str, published: bool, kind: type) -> None:
    """Names and the published flag find the policy."""
    assert type(position_policy(name, published=published, dropped=2)) is kind


def test_wrong_name() -> None:
    """A wrong name lists the near ones."""
    with pytest.raises(UsageError, match="Did you mean 'reforge'"):
        position_policy("reforged")
