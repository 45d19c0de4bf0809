"""Runs against each other: paired, corrected, and refused where they are not of the same."""

import json
from pathlib import Path

import attrs
import pytest

from retake.core.errors import UsageError
from retake.evaluation.compare import compare, find_baseline, pair_up
from retake.evaluation.differing import changed
from tests.evaluation import made


def _often(every: int) -> made.Callable[[int], float]:
    return lambda number: float(number % every > 0)


_HALF = made.run("half", lambda number: float(number % 4 < 2))
_MORE = made.run("more", lambda number: float(number % 4 < 2 or number % 8 == 2))


def test_a_difference_is_of_the_same_questions() -> None:
    """Ten of eighty questions more are right, none fewer."""
    found = compare([_HALF, _MORE])["pairs"][0]
    assert (found["run"], found["baseline"], found["common"]) == ("more", "half", 80)
    whole = found["overall"]
    assert whole["difference"] == pytest.approx(0.125)
    assert (whole["baseline_accuracy"], whole["accuracy"]) == pytest.approx((0.5, 0.625))
    assert (whole["better"], whole["worse"]) == (10, 0)
    assert whole["low"] > 0
    assert whole["p_mcnemar"] == pytest.approx(2 / 2**10)
    assert whole["p"] < 0.01
    assert (whole["questions"], whole["videos"]) == (80, 40)


def test_breakdowns_add_up() -> None:
    """What was gained was gained in needles at 128 seconds."""
    found = compare([_HALF, _MORE])["pairs"][0]
    kinds = {each["kind"]: each["difference"] for each in found["kinds"]}
    assert kinds == {"needle": 0.25, "count": 0}
    lengths = {each["seconds"]: each["difference"] for each in found["groups"]["seconds"]}
    assert lengths == {64: 0, 128: 0.25}


def test_exchanged_runs_lose_what_was_gained() -> None:
    """The baseline is the first run, or the one that is named."""
    there = compare([_HALF, _MORE])["pairs"][0]["overall"]
    back = compare([_HALF, _MORE], baseline=1)["pairs"][0]["overall"]
    assert back["difference"] == -there["difference"]
    assert (back["low"], back["high"]) == pytest.approx((-there["high"], -there["low"]))
    assert find_baseline([_HALF, _MORE], "more") == 1
    assert find_baseline([_HALF, _MORE], "runs/more/") == 1
    with pytest.raises(UsageError, match="Unknown baseline 'mor'"):
        find_baseline([_HALF, _MORE], "mor")


def test_runs_in_progress_compare_what_both_have() -> None:
    """And how much only one of them has is said."""
    early = made.run("early", _often(3), answered=lambda number: number < 30)
    late = made.run("late", _often(3), answered=lambda number: number >= 10)
    found = compare([early, late])["pairs"][0]
    assert (found["common"], found["only_baseline"], found["only_run"]) == (20, 10, 50)
    assert found["overall"]["questions"] == 20


def test_several_runs_are_corrected_for() -> None:
    """Holm's p of each breakdown is over all runs; never below the p itself."""
    worst = made.run("worst", lambda number: 0.0)
    pairs = compare([_HALF, _MORE, worst])["pairs"]
    rows = [pair["overall"] for pair in pairs]
    assert all(row["p_corrected"] >= row["p"] for row in rows)
    assert max(row["p_corrected"] / row["p"] for row in rows) == pytest.approx(2)
    assert all("p_corrected" in row for pair in pairs for row in pair["groups"]["seconds"])


def test_costs_stand_side_by_side() -> None:
    """As means of the common samples, and their ratio."""
    small = made.run("small", _often(2), changes={"kv_bytes": 1250, "first_token_seconds": 0.02})
    costs = compare([_HALF, small])["pairs"][0]["costs"]
    assert costs["kv_bytes"] == {"baseline": 5000, "run": 1250, "ratio": 0.25}
    assert costs["first_token_seconds"]["ratio"] == pytest.approx(0.5)
    assert costs["prefill_seconds"]["ratio"] == 1
    assert costs["peak_bytes"]["run"] == 1039


def test_other_benchmarks_are_refused() -> None:
    """By name."""
    other = made.run("other", _often(2), header={"benchmark": made.BenchmarkRecord("videomme", {})})
    with pytest.raises(UsageError, match=r"'runs/half' is a run of scenes, .*of videomme"):
        compare([_HALF, other])


def test_other_questions_under_one_id_are_refused() -> None:
    """With the ids, and the options that explain it."""
    other = made.run(
        "other",
        _often(2),
        changes={"question": "What else?"},
        header={"benchmark": made.BenchmarkRecord("scenes", {"lengths": [64, 128], "seed": 1})},
    )
    with pytest.raises(
        UsageError, match="another question under the same id: q000, q001, q002 and 77"
    ):
        pair_up(_HALF, other)
    with pytest.raises(UsageError, match="differ: seed: 0 and 1"):
        pair_up(_HALF, other)


def test_other_videos_under_one_id_are_refused() -> None:
    """By their content; where they lie makes no difference."""
    other = made.run("other", _often(2), content=lambda video: f"{video + (video == 3):064}")
    with pytest.raises(UsageError, match="another video under the same id: q006, q007"):
        pair_up(_HALF, other)
    moved = made.run("moved", _often(2), changes={"video": "/elsewhere/v.mp4"})
    assert len(pair_up(_HALF, moved)) == 80


def _of_file(name: str, reference: str, code: dict[str, str]) -> made.RunRecords:
    """A run of a benchmark and a compressor from a file."""
    about = {
        "benchmark": made.BenchmarkRecord("./quiz.py:Quiz", {}),
        "config": {"compressor": {"name": reference, "options": {}}},
        "code": code,
    }
    return made.run(name, _often(2), header=about)


def test_one_file_under_two_names_is_one_file() -> None:
    """And what it held for each run is said where that differs."""
    first = _of_file("first", "./mine.py:Mine", {"./mine.py": "1"})
    same = _of_file("same", f"{Path.cwd()}/mine.py:Mine", {f"{Path.cwd()}/mine.py": "1"})
    other = _of_file("other", "mine.py:Mine", {"mine.py": "2"})
    one, another = compare([first, same, other])["pairs"]
    assert (one["configuration"], one["code"]) == ({}, {})
    assert (another["configuration"], another["code"]) == ({}, {"./mine.py": ["1", "2"]})
    renamed = attrs.evolve(
        other.header, benchmark=made.BenchmarkRecord(f"{Path.cwd()}/quiz.py:Quiz", {})
    )
    assert len(pair_up(first, attrs.evolve(other, header=renamed))) == 80


def test_a_run_is_one_run_by_any_path() -> None:
    """It cannot be compared with itself, and is found as the baseline."""
    twin = attrs.evolve(_HALF, folder=Path("runs/../runs/half"))
    with pytest.raises(UsageError, match="is given twice"):
        compare([_HALF, twin])
    assert find_baseline([_MORE, _HALF], "./elsewhere/../runs/half") == 1


def test_nothing_in_common_is_refused() -> None:
    """Not answered with an empty table."""
    first = made.run("first", _often(2), answered=lambda number: number < 40)
    second = made.run("second", _often(2), answered=lambda number: number >= 40)
    with pytest.raises(UsageError, match="no sample in common"):
        compare([first, second])
    with pytest.raises(UsageError, match="two runs or more, got 1"):
        compare([first])
    with pytest.raises(UsageError, match="'runs/first' is given twice"):
        compare([first, second, first])


def test_runs_of_one_name_go_by_their_folders() -> None:
    """As when two sweeps hold a cell of the same name."""
    twin = attrs.evolve(_HALF, folder=made.Path("elsewhere/half"))
    assert compare([_HALF, twin])["pairs"][0]["run"] == "elsewhere/half"


def test_a_comparison_is_json_and_the_same_twice() -> None:
    """Seeded throughout."""
    found = compare([_HALF, _MORE])
    assert json.loads(json.dumps(found)) == found == compare([_HALF, _MORE])


def test_changed_names_paths() -> None:
    """What differs between two configurations, nested."""
    first = {"compressor": {"name": "a", "options": {"x": 1}}, "seed": 0}
    second = {"compressor": {"name": "b", "options": {}}, "seed": 0}
    assert changed(first, second) == {
        "compressor.name": ["a", "b"],
        "compressor.options.x": [1, None],
    }
    assert compare([_HALF, _MORE])["pairs"][0]["configuration"] == {
        "compressor.name": ["half", "more"]
    }
