"""The harness that benchmarks share: turns, ratios, a process tree's memory, saved results."""

import argparse
import json
import sys
import time
from pathlib import Path

import pytest

from benchmarks import harness

MIB = 2**20


def test_cases_take_turns_and_warmup_does_not_count() -> None:
    order: list[str] = []
    cases = {"a": lambda: order.append("a"), "b": lambda: order.append("b")}
    seconds = harness.interleaved(cases, rounds=2, warmup=1)
    assert order == ["a", "b"] * 3
    assert {name: len(times) for name, times in seconds.items()} == {"a": 2, "b": 2}


def test_seconds_are_the_case_s_own() -> None:
    seconds = harness.interleaved({"nap": lambda: time.sleep(0.02)}, rounds=1, warmup=0)
    assert seconds["nap"][0] >= 0.02


def test_a_ratio_is_taken_round_by_round() -> None:
    spread = harness.ratio([2.0, 30.0, 8.0], [1.0, 10.0, 2.0])
    assert (spread.median, spread.low, spread.high) == (3.0, 2.0, 4.0)
    assert spread.text(1, "×") == "3.0 × (2.0 to 4.0)"


def test_rounds_that_do_not_match_are_refused() -> None:
    with pytest.raises(ValueError, match="zip"):
        harness.ratio([1.0, 2.0], [1.0])


_HOLD = "x = bytearray(b'1') * ({mib} << 20); import time; time.sleep(0.3); print('{{\"a\": 1}}')"
_WITH_CHILD = (
    "import subprocess, sys; x = bytearray(b'1') * (60 << 20);"
    "subprocess.run([sys.executable, '-c', \"{child}\"], check=True); print('{{\"a\": 2}}')"
)


def test_the_peak_of_a_process_is_what_it_held() -> None:
    small = harness.peak_of([sys.executable, "-c", _HOLD.format(mib=1)])
    large = harness.peak_of([sys.executable, "-c", _HOLD.format(mib=101)])
    assert large.reply == {"a": 1}
    assert 90 * MIB < large.peak_bytes - small.peak_bytes < 115 * MIB
    assert large.seconds >= 0.3


def test_children_are_weighed_with_their_parent() -> None:
    child = "x = bytearray(b'1') * (80 << 20); import time; time.sleep(0.3)"
    found = harness.peak_of([sys.executable, "-c", _WITH_CHILD.format(child=child)])
    assert found.tree_bytes > 140 * MIB
    assert found.main_bytes < 100 * MIB
    assert found.peak_bytes == found.tree_bytes


def test_a_command_that_fails_says_why() -> None:
    with pytest.raises(RuntimeError, match="no such luck"):
        harness.peak_of([sys.executable, "-c", "raise SystemExit('no such luck')"])


def test_results_are_saved_with_machine_and_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(harness, "RESULTS", tmp_path)
    monkeypatch.setattr(sys, "argv", ["x", "--rounds", "2"])
    result = harness.Result([["what", "s"], ["one", 1.5]], ["A note."], {"raw": [1, 2]})
    harness.finish("thing", result, argparse.Namespace(quick=False, save=False))
    saved = json.loads((tmp_path / "thing.json").read_text())
    assert saved["table"] == [["what", "s"], ["one", 1.5]]
    assert saved["notes"] == ["A note."]
    assert saved["data"] == {"raw": [1, 2]}
    assert saved["command"] == "python -m benchmarks.thing --rounds 2"
    assert saved["machine"]["cores"] >= 1
    assert "| what | s |\n| --- | ---: |\n| one | 1.5 |" in capsys.readouterr().out


def test_a_quick_look_saves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(harness, "RESULTS", tmp_path)
    result = harness.Result([["what"], ["one"]])
    harness.finish("thing", result, argparse.Namespace(quick=True, save=False))
    assert list(tmp_path.iterdir()) == []
