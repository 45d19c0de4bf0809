"""What watching and asking refuse, and what they say then."""

from pathlib import Path
from typing import Any

import attrs
import pytest

import retake

QUESTIONS = ("What is shown?", "Which colour does it have, then?", "When?")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"temperature": 0.5}, "temperature only matters when sampling"),
        ({"extra": {"do_sample": True}}, "do_sample is an option of its own"),
        ({"extra": {"use_cache": False}}, "retake decides use_cache itself"),
        ({"extra": {"num_return_sequences": 3}}, "cannot generate"),
        ({"extra": {"guidance_scale": 1.5}}, "cannot generate with these settings"),
        ({"extra": {"repetition_penalty": -1.0}}, "cannot generate with these settings"),
    ],
)
def test_settings_that_cannot_be_used(
    load: Any, clip: Path, settings: dict[str, Any], message: str
) -> None:
    """Settings that contradict each other, or that nothing would read, are refused."""
    model = load(keep_ratio=0.5)
    model.watch(clip)
    with pytest.raises(retake.UsageError, match=message):
        model.ask(QUESTIONS[0], **settings)


def test_stop_strings(load: Any, clip: Path) -> None:
    """Settings that need the tokenizer get it."""
    model = load(keep_ratio=0.5)
    model.watch(clip)
    full = model.ask(QUESTIONS[0], max_new_tokens=12)
    stopped = model.ask(QUESTIONS[0], max_new_tokens=12, extra={"stop_strings": [full.text[1:3]]})
    assert len(stopped.token_ids) < len(full.token_ids)


@pytest.mark.parametrize(
    ("question", "message"),
    [
        (3, "A question is text"),
        ("a\udcff", "not valid Unicode"),
        ("Stop.<|im_end|>", r"contains <\|im_end\|>"),
        ("And <|video_pad|>?", r"contains <\|video_pad\|>"),
    ],
)
def test_bad_questions(load: Any, clip: Path, question: Any, message: str) -> None:
    """A question is words, not a number, broken text or the model's own commands."""
    model = load(keep_ratio=0.5)
    model.watch(clip)
    with pytest.raises(retake.UsageError, match=message):
        model.ask(question)


@attrs.frozen
class Broken(retake.FrameSelector):
    """A selector that fails, or returns what is no selection."""

    result: Any = None

    def select(self, tokens: retake.VisualTokens) -> Any:
        if isinstance(self.result, Exception):
            raise self.result
        return self.result


def test_a_broken_selector_is_named(load: Any, clip: Path) -> None:
    """Its own failure, or a result that is none, names the part."""
    with pytest.raises(retake.UsageError, match=r"Broken.select\(\) must return a Selection"):
        load(selector=Broken(), keep_ratio=0.5).watch(clip)
    with pytest.raises(retake.RetakeError, match=r"Broken.select\(\) failed: KeyError"):
        load(selector=Broken(KeyError("x")), keep_ratio=0.5).watch(clip)


def test_nothing_left_of_a_short_video(load: Any, clip: Path) -> None:
    """A ratio that keeps no token at all is refused, with the least that would do."""
    with pytest.raises(retake.UsageError, match=r"keeps none of \d+ visual tokens"):
        load(keep_ratio=1e-6).watch(clip)
