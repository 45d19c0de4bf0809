"""Scripts with a card where it was told to stand: depth, room, and what else is promised."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retake.core.errors import UsageError
from retake.datasets.scenes.placing import write_placed
from retake.datasets.scenes.world import GRID, NEEDLE_GAP

DEPTHS = (0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0)


@pytest.mark.parametrize("seconds", [4, 8, 16, 64, 511.9, 4 * 3600])
@pytest.mark.parametrize("depth", DEPTHS)
def test_the_card_stands_where_it_was_told_to(seconds: float, depth: float) -> None:
    """Its middle is at the depth, to the grid, or as near as a whole card can be."""
    for seed in range(20):
        placed = write_placed(seconds, seed, depth=depth)
        needle = placed.script.needles[placed.asked]
        half = (needle.end - needle.start) / 2
        wanted = min(max(depth * seconds, half), seconds - half)
        assert (needle.start + needle.end) / 2 == pytest.approx(wanted, abs=GRID)
        assert placed.depth * seconds == pytest.approx((needle.start + needle.end) / 2)


@given(st.floats(4, 3000), st.integers(0, 2**128), st.floats(0, 1), st.integers(1, 8))
@settings(max_examples=150, deadline=None)
def test_everything_else_is_as_in_any_script(
    seconds: float, seed: int, depth: float, most: int
) -> None:
    """Needles lie inside, apart, in order, and differ; scenes cover the video without gaps."""
    placed = write_placed(seconds, seed, depth=depth, needles=(1, most))
    script = placed.script
    assert script.needles[0].start >= 0
    assert script.needles[-1].end <= seconds
    for before, after in zip(script.needles, script.needles[1:], strict=False):
        assert after.start - before.end >= NEEDLE_GAP
    for names in ([n.shape for n in script.needles], [n.colour for n in script.needles]):
        assert len(set(names)) == len(names)
    assert len(script.needles) in placed.counts
    assert max(placed.counts) <= most
    ends = [scene.end for scene in script.scenes]
    assert [scene.start for scene in script.scenes] == [0.0, *ends[:-1]]
    assert ends[-1] == seconds
    for earlier, later in zip(script.scenes, script.scenes[1:], strict=False):
        assert earlier.shape != later.shape
        assert earlier.colour != later.colour


@pytest.mark.parametrize("seconds", [8, 64, 4 * 3600])
def test_one_scene_can_always_be_asked_about(seconds: float) -> None:
    """One scene's shape and colour are no other's, however long the video."""
    for seed in range(10):
        scenes = write_placed(seconds, seed, depth=0.5).script.scenes
        shapes, colours = [s.shape for s in scenes], [s.colour for s in scenes]
        assert any(shapes.count(s.shape) == 1 and colours.count(s.colour) == 1 for s in scenes)


def test_others_stand_anywhere() -> None:
    """The card asked about is the first, the last and between, and others lie all over."""
    placed = [write_placed(100, seed, depth=0.5, needles=(4, 4)) for seed in range(300)]
    assert {each.asked for each in placed} == {0, 1, 2, 3}
    starts = [n.start for p in placed for i, n in enumerate(p.script.needles) if i != p.asked]
    early = sum(start < 50 for start in starts) / len(starts)
    assert 0.4 < early < 0.6
    assert min(starts) < 5
    assert max(starts) > 92


def test_cards_last_as_long_as_they_may() -> None:
    """Every length from the shortest to the longest, on the grid."""
    lengths = {
        needle.end - needle.start
        for seed in range(60)
        for needle in write_placed(64, seed, depth=0.3, needle_seconds=(1, 2)).script.needles
    }
    assert lengths == {1.0, 1.25, 1.5, 1.75, 2.0}


def test_room_limits_the_count() -> None:
    """In a short video there are as many cards as fit, and a viewer can know that."""
    placed = [write_placed(6, seed, depth=0.5, needle_seconds=(1, 1)) for seed in range(30)]
    assert {each.counts for each in placed} == {(1,)}
    wide = [write_placed(60, seed, depth=0.5).counts for seed in range(5)]
    assert set(wide) == {(1, 2, 3, 4)}


@pytest.mark.parametrize(
    "options",
    [
        {"seconds": 3.9},
        {"seconds": float("inf")},
        {"seconds": 6, "needles": (3, 3)},
        {"needles": (9, 9)},
        {"needle_seconds": (70, 80)},
        {"needle_seconds": (0.01, 0.1)},
    ],
)
def test_what_cannot_be_placed_is_refused(options: dict[str, float]) -> None:
    """A usage error, not a script without the card."""
    with pytest.raises(UsageError):
        write_placed(**{"seconds": 60, "seed": 0, "depth": 0.5, **options})  # type: ignore[arg-type]
