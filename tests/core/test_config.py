"""Options from plain data: strict types, near names, merging."""

from pathlib import Path
from typing import Any, Literal, Optional

import pytest

from retake import PrefillOptions, RunConfig, UsageError, VideoOptions
from retake.core import config
from retake.core.type_words import in_words
from retake.evaluation.grid import Point
from retake.scorers.clip import Clip
from retake.selectors.dpselect import DPSelect


@pytest.mark.parametrize(
    ("cls", "values", "message"),
    [
        (VideoOptions, {"fsp": 1}, r"Unknown option 'fsp'\.\nDid you mean 'fps'"),
        (VideoOptions, {"fps": "2"}, "fps must be a number or null, got '2'"),
        (VideoOptions, {"fps": 0}, "fps must be above 0, got 0"),
        (VideoOptions, {"fps": float("inf")}, "fps must be above 0"),
        (VideoOptions, {"max_frames": 2.5}, "max_frames must be a whole number or null, got 2.5"),
        (VideoOptions, {"max_frames": True}, "max_frames must be a whole number or null, got True"),
        (VideoOptions, {"reader": "decrod"}, "Did you mean 'decord'"),
        (Point, {"positions": "foo"}, r"Unknown positions .* 'foo'\.\nAllowed: original, reforge"),
        (Point, {"keep_ratio": [1]}, r"keep_ratio must be a number or null, got \[1\]"),
        (PrefillOptions, {"budget": 0}, "budget must be at least 1, got 0"),
        (PrefillOptions, {"keep_ratio": 1.5}, "keep_ratio must be above 0 and at most 1, got 1.5"),
        (PrefillOptions, {"keep_ratio": float("nan")}, "keep_ratio must be above 0"),
        (PrefillOptions, {"budget": 5, "keep_ratio": 0.5}, "exclude each other"),
        (DPSelect, {"window": 4}, "window must be odd and at least 1, got 4"),
        (DPSelect, {"per_patch": "no"}, "per_patch must be true or false, got 'no'"),
        (RunConfig, {"video": 3}, "'video' holds options, got 3"),
        (RunConfig, {"vidoe": {}}, "Did you mean 'video'"),
        (RunConfig, {"video": {"fsp": 1}}, "Did you mean 'fps'"),
        (RunConfig, {"seed": -1}, "seed must be at least 0"),
        (Clip, {"batch": 3}, r"Missing option: path\."),
    ],
)
def test_wrong_options_are_refused(cls: Any, values: dict[str, Any], message: str) -> None:
    """Each wrong value is an error that names the option, the rule and the value."""
    with pytest.raises(UsageError, match=message.replace("|", r"\|")):
        config.structure(cls, values, "option")


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (int, "a whole number"),
        (float | None, "a number or null"),
        (Optional[Literal["a", "b"]], "a or b or null"),  # noqa: UP045 - as types are resolved
        (Literal["a", "b", "c"], "a, b or c"),
        (tuple[float, ...], "numbers"),
        (tuple[str, ...] | None, "texts or null"),
        (tuple[int, int], "2 whole numbers"),
        (tuple[int, str], "a list of a whole number, text"),
        (tuple[Literal["a", "b"], ...], "one or more of a, b"),
        (list[dict[str, int]], "a list, each a mapping"),
        (dict[str, float], "a mapping"),
        (Path, "Path"),
    ],
)
def test_types_in_words(kind: Any, words: str) -> None:
    """What is allowed is said as it is written, not as Python annotates it."""
    assert in_words(kind) == words


def test_whole_numbers_are_numbers() -> None:
    """An integer is accepted where a float is asked for, and becomes one."""
    made = config.structure(VideoOptions, {"fps": 2}, "option")
    assert made.fps == 2.0
    assert isinstance(made.fps, float)


def test_configuration_survives_a_round_trip() -> None:
    """Plain data of a configuration makes the same configuration."""
    made = RunConfig(seed=3, video=VideoOptions(fps=None))
    assert config.structure(RunConfig, config.unstructure(made), "option") == made


def test_merge_lets_the_second_win() -> None:
    """Key by key, except that a part of another name starts afresh."""
    base = {"video": {"fps": 1, "max_frames": 8}, "selector": {"name": "a", "options": {"x": 1}}}
    over = {"video": {"fps": 2}, "selector": {"name": "b"}}
    merged = config.merge(base, over)
    assert merged == {"video": {"fps": 2, "max_frames": 8}, "selector": {"name": "b"}}
    same_name = config.merge(base, {"selector": {"name": "a", "options": {"y": 2}}})
    assert same_name["selector"]["options"] == {"x": 1, "y": 2}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [1", r"not valid YAML: .* \(line 1\)"),
        ("- 1", "must hold options by name, not a list"),
    ],
)
def test_bad_yaml(tmp_path: Path, text: str, message: str) -> None:
    """A YAML file that is broken, or no mapping, is an error that names it."""
    path = tmp_path / "given.yaml"
    path.write_text(text)
    with pytest.raises(UsageError, match=message) as caught:
        config.read_yaml(path)
    assert "given.yaml" in str(caught.value)


def test_missing_yaml(tmp_path: Path) -> None:
    """So is one that is not there, or is binary."""
    with pytest.raises(UsageError, match="Cannot read the configuration"):
        config.read_yaml(tmp_path / "none.yaml")
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match="Cannot read the configuration"):
        config.read_yaml(tmp_path / "binary.yaml")


@pytest.mark.parametrize(
    ("text", "value"),
    [("1", 1), ("0.5", 0.5), ("true", True), ("null", None), ("abc", "abc"), ("[1, 2]", [1, 2])],
)
def test_values_from_the_command_line(text: str, value: Any) -> None:
    """Values are read as YAML reads them."""
    assert config.parse_value(text) == value


def test_set_path_through_a_value() -> None:
    """A dotted path cannot go through something that is no mapping."""
    with pytest.raises(UsageError, match="goes through 'fps'"):
        config.set_path({"fps": 3}, "fps.x", 1)


@pytest.mark.parametrize(
    ("old", "new", "want"),
    [
        # what is in brackets takes the place of what was inside, in either form
        (
            {"name": "a", "options": {"of": {"name": "b"}, "x": 1}},
            {"name": "a", "of": {"name": "c"}},
            {"name": "a", "options": {"x": 1}, "of": {"name": "c"}},
        ),
        (
            {"name": "a", "of": {"name": "b"}},
            {"name": "a", "options": {"of": {"name": "c"}}},
            {"name": "a", "options": {"of": {"name": "c"}}},
        ),
        # nothing new inside: what was there stays
        (
            {"name": "a", "of": {"name": "b"}, "options": {"x": 1}},
            {"name": "a", "options": {"x": 2}},
            {"name": "a", "of": {"name": "b"}, "options": {"x": 2}},
        ),
    ],
)
def test_a_part_inside_is_replaced(
    old: dict[str, Any], new: dict[str, Any], want: dict[str, Any]
) -> None:
    """Later layers win, whichever way a part inside another is written."""
    assert config.merge({"compressor": old}, {"compressor": new}) == {"compressor": want}
