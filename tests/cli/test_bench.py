"""`retake bench`: the document adds up, variants compare, and wrong requests are refused."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from retake_cli import bench_report
from retake_cli.bench_record import Line, Spread

from retake.datasets.scenes import Clip
from tests.cli.conftest import Run

SIDES = ("--compressor", "none", "--compressor", "pivotkv", "--keep-ratio", "0.25")


@pytest.fixture(scope="module")
def compared() -> dict[str, Any]:
    """The document of a real process: two compressors on a bundled clip."""
    words = ("bench", "clip:short", *SIDES, "--json", "--repeat", "2", "--max-new-tokens", "3")
    done = subprocess.run(
        [sys.executable, "-m", "retake_cli", *words],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)


@pytest.fixture
def benched(retake: Run, scene: Clip, checkpoint: Path) -> Run:
    """`retake bench` once on the scene with the tiny model, and whatever words a test adds."""

    def run(*words: str | Path) -> Any:
        few = ("--repeat", "1", "--max-new-tokens", "3")
        return retake("bench", scene.path, "--model", checkpoint, *few, *words)

    return run


def test_document_says_what_was_run(compared: dict[str, Any]) -> None:
    """All that is needed to run it again, and to judge it."""
    assert compared["format"] == "retake.bench/1"
    assert set(compared) >= {
        "video",
        "question",
        "repeats",
        "variants",
        "model",
        "machine",
        "peak",
        "seed",
        "versions",
        "command",
    }
    assert compared["repeats"] == 2
    assert compared["machine"]["threads"] >= 1
    assert compared["peak"]["matmul"]["dtype"] == compared["model"]["dtype"] == "float32"
    labels = [variant["label"] for variant in compared["variants"]]
    assert labels == ["none", "pivotkv"]
    for variant, label in zip(compared["variants"], labels, strict=True):
        assert variant["config"]["compressor"]["name"] == label
        assert variant["generated_tokens"] == 3
        assert len(variant["runs"]) == 2
        assert variant["frames"]["count"] == len(variant["frames"]["timestamps"]) > 0
        assert variant["flops"]["uncounted_weights"] == 0


def test_compression_shows_in_bytes_and_operations(compared: dict[str, Any]) -> None:
    """A quarter is kept beside everything; encoding is the same; scoring costs operations."""
    none, pivot = compared["variants"]
    assert none["config"]["prefill"]["keep_ratio"] is None
    assert pivot["config"]["prefill"]["keep_ratio"] == 0.25
    selected, text = (none["compression"][key] for key in ("tokens_selected", "text_tokens"))
    assert pivot["compression"]["achieved_ratio"] == pytest.approx(0.25, abs=1 / selected)
    pairs = text + selected * pivot["compression"]["achieved_ratio"]
    assert pivot["kv_ratio"] == pivot["kv_bytes"] / none["kv_bytes"]
    assert pivot["kv_ratio"] == pytest.approx(pairs / (text + selected))
    assert none["kv_ratio"] == 1
    counts = [variant["flops"]["watch"] for variant in (none, pivot)]
    assert counts[0]["encoder"] == counts[1]["encoder"]
    assert counts[0]["language"]["linear"] == counts[1]["language"]["linear"]
    assert counts[0]["language"]["attention"] >= counts[1]["language"]["attention"]
    assert "mass" not in counts[0]["language"]
    assert counts[1]["language"]["mass"] > 0
    tokens = [
        sum(each["language"]["attention"] for each in variant["flops"]["further_tokens"])
        for variant in (none, pivot)
    ]
    assert tokens[0] > tokens[1] > 0


def test_times_and_rates_agree(compared: dict[str, Any]) -> None:
    """Medians lie between their extremes, waits contain their stages, rates follow from counts."""
    peak = compared["peak"]["matmul"]["flops_per_second"]
    for variant in compared["variants"]:
        lines = [variant[key] for key in ("watch_to_first_token", "further_token")]
        stages = {line["name"]: line for line in variant["stages"]}
        assert set(stages) >= {"open", "decode", "encode", "select", "prefill", "answer"}
        for line in (*lines, *stages.values()):
            seconds = line["seconds"]
            assert 0 < seconds["min"] <= seconds["median"] <= seconds["max"]
            if line["flops"] is None:
                assert line["fraction_of_peak"] is None
                continue
            assert line["flops_per_second"] == pytest.approx(line["flops"] / seconds["median"])
            assert line["fraction_of_peak"] == pytest.approx(line["flops_per_second"] / peak)
            assert line["floor_seconds"] == pytest.approx(line["flops"] / peak)
        for name in ("encode", "prefill", "answer"):
            assert stages[name]["flops"] > 0
        wait = variant["watch_to_first_token"]["flops"]
        first = variant["question_to_first_token"]["flops"]
        assert wait == stages["encode"]["flops"] + stages["prefill"]["flops"] + first
        for run in variant["runs"]:
            spent = sum(cost["seconds"] for cost in run["stages"] if cost["name"] != "answer")
            assert run["watch_seconds"] >= spent * 0.999


def test_peaks_are_of_the_host_and_the_device(compared: dict[str, Any]) -> None:
    """Each stage has both; on the CPU they are the process's."""
    for variant in compared["variants"]:
        for line in variant["stages"]:
            assert line["host_peak_bytes"] > 50 * 1024**2
            assert line["device_peak_bytes"] == pytest.approx(line["host_peak_bytes"], rel=0.05)


def test_ratios_pair_the_runs(compared: dict[str, Any]) -> None:
    """Each repeat is divided by the first variant's of the same turn."""
    none, pivot = compared["variants"]
    assert none["further_token"]["ratio"] is None
    ratios = [
        mine["token_seconds"] / base["token_seconds"]
        for mine, base in zip(pivot["runs"], none["runs"], strict=True)
    ]
    ratio = pivot["further_token"]["ratio"]
    assert ratio["min"] == pytest.approx(min(ratios))
    assert ratio["max"] == pytest.approx(max(ratios))


def test_report_shows_both_variants(benched: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """The table for people: times, memory and operations of each, ratios to the first."""
    monkeypatch.setenv("COLUMNS", "120")
    result = benched(*SIDES)
    assert (result.code, result.err) == (0, "")
    for words in ("none", "pivotkv", "Question → first token (TTFT)", "prefill", "FLOP", "×"):
        assert words in result.out
    assert "0.25 achieved" in result.out


@pytest.mark.parametrize("width", [80, 100])
def test_report_fits_the_terminal(
    benched: Run, monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    """Nothing sticks out, nothing is cut off, and a stage is one line."""
    monkeypatch.setenv("COLUMNS", str(width))
    lines = benched(*SIDES).out.splitlines()
    assert max(map(len, lines)) <= width
    assert not any("…" in line for line in lines)
    prefill = [line for line in lines if line.startswith("prefill ")]
    assert len(prefill) == 2
    assert all("FLOP" in line and "%" in line for line in prefill)


def test_selectors_and_compressors_are_combined(benched: Run) -> None:
    """Every selector with every compressor, options in the name; the same twice is numbered."""
    words = ("--selector", "none", "--selector", "uniform:keep_ratio=0.5", "--keep-ratio", "0.5")
    data = benched(*words, "--compressor", "pivotkv", "--compressor", "pivotkv", "--json").data
    assert [variant["label"] for variant in data["variants"]] == [
        "none + pivotkv",
        "none + pivotkv (2)",
        "uniform:keep_ratio=0.5 + pivotkv",
        "uniform:keep_ratio=0.5 + pivotkv (2)",
    ]
    whole, _, half, _ = (variant["compression"] for variant in data["variants"])
    assert half["tokens_selected"] == whole["tokens_selected"] // 2


def test_frames_makes_a_video(retake: Run, checkpoint: Path) -> None:
    """Every frame of the synthetic video is sampled; one alone is named by both parts."""
    words = ("--frames", "12", "--long-side", "56", "--repeat", "1", "--max-new-tokens", "1")
    result = retake("bench", "--model", checkpoint, *words, "--json")
    assert result.code == 0, result.err
    (variant,) = result.data["variants"]
    assert variant["label"] == "dpselect + pivotkv"
    assert variant["frames"]["count"] == 12
    assert variant["frames"]["indices"] == list(range(12))
    assert (variant["file"]["width"], variant["file"]["height"]) == (56, 56)
    # One token has no further one.
    assert "further_token" not in variant
    assert variant["runs"][0]["token_seconds"] is None


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("clip:short", "--frames", "8"), "--frames makes a video"),
        (("clip:shrot",), "short"),
        (("--frames", "0"), "--frames"),
        (("--repeat", "0"), "--repeat"),
        (("--frames", "8", "--fps", "2"), "--fps and --frames exclude each other"),
        (("--frames", "8", "--max-frames", "4"), "--max-frames and --frames exclude each other"),
        (("--beams", "2"), "single tokens"),
        (("--generate-option", "min_new_tokens=2"), "decided by the bench"),
        (("--compressor", "none", "--keep-ratio", "0.5"), "evicts nothing"),
        (("--compressor", "none", "--compressor", "pivotvk"), "pivotkv"),
        (
            ("--compressor", "pivotkv", "--compressor", "none", "--compressor-option", "a=1"),
            "which of 2 compressors",
        ),
        (("--question", " "), "question"),
    ],
)
def test_wrong_requests(retake: Run, words: tuple[str, ...], says: str) -> None:
    """Refused with exit code 2 and words that name what is wrong."""
    result = retake("bench", *words, "--max-new-tokens", "1")
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith("Error: ")
    assert says in result.err


def test_missing_video(retake: Run, tmp_path: Path) -> None:
    """A sound request that fails: exit code 1."""
    result = retake("bench", tmp_path / "none.mp4")
    assert (result.code, result.out) == (1, "")
    assert "none.mp4" in result.err


def test_help_is_quick() -> None:
    """Help imports neither torch nor retake."""
    code = (
        "import sys; from retake_cli.main import main; code = main(['bench', '-h']);"
        "sys.exit(code or 3 * bool({'torch', 'retake', 'rich'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=30)
    assert done.returncode == 0, done.stderr


def test_show_config_stops_before_loading(retake: Run) -> None:
    """The configurations as YAML, one a variant."""
    result = retake("bench", *SIDES, "--show-config", "--model", "/nowhere")
    assert result.code == 0, result.err
    first, second = result.out.split("---\n")
    assert "name: none" in first
    assert "keep_ratio: 0.25" in second


def test_device_memory_of_its_own_has_a_column() -> None:
    """Where the device's memory is not the host's, both are shown."""
    line = Line("prefill", Spread.of([1.0, 2.0, 3.0]), None, 3 * 1024**2, 5 * 1024**2)
    (_, cells) = next(bench_report._stage_rows([line], True))
    assert cells[:5] == ["prefill", "2.00 s (1.00–3.00 s)", "", "3.0 MiB", "5.0 MiB"]


def test_units_of_operations() -> None:
    """Three digits and a prefix."""
    assert bench_report.flops(2_580_000) == "2.58 MFLOP"
    assert bench_report.flops(999.9e9) == "1 TFLOP"
    assert bench_report.flops(7) == "7 FLOP"
