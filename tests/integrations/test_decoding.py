"""A task's generation settings, as lmms-eval hands them over."""

from typing import Any

import pytest

from retake import UsageError
from retake.integrations.lmms_eval.decoding import read_decoding


def test_what_most_video_tasks_say_is_greedy() -> None:
    decoding = read_decoding(
        {
            "max_new_tokens": 16,
            "temperature": 0.0,
            "top_p": 1.0,
            "num_beams": 1,
            "do_sample": False,
            "until": ["\n\n"],
        }
    )
    assert decoding.options == {"max_new_tokens": 16, "num_beams": 1, "do_sample": False}
    assert not decoding.stops
    assert not decoding.unread


@pytest.mark.parametrize(
    ("given", "sampled"),
    [
        ({"temperature": 0.7}, True),
        ({"temperature": 0.7, "do_sample": True}, True),
        ({"do_sample": True}, True),
        ({"temperature": 0, "do_sample": True}, False),
        ({"temperature": 0.7, "do_sample": False}, False),
        ({"temperature": None}, False),
        ({}, False),
    ],
)
def test_when_tokens_are_drawn(given: dict[str, Any], sampled: bool) -> None:
    decoding = read_decoding({**given, "top_p": 0.9})
    assert decoding.samples is sampled
    assert ("top_p" in decoding.options) is sampled
    assert decoding.options.get("temperature") == (given.get("temperature") if sampled else None)


def test_an_unread_temperature_is_told() -> None:
    said = read_decoding({"temperature": 0.7, "do_sample": False}).unread
    assert said == ("temperature=0.7 (do_sample is false)",)


def test_settings_of_transformers_go_on_and_others_are_told() -> None:
    decoding = read_decoding(
        {"max_gen_toks": 9, "repetition_penalty": 1.1, "image_aspect_ratio": "original"}
    )
    assert decoding.options["max_new_tokens"] == 9
    assert decoding.options["extra"] == {"repetition_penalty": 1.1}
    assert decoding.unread == ("image_aspect_ratio=original",)


def test_an_answer_ends_before_its_first_stop() -> None:
    decoding = read_decoding({"until": ["\n\n", "ASSISTANT:", ""]})
    assert decoding.cut("B\n\nbecause ASSISTANT: C") == "B\n\nbecause"
    stopping = read_decoding({"until": ["\n\n", "ASSISTANT:"]}, stop_at_blank_line=True)
    assert stopping.cut("B\n\nbecause ASSISTANT: C") == "B"
    assert read_decoding({"until": "."}).cut("B. Because") == "B"


@pytest.mark.parametrize("until", [3, ["a", 3], {"a": 1}])
def test_a_stop_is_text(until: Any) -> None:
    with pytest.raises(UsageError, match="'until' is text or a list of texts"):
        read_decoding({"until": until})


def test_settings_that_decode_alike_have_one_key() -> None:
    one = read_decoding({"max_new_tokens": 4, "temperature": 0.0})
    assert one.key == read_decoding({"do_sample": False, "max_new_tokens": 4}).key
    assert one.key != read_decoding({"max_new_tokens": 5}).key
