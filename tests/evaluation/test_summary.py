"""Breakdowns and costs of samples, as every page and table shows them."""

import json
from typing import Any

import attrs
import pytest

from retake.evaluation.statistics import estimate
from retake.evaluation.summary import breakdown, costs, score, summarise


def _sample(number: int, **changes: Any) -> dict[str, Any]:
    """A line of samples.jsonl: two questions a video, every third answer wrong."""
    return {
        "id": f"q{number}",
        "watch": number // 2,
        "video": f"v{number // 2}.mp4",
        "kind": ("needle", "count")[number % 2],
        "groups": {"seconds": 64.0 * 2 ** (number // 4), "seed": number // 6},
        "score": float(number % 3 > 0),
        "chance": 0.25,
        "cache_tokens": [100 + number, 90],
        "achieved_ratio": 0.5,
        "kv_bytes": 1000,
        "kv_bytes_full": 4000,
        "seconds": {"decode": 1.0, "prefill": 2.0 + number // 2, "answer": 0.1 * (number + 1)},
        "first_token_seconds": 0.5,
        "token_seconds": None,
        "over_budget": number == 3,
        **changes,
    }


_SAMPLES = [_sample(number) for number in range(12)]


def test_overall() -> None:
    """The mean score, its interval over videos, questions and videos, and chance."""
    whole = estimate([each["score"] for each in _SAMPLES], [each["video"] for each in _SAMPLES])
    assert summarise(_SAMPLES)["overall"] == {
        "accuracy": pytest.approx(8 / 12),
        "low": whole.low,
        "high": whole.high,
        "questions": 12,
        "videos": 6,
        "chance": 0.25,
    }


def test_parts_add_up() -> None:
    """Every breakdown by what all samples have counts each of them once, in ascending order."""
    found = summarise(_SAMPLES)
    parts = [
        found["kinds"],
        *found["groups"].values(),
        *(each["cells"] for each in found["crossed"]),
    ]
    assert len(parts) == 4
    for part in parts:
        assert sum(each["questions"] for each in part) == 12
        right = sum(each["accuracy"] * each["questions"] for each in part)
        assert right == pytest.approx(8)
    assert [each["seconds"] for each in found["groups"]["seconds"]] == [64, 128, 256]
    assert [each["kind"] for each in found["kinds"]] == ["count", "needle"]


def test_samples_without_a_group_are_left_out() -> None:
    """Only some questions have a depth."""
    some = [
        _sample(0, groups={"depth": 0.5, "seconds": 64.0}),
        _sample(1, groups={"seconds": 64.0}),
    ]
    found = summarise(some)
    assert [each["questions"] for each in found["groups"]["depth"]] == [1]
    assert [each["questions"] for each in found["groups"]["seconds"]] == [2]
    crossed = {(each["rows"], each["columns"]): each["cells"] for each in found["crossed"]}
    assert (
        crossed["depth", "seconds"][0] | {"depth": 0.5, "seconds": 64.0, "questions": 1}
        == (crossed["depth", "seconds"][0])
    )


def test_many_numbers_are_shown_in_ranges() -> None:
    """Fifths of 0 … 1, its end included; powers of two beyond."""
    depths = [number / 20 for number in range(21)]
    found = breakdown([_sample(0, groups={"depth": depth}) for depth in depths], "depth")
    assert [each["depth_range"] for each in found] == [
        [0, 0.2],
        [0.2, 0.4],
        [0.4, 0.6],
        [0.6, 0.8],
        [0.8, 1],
    ]
    assert [each["questions"] for each in found] == [4, 4, 4, 4, 5]
    lengths = [_sample(0, groups={"seconds": float(each)}) for each in range(1, 33)]
    found = breakdown(lengths, "seconds")
    assert [each["seconds_range"][0] for each in found] == [1, 2, 4, 8, 16, 32]
    assert sum(each["questions"] for each in found) == 32


def test_named_groups_and_seeds_are_never_ranges() -> None:
    """A seed is a name, though it is a number."""
    many = [_sample(0, groups={"seed": number, "topic": f"t{number:02}"}) for number in range(20)]
    assert len(breakdown(many, "seed")) == 20
    assert [each["topic"] for each in breakdown(many, "topic")][:2] == ["t00", "t01"]


def test_costs_count_a_watch_once() -> None:
    """Six watches answered twelve questions: watching is not paid for twice."""
    found = costs(_SAMPLES)
    assert (found["watches"], found["answers"]) == (6, 12)
    assert found["seconds"]["decode"] == {"mean": 1, "median": 1, "total": 6}
    assert found["seconds"]["prefill"]["total"] == pytest.approx(2 * 6 + sum(range(6)))
    assert found["seconds"]["answer"]["total"] == pytest.approx(7.8)
    assert found["kv_share"] == {"mean": 0.25, "median": 0.25, "max": 0.25}
    assert found["cache_tokens"]["max"] == 111
    assert found["token_seconds"] is None
    assert found["over_budget"] == 1
    assert found["peak_bytes"] is None


def test_costs_count_a_shared_encoding_once() -> None:
    """Watched anew for each question, from one encoding: it was paid for once."""
    shared = [
        _sample(
            number,
            watch=number,
            seconds={"decode": 1.0 + number // 2, "encode": 3.0, "look": 0.5, "prefill": 2.0},
        )
        for number in range(4)
    ]
    found = costs(shared)
    assert found["watches"] == 4
    assert found["seconds"]["decode"] == {"mean": 1.5, "median": 1.5, "total": 3}
    assert found["seconds"]["encode"]["total"] == 6
    assert found["seconds"]["look"]["total"] == 1
    assert found["seconds"]["prefill"]["total"] == 8


def test_peak_comes_from_the_watches() -> None:
    """The highest of all stages of all videos."""
    stages = [{"name": "decode", "peak_bytes": 5}, {"name": "prefill", "peak_bytes": 9}]
    assert (
        costs(_SAMPLES, [{"costs": stages}, {"costs": [{"peak_bytes": None}]}])["peak_bytes"] == 9
    )


def test_a_run_that_has_not_begun() -> None:
    """No samples, no numbers; and no failure."""
    found = summarise([])
    assert found["overall"] is None
    assert found["kinds"] == []
    assert found["costs"]["answers"] == 0


def test_objects_serve_as_lines_do_and_all_is_json() -> None:
    """Records need not be mappings; what comes out can be written as it is."""
    line = attrs.make_class("Line", list(_SAMPLES[0]))
    assert summarise([line(**each) for each in _SAMPLES]) == summarise(_SAMPLES)
    assert json.loads(json.dumps(summarise(_SAMPLES))) == summarise(_SAMPLES)


def test_fractional_scores() -> None:
    """Not every benchmark marks right or wrong."""
    assert score([_sample(0, score=0.5), _sample(2, score=0.25)])["accuracy"] == 0.375
