"""What every registered frame–text scorer must do, whatever it goes by."""

from pathlib import Path

import attrs
import pytest
import torch
from torch import Tensor

from retake import FrameTextScorer
from retake.scorers import scorers
from tests.scorers import checkpoints

QUESTIONS = ["Which shape flashed in orange?", "?", "", "Wo ist die Küche? " * 60]


def _required(name: str) -> set[str]:
    fields = attrs.fields(scorers.get(name))
    return {field.name for field in fields if field.default is attrs.NOTHING}


# One that cannot be made without something particular to it has tests of its own.
NAMES = [name for name in scorers.names() if _required(name) <= {"path"}]


@pytest.fixture(scope="module")
def checkpoint_of_scorer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a scorer with a path is given."""
    return checkpoints.make(tmp_path_factory.mktemp("scorer") / "clip", "clip")


@pytest.fixture(params=NAMES)
def scorer(request: pytest.FixtureRequest, checkpoint_of_scorer: Path) -> FrameTextScorer:
    """Each scorer with its defaults."""
    given = {name: str(checkpoint_of_scorer) for name in _required(request.param)}
    return scorers.get(request.param)(**given)


def _frames(count: int, height: int = 30, width: int = 52, seed: int = 0) -> Tensor:
    draw = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, height, width, 3), generator=draw).to(torch.uint8)


@pytest.mark.parametrize("count", [0, 1, 37])
@pytest.mark.parametrize("question", QUESTIONS)
def test_one_number_a_frame(scorer: FrameTextScorer, count: int, question: str) -> None:
    """A row a frame when looking, a finite number a frame when rating, float32 on the host."""
    seen = scorer.look(_frames(count))
    assert seen.ndim == 2
    rated = scorer.rate(seen, question)
    for values, shape in ((seen, (count, seen.shape[1])), (rated, (count,))):
        assert values.shape == shape
        assert values.dtype == torch.float32
        assert values.device.type == "cpu"
        assert values.isfinite().all()
        assert not values.requires_grad


def test_frames_are_seen_one_by_one(scorer: FrameTextScorer) -> None:
    """However a video comes in pieces, what is seen and how it is rated is the same."""
    frames = _frames(11)
    before = frames.clone()
    whole = scorer.look(frames)
    pieces = torch.cat([scorer.look(frames[:4]), scorer.look(frames[4:5]), scorer.look(frames[5:])])
    torch.testing.assert_close(pieces, whole, atol=1e-5, rtol=0)
    rated = scorer.rate(whole, QUESTIONS[0])
    alone = torch.cat([scorer.rate(row[None], QUESTIONS[0]) for row in whole])
    torch.testing.assert_close(alone, rated, atol=1e-5, rtol=0)
    assert torch.equal(frames, before)


def test_no_state_is_carried_over(scorer: FrameTextScorer) -> None:
    """Other frames and questions in between change nothing, and nothing is random."""
    seen = scorer.look(_frames(5))
    first = scorer.rate(seen, QUESTIONS[0])
    kept = seen.clone()
    scorer.rate(scorer.look(_frames(9, 17, 17, seed=1)), "Where is the blue car?")
    torch.manual_seed(4)
    assert torch.equal(scorer.look(_frames(5)), kept)
    assert torch.equal(scorer.rate(seen, QUESTIONS[0]), first)
    assert torch.equal(seen, kept)


def test_inputs_of_inference_mode_will_do(scorer: FrameTextScorer) -> None:
    """A video is watched in inference mode."""
    with torch.inference_mode():
        seen = scorer.look(_frames(3))
        inside = scorer.rate(seen, QUESTIONS[0])
    torch.testing.assert_close(inside, scorer.rate(scorer.look(_frames(3)), QUESTIONS[0]))


@pytest.mark.parametrize("name", scorers.names())
def test_it_says_what_it_is(name: str) -> None:
    """Every scorer has a docstring, and is a frozen class."""
    cls = scorers.get(name)
    assert cls.__doc__
    assert cls.__doc__ != FrameTextScorer.__doc__
    assert cls.__setattr__ is not object.__setattr__
