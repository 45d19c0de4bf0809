"""A benchmark's own figures: values as it says, intervals that hold the truth."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest

import retake
from retake.core.benchmark import Marked
from retake.evaluation.figures import figures
from retake.evaluation.statistics import estimate


class Macro(retake.Benchmark):
    """The mean over kinds of their mean score."""

    def samples(self) -> Sequence[retake.Sample]:
        return ()

    def mark(self, sample: retake.Sample, answer: str) -> float:
        return 0.0

    def metrics(self, marked: Sequence[Marked]) -> Mapping[str, float]:
        kinds: dict[str, list[float]] = {}
        for each in marked:
            kinds.setdefault(each.kind, []).append(each.score or 0.0)
        return {"macro": float(np.mean([np.mean(scores) for scores in kinds.values()]))}


def marked(scores: Sequence[float], videos: Sequence[int], kinds: Sequence[str]) -> list[Marked]:
    """Answers with these scores."""
    return [
        Marked(str(at), f"v{video}", kind, {}, (), "A", "A", "A", score)
        for at, (score, video, kind) in enumerate(zip(scores, videos, kinds, strict=True))
    ]


def test_a_macro_mean_with_its_interval() -> None:
    """A kind with one question weighs as much as one with three."""
    some = marked([1, 1, 1, 0], [0, 1, 2, 3], ["a", "a", "a", "b"])
    (found,) = figures(Macro(), some).metrics
    assert (found["name"], found["value"], found["scale"]) == ("macro", 0.5, [0, 1])
    assert found["low"] < 0.5 < found["high"]
    assert figures(Macro(), some).metrics == (found,)  # the same numbers every time


def test_intervals_hold_the_truth_about_as_often_as_they_say() -> None:
    """Videos that agree within themselves: 95 % intervals, of 100 made-up benchmarks."""
    random = np.random.default_rng(7)
    held = 0
    for _ in range(100):
        videos = np.repeat(np.arange(12), 4)
        likely = np.repeat(random.uniform(0.3, 0.9, 12), 4)
        scores = (random.random(48) < likely).astype(float)
        (found,) = figures(Macro(), marked(scores.tolist(), videos.tolist(), ["a"] * 48)).metrics
        held += found["low"] <= 0.6 <= found["high"]
    assert 88 <= held <= 100


def test_one_video_says_nothing_of_others() -> None:
    """No interval then, and no figures without answers."""
    (found,) = figures(Macro(), marked([1, 0], [0, 0], ["a", "b"])).metrics
    assert (found["value"], found["low"], found["high"]) == (0.5, None, None)
    assert figures(Macro(), []).metrics == ()


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"m": float("nan")}, "must return finite numbers by name"),
        ({"m": "1"}, "must return finite numbers by name"),
        ({3: 1.0}, "must return finite numbers by name"),
        ({"m": True}, "must return finite numbers by name"),
        ({"m": 4.2}, "outside 0 … 1"),
    ],
)
def test_what_is_wrong_with_figures_is_told(wrong: Any, says: str) -> None:
    """And not raised: the answers behind them took days."""
    odd = type("Odd", (Macro,), {"metrics": lambda self, marked: wrong})
    found = figures(odd(), marked([1], [0], ["a"]))
    assert found.metrics == ()
    assert says in str(found.trouble)
    assert "Odd.metrics()" in str(found.trouble)


def test_a_metric_that_fails_is_named() -> None:
    """As every part's code is."""
    broken = type("Broken", (Macro,), {"metrics": lambda self, marked: {}["gone"]})
    assert "Broken.metrics() failed" in str(figures(broken(), marked([1], [0], ["a"])).trouble)


def test_a_metric_that_fails_on_a_part_has_no_interval() -> None:
    """Its value is told all the same."""

    class Fragile(Macro):
        def metrics(self, marked: Sequence[Marked]) -> Mapping[str, float]:
            first = [each.score or 0.0 for each in marked if each.video == "v0"]
            return {"first": sum(first) / len(first)}

    found = figures(Fragile(), marked([1, 0, 1], [0, 1, 2], ["a"] * 3))
    assert found.metrics[0]["value"] == 1
    assert found.metrics[0]["low"] is None
    assert "no intervals" in str(found.trouble)


def test_few_videos_that_agree_say_little() -> None:
    """Two videos, all right: that another would be is likely, not certain."""
    (found,) = figures(Macro(), marked([1] * 6, [0, 0, 0, 1, 1, 1], ["a"] * 6)).metrics
    assert found["value"] == found["high"] == 1
    assert found["low"] < 0.5


class Parts(Macro):
    """Kinds apart, and a judge's points."""

    @property
    def scales(self) -> Mapping[str, tuple[float, float]]:
        return {"points": (1.0, 5.0)}

    def metrics(self, marked: Sequence[Marked]) -> Mapping[str, float]:
        found = {}
        for kind in ("a", "b"):
            scores = [each.score for each in marked if each.kind == kind and each.score is not None]
            if scores:
                found[kind] = float(np.mean(scores))
        points = [each.aspects["points"] for each in marked if each.aspects]
        return {**found, "points": float(np.mean(points))} if points else found


def test_a_figure_of_few_of_many_videos() -> None:
    """Kind b is asked about two of twenty videos: the other eighteen say nothing of it."""
    some = marked([1, 0] * 9 + [1, 1], range(20), ["a"] * 18 + ["b"] * 2)
    a, b = figures(Parts(), some).metrics
    assert b["value"] == 1
    assert b["low"] < 0.5
    assert a["high"] - a["low"] < b["high"] - b["low"]


def test_points_of_a_judge() -> None:
    """They are beyond 1, and have no scores behind them."""
    some = [
        Marked(str(at), f"v{at}", "w", {}, (), None, "said", "said", None, 0.0, {"points": points})
        for at, points in enumerate((3.0, 4.0, 5.0, 4.0, 2.0, 4.0))
    ]
    (found,) = figures(Parts(), some).metrics
    assert 1 <= found["low"] < found["value"] < found["high"] <= 5
    alike = [
        Marked("1", f"v{at}", "w", {}, (), None, "", "", None, 0.0, {"points": 4.0})
        for at in (1, 2)
    ]
    (same,) = figures(Parts(), alike).metrics
    assert (same["value"], same["scale"], same["low"], same["high"]) == (4.0, [1, 5], None, None)


def test_points_rest_on_what_was_judged() -> None:
    """Videos that no judge looked at say nothing of them."""
    judged = [
        Marked(str(at), f"v{at}", "w", {}, (), None, "", "", None, 0.0, {"points": points})
        for at, points in enumerate((3.0, 4.0, 5.0, 4.0))
    ]
    others = marked([1.0] * 60, range(10, 70), ["a"] * 60)
    (alone,) = figures(Parts(), judged).metrics
    (_, among) = figures(Parts(), [*judged, *others]).metrics
    assert among["high"] - among["low"] > 0.7 * (alone["high"] - alone["low"])


def test_a_plain_mean_has_the_interval_of_the_accuracy() -> None:
    """One number, one interval."""
    scores, videos = [1, 1, 0, 1, 1, 0, 1, 1], [0, 0, 1, 1, 2, 2, 3, 3]
    (found,) = figures(Macro(), marked(scores, videos, ["a"] * 8)).metrics
    whole = estimate(scores, videos)
    assert (found["low"], found["high"]) == (whole.low, whole.high)
