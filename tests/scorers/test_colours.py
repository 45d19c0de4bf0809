"""The scorer without a checkpoint: colours by name, and what it says of the synthetic scenes."""

import pytest
import torch
from torch import Tensor

from retake.datasets.scenes.render import RGB, Renderer
from retake.datasets.scenes.world import write_script
from retake.scorers.colours import NAMES, Colours, classify, named_colours


def _frames(*colours: tuple[int, int, int], size: int = 8) -> Tensor:
    """One plain frame a colour."""
    return torch.tensor(colours, dtype=torch.uint8)[:, None, None].expand(-1, size, size, 3)


_PLAIN = {
    **RGB,
    "black": (10, 12, 8),
    "grey": (128, 130, 126),
    "white": (250, 248, 251),
    "brown": (120, 72, 28),
}


@pytest.mark.parametrize("name", NAMES)
def test_plain_frames_have_their_name(name: str) -> None:
    """A frame of one colour is wholly of that colour, lighter and darker too."""
    for factor in (0.9, 1.0):
        colour = tuple(int(part * factor) for part in _PLAIN[name])
        seen = Colours().look(_frames(colour))  # type: ignore[arg-type]
        shares = dict(zip(NAMES, seen[0].tolist(), strict=False))
        assert shares == {**dict.fromkeys(NAMES, 0.0), name: 1.0}


def test_every_colour_there_is_has_one_name() -> None:
    """The whole cube of colours is named, and every name is used."""
    steps = torch.linspace(0, 1, 33)
    names = classify(torch.cartesian_prod(steps, steps, steps))
    assert set(names.tolist()) == set(range(len(NAMES)))


@pytest.mark.parametrize(
    ("question", "named"),
    [
        ("Which shape flashed in orange?", ["orange"]),
        ("Was the GRAY car before the Violet one?", ["purple", "grey"]),
        ("Is it red, or red and blue?", ["red", "blue"]),
        ("Who is credited with the greenhouse, and when?", []),
        ("", []),
    ],
)
def test_names_in_questions(question: str, named: list[str]) -> None:
    """Whole words count, in any case, with their synonyms, each once."""
    assert named_colours(question) == named


def test_shares_add_up() -> None:
    """Half red and half blue is half of either, and all of what a question with both names."""
    frame = torch.cat((_frames(RGB["red"]), _frames(RGB["blue"])), dim=1)
    scorer = Colours()
    seen = scorer.look(frame)
    assert seen.dtype == torch.float32
    assert scorer.rate(seen, "a red dot").tolist() == [0.5]
    assert scorer.rate(seen, "a blue dot").tolist() == [0.5]
    assert scorer.rate(seen, "red or blue").tolist() == [1.0]
    assert scorer.rate(seen, "green").tolist() == [0.0]


def test_without_a_colour_lighter_frames_rate_higher() -> None:
    """Black, grey and white, by a question that names no colour."""
    scorer = Colours()
    seen = scorer.look(_frames((0, 0, 0), (128, 128, 128), (255, 255, 255)))
    rated = scorer.rate(seen, "What happens at the end?")
    torch.testing.assert_close(rated, torch.tensor([0.0, 128 / 255, 1.0]))


@pytest.mark.parametrize("count", [0, 1, 40])
def test_one_row_a_frame(count: int) -> None:
    """However many frames are looked at together, each has the row it would have alone."""
    frames = torch.randint(0, 256, (count, 6, 5, 3), generator=torch.Generator().manual_seed(1))
    frames = frames.to(torch.uint8)
    scorer = Colours()
    seen = scorer.look(frames)
    assert seen.shape == (count, 13)
    alone = [scorer.look(frame[None]) for frame in frames]
    assert torch.equal(seen, torch.cat([seen[:0], *alone]))
    assert scorer.rate(seen, "pink").shape == (count,)


@pytest.mark.parametrize("seed", range(4))
def test_needles_of_the_scenes_stand_out(seed: int) -> None:
    """A needle's moment rates above the median by its colour, and above all others by light."""
    script = write_script(40.0, seed, needles=2)
    renderer, scorer = Renderer(script, size=56), Colours()
    times = [step * 0.5 for step in range(80)]
    seen = scorer.look(torch.stack([torch.from_numpy(renderer.at(time)) for time in times]))
    shown = torch.tensor([script.needle_at(time) is not None for time in times])
    light = scorer.rate(seen, "Which shape flashed?")
    assert light[shown].min() > light[~shown].max()
    for needle in script.needles:
        rated = scorer.rate(seen, f"Which shape flashed in {needle.colour}?")
        on = torch.tensor([script.needle_at(time) == needle for time in times])
        assert rated[on].min() > rated.median()
