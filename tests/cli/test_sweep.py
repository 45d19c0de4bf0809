"""`retake sweep` and `retake compare`: real processes, killed, resumed, shown and refused."""

import json
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from retake_cli.sweep_grid import method_of

from retake.core.errors import UsageError
from retake.datasets.scenes.benchmark import Scenes
from retake.evaluation.sweep_folder import SweepRecords, read_sweep
from tests.cli.conftest import Run
from tests.cli.forking import Started

_KINDS = "kinds=[needle_colour,scene_start,scene_end]"
_TIMES = ("watch", "seconds", "first_token_seconds", "token_seconds")
_METHODS = ("--method", "full=none+none", "--method", "pivot=dpselect+pivotkv")


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four short videos of the scenes benchmark; do not change them."""
    root = tmp_path_factory.mktemp("scenes") / "videos"
    Scenes(root=str(root), lengths=(8, 16), videos=2, size=64).make()
    return root


def line(videos: Path, folder: Path, *more: str | Path) -> list[str | Path]:
    """The command on those videos."""
    options = [f"root={videos}", "lengths=[8,16]", "videos=2", "size=64", _KINDS]
    given = [word for option in options for word in ("--benchmark-option", option)]
    return ["sweep", "scenes", *given, "-o", folder, *more]


@pytest.fixture(scope="module")
def done(videos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A complete sweep of two methods at two ratios; do not change it."""
    from retake_cli.main import main

    folder = tmp_path_factory.mktemp("done") / "sweep"
    words = line(videos, folder, *_METHODS, "--keep-ratio", "1", "--keep-ratio", "0.5", "--json")
    assert main([str(word) for word in words]) == 0
    return folder


def timeless(sweep: SweepRecords) -> dict[str, list[dict[str, Any]]]:
    """Every run's samples without what differs from run to run."""
    return {
        name: [
            {key: value for key, value in json.loads(each).items() if key not in _TIMES}
            for each in (sweep.folder / name / "samples.jsonl").read_text().splitlines()
        ]
        for name in sweep.runs
    }


def kill_after(words: list[str | Path], folder: Path, count: int) -> None:
    """Start a sweep as a process, and kill -9 it once so many answers are on the disk."""
    with Started(words, stdout=subprocess.DEVNULL) as running:
        deadline = time.monotonic() + 120
        while _answers(folder) < count:
            assert running.poll() is None, running.communicate()[1]
            assert time.monotonic() < deadline
            time.sleep(0.002)
        running.send_signal(signal.SIGKILL)
    assert running.returncode == -signal.SIGKILL


def _answers(folder: Path) -> int:
    return sum(path.read_bytes().count(b"\n") for path in folder.glob("cells/*/samples.jsonl"))


def test_killed_and_resumed(retake: Run, videos: Path, done: Path, tmp_path: Path) -> None:
    """kill -9, twice, and a line cut in half: then the samples of an uninterrupted sweep."""
    folder = tmp_path / "sweep"
    words = line(videos, folder, *_METHODS, "--keep-ratio", "1", "--keep-ratio", "0.5", "--resume")
    for count in (4, 20):
        kill_after(words, folder, count)
    cut = next(path for path in folder.glob("cells/*/samples.jsonl") if path.stat().st_size)
    cut.write_bytes(cut.read_bytes()[:-9])
    resumed = retake(*words)
    assert resumed.code == 0, resumed.err
    assert "the last line was half-written and was dropped" in resumed.err
    assert timeless(read_sweep(folder)) == timeless(read_sweep(done))
    headers = [json.loads((each / "sweep.json").read_text())["cells"] for each in (folder, done)]
    assert headers[0] == headers[1]


def test_a_cell_has_the_numbers_of_eval(
    retake: Run, videos: Path, done: Path, tmp_path: Path
) -> None:
    """The same parts and ratio, evaluated alone."""
    words = line(videos, tmp_path / "run", "--selector", "dpselect", "--compressor", "pivotkv")
    alone = retake("eval", *words[1:], "--keep-ratio", "0.5", "--json")
    assert alone.code == 0, alone.err
    swept = retake(*_resumed(videos, done), "--json")
    cell = next(each for each in swept.data["cells"] if each["name"] == "pivot-keep-0.5")
    for key in ("overall", "kinds", "groups", "crossed"):
        assert alone.data["summary"][key] == cell["summary"][key]


def test_the_table_holds_the_numbers_of_the_document(retake: Run, videos: Path, done: Path) -> None:
    """Methods by ratios, overall and for each length; shared runs are marked."""
    shown = retake(*_resumed(videos, done))
    cells = {cell["name"]: cell for cell in retake(*_resumed(videos, done), "--json").data["cells"]}
    assert shown.code == 0
    rows = {line.split()[0]: line for line in shown.out.splitlines() if line.strip()}
    assert "keep 1" in rows["All"]
    assert "Length 0:16" in shown.out
    for name in ("full-keep-1", "pivot-keep-0.5"):
        share = 100 * cells[name]["summary"]["overall"]["accuracy"]
        assert f"{share:.1f}".removesuffix(".0") in shown.out
    assert "] =" in next(each for each in shown.out.splitlines() if each.startswith("full"))
    assert "the limit does not touch this method" in shown.out


def _resumed(videos: Path, folder: Path) -> list[str | Path]:
    """The complete sweep, asked for again."""
    ratios = ("--keep-ratio", "1", "--keep-ratio", "0.5")
    return line(videos, folder, *_METHODS, *ratios, "--resume")


_MINE = """
import retake
from attrs import frozen


@frozen
class Mine(retake.KVCompressor):
    \"\"\"Keep the keys of smallest norm.\"\"\"

    def score(self, chunk):
        return -chunk.keys.norm(dim=-1).mean(dim=0)
"""


def test_a_compressor_of_ones_own_through_sweep_compare_and_report(
    retake: Run, videos: Path, tmp_path: Path
) -> None:
    """From a file beside nothing else, as CONTRIBUTING.md has it."""
    (tmp_path / "mine.py").write_text(_MINE)
    own, folder = f"{tmp_path / 'mine.py'}:Mine", tmp_path / "sweep"
    words = line(videos, folder, "--selector", "none", "--compressor", "knorm")
    swept = retake(*words, "--method", f"mine=none+{own}", "--keep-ratio", "0.5")
    assert swept.code == 0, swept.err
    assert "mine" in swept.out
    found = read_sweep(folder)
    mine, knorm = (found.runs[f"cells/{name}-keep-0.5"] for name in ("mine", "none+knorm"))
    assert mine.header.config["compressor"]["name"] == own
    assert [each.answer for each in mine.samples] == [each.answer for each in knorm.samples]
    compared = retake("compare", folder, "--json")
    assert compared.data["pairs"][0]["overall"]["difference"] == 0
    assert retake("report", folder).code == 0
    assert "mine" in (folder / "report.html").read_text()


_QUIZ = """
from pathlib import Path
import attrs
import retake


@attrs.frozen
class Quiz(retake.Benchmark):
    \"\"\"Every video of a folder, asked the same.\"\"\"

    folder: str

    def samples(self):
        videos = sorted(Path(self.folder).glob("*.mp4"))
        return [retake.Sample(video.stem, video, "Did it flash?", "no", "sort") for video in videos]

    def mark(self, sample, answer):
        return answer == sample.answer
"""


def test_a_video_that_changed_between_cells(retake: Run, videos: Path, tmp_path: Path) -> None:
    """All cells are about the same videos: one that sees another file under a name is given up."""
    (tmp_path / "quiz.py").write_text(_QUIZ)
    ours = tmp_path / "videos"
    ours.mkdir()
    one, other, *_ = sorted(videos.glob("*.mp4"))
    shutil.copy(one, ours / "a.mp4")
    folder = tmp_path / "sweep"
    benchmark = f"{tmp_path / 'quiz.py'}:Quiz:folder={ours}"
    words = ["sweep", benchmark, "-o", folder, *_METHODS, "--keep-ratio", "0.5"]
    assert retake(*words).code == 0
    for name in ("samples.jsonl", "videos.jsonl"):
        (folder / "cells" / "pivot-keep-0.5" / name).unlink()
    shutil.copy(other, ours / "a.mp4")
    result = retake(*words, "--resume")
    assert result.code == 1
    assert "its content has changed" in result.err + result.out


def test_compare_says_that_code_differs(retake: Run, videos: Path, tmp_path: Path) -> None:
    """Two runs of one reference that held something else are compared, and it is noted."""
    file = tmp_path / "mine.py"
    words = ["--limit", "2", "--keep-ratio", "0.5", "--compressor", f"{file}:Mine"]
    for name, code in (("was", _MINE), ("now", _MINE.replace("-chunk", "+chunk"))):
        # A file of the same name elsewhere: a process imports a file once.
        (tmp_path / name).mkdir()
        (tmp_path / name / "mine.py").write_text(code)
        words[-1] = f"{tmp_path / name / 'mine.py'}:Mine"
        made = retake("eval", *line(videos, tmp_path / f"{name}-run")[1:], *words)
        assert made.code == 0, made.err
    path = tmp_path / "now-run" / "run.json"
    path.write_text(path.read_text().replace(f"{tmp_path}/now/mine.py", f"{tmp_path}/was/mine.py"))
    folders = [tmp_path / "was-run", tmp_path / "now-run"]
    compared = retake("compare", *folders)
    assert compared.code == 0, compared.err
    assert "was-run and now-run were run with different code in" in " ".join(compared.out.split())
    [pair] = retake("compare", *folders, "--json").data["pairs"]
    assert list(pair["code"]) == [f"{tmp_path}/was/mine.py"]


def test_compare_goes_by_places(
    retake: Run, done: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A baseline is found by any path; folders that are no runs are bad usage, damage is not."""
    monkeypatch.chdir(done / "cells")
    found = retake("compare", "pivot-keep-1", "./full", "--baseline", "../cells/full", "--json")
    assert (found.code, found.data["baseline"]) == (0, "full")
    (tmp_path / "lost").mkdir()
    shutil.copy(done / "cells" / "full" / "samples.jsonl", tmp_path / "lost")
    lost = retake("compare", "full", tmp_path / "lost")
    assert (lost.code, "its run.json is missing" in lost.err) == (1, True)
    assert retake("report", tmp_path / "lost").code == 1


def test_a_grid_in_yaml(retake: Run, videos: Path, tmp_path: Path) -> None:
    """Methods with options and exclusions; flags add methods and replace axes."""
    grid = {
        "methods": [
            {"name": "full", "selector": "none", "compressor": "none"},
            {
                "name": "pivot",
                "selector": {"name": "dpselect", "options": {"window": 5}},
                "compressor": "pyramidkv(pivotkv)",
                "prefill": {"chunk_frames": 8},
                "exclude": [{"keep_ratio": 0.5}],
            },
        ],
        "keep_ratios": [0.5, 0.25],
        "positions": ["original"],
        "config": {"video": {"fps": 1.0}},
    }
    path = tmp_path / "grid.yaml"
    path.write_text(yaml.safe_dump(grid))
    shown = retake("sweep", "--grid", path, "--show-config", "--method", "u=uniform+none")
    assert shown.code == 0, shown.err
    data = yaml.safe_load(shown.out)
    assert data["config"]["video"]["fps"] == 1
    names = [cell["name"] for cell in data["cells"]]
    assert names == [
        "full-keep-0.5-original",
        "full-keep-0.25-original",
        "pivot-keep-0.25-original",
        "u-keep-0.5-original",
        "u-keep-0.25-original",
    ]
    assert data["cells"][2]["compressor"] == "pyramidkv(pivotkv)"
    budgets = retake("sweep", "--grid", path, "--show-config", "--budget", "99")
    assert [cell["name"] for cell in yaml.safe_load(budgets.out)["cells"]][1] == (
        "pivot-budget-99-original"
    )
    swept = retake(*line(videos, tmp_path / "sweep", "--grid", path, "--limit", "3"))
    assert swept.code == 0, swept.err
    found = read_sweep(tmp_path / "sweep")
    assert found.complete
    run = found.runs["cells/pivot-keep-0.25-original"]
    assert run.header.config["selector"]["options"]["window"] == 5
    assert run.header.config["video"]["fps"] == 1


def test_selectors_and_compressors_are_combined(retake: Run) -> None:
    """Named by what there are several of."""
    words = ("--selector", "none", "--selector", "dpselect", "--compressor", "snapkv")
    data = yaml.safe_load(retake("sweep", *words, "--show-config").out)
    assert [cell["method"] for cell in data["cells"]] == ["none", "dpselect"]
    both = retake("sweep", *words, "--compressor", "tova", "--show-config").out
    assert [cell["method"] for cell in yaml.safe_load(both)["cells"]] == [
        "none + snapkv",
        "none + tova",
        "dpselect + snapkv",
        "dpselect + tova",
    ]
    (only,) = yaml.safe_load(retake("sweep", "--show-config").out)["cells"]
    assert (only["selector"], only["compressor"]) == ("dpselect", "pivotkv")


def test_a_cell_that_fails_makes_the_sweep_fail(retake: Run, videos: Path, tmp_path: Path) -> None:
    """Exit 1, the reason in the table's notes; the other cells are complete and compared."""
    budgets = ("--budget", "3", "--budget", "50", "--limit", "3")
    words = line(videos, tmp_path / "sweep", *_METHODS, *budgets)
    swept = retake(*words)
    assert swept.code == 1
    assert "Given up: pivot-budget-3" in swept.err
    assert "pivot-budget-3 was given up" in swept.out
    assert "failed" in swept.out
    assert read_sweep(tmp_path / "sweep").runs["cells/full"].complete
    compared = retake("compare", tmp_path / "sweep", "--json")
    assert [pair["run"] for pair in compared.data["pairs"]] == ["pivot-budget-50"]
    assert "pivot-budget-3 has answered nothing yet, and is left out" in compared.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "Missing argument 'BENCHMARK'"),
        (("scenes",), "Missing option '-o FOLDER'"),
        (("scenes", "--method", "full"), "--method takes [NAME=]SELECTOR+COMPRESSOR, got 'full'"),
        (("scenes", "--method", "a=none+none", "--method", "a=none+none"), "'a' is given twice"),
        (("scenes", "--compressor", "pivotvk"), "Did you mean 'pivotkv'"),
        (("scenes", "--keep-ratio", "2"), "above 0 and at most 1, got 2.0"),
        (("scenes", "--grid", "no.yaml"), "Cannot read the configuration 'no.yaml'"),
        (("scene", "-o", "x"), "Did you mean 'scenes'"),
    ],
)
def test_wrong_requests(retake: Run, words: tuple[str, ...], message: str) -> None:
    """Exit 2, saying what is wrong."""
    refused = retake("sweep", *words)
    assert refused.code == 2
    assert message in refused.err


def test_what_is_wrong_in_a_file_names_the_file(retake: Run, tmp_path: Path) -> None:
    """So that it is looked for in the right place."""
    path = tmp_path / "grid.yaml"
    path.write_text("methods: [{name: a, selectr: none}]")
    refused = retake("sweep", "--grid", path, "--show-config")
    assert refused.code == 2
    assert f"In '{path}': Unknown key of the method 'a' 'selectr'." in refused.err


def test_methods_are_read_from_a_line() -> None:
    """With or without a name; options and brackets may hold the signs that separate."""
    assert method_of("none+pivotkv")["name"] == "none+pivotkv"
    found = method_of("mine=uniform:keep_ratio=0.5+./x.py:Mine:a=1")
    assert found["name"] == "mine"
    assert found["selector"] == {"name": "uniform", "options": {"keep_ratio": 0.5}}
    assert found["compressor"] == {"name": "./x.py:Mine", "options": {"a": 1}}
    assert method_of("aks(colours)+none")["selector"]["of"] == {"name": "colours"}
    with pytest.raises(UsageError, match="got 'a=none'"):
        method_of("a=none")


def test_compare_shows_what_its_document_holds(retake: Run, done: Path) -> None:
    """Every run against the baseline, by kind and length."""
    shown, data = retake("compare", done), retake("compare", done, "--json").data
    assert shown.code == 0, shown.err
    assert data["baseline"] == "full"
    assert [pair["run"] for pair in data["pairs"]] == ["pivot-keep-1", "pivot-keep-0.5"]
    for pair in data["pairs"]:
        assert pair["run"] in shown.out
    assert "needle_colour" in shown.out
    assert "0:16" in shown.out
    assert "With 4 videos no difference can be told from chance" in shown.out
    other = retake("compare", done, "--baseline", "pivot-keep-1", "--by", "depth", "--json")
    assert other.data["baseline"] == "pivot-keep-1"


def test_compare_refuses(retake: Run, done: Path, tmp_path: Path) -> None:
    """One run, no run, a group or baseline that there is not."""
    one = done / "cells" / "full"
    for words, code, message in (
        ((one,), 2, "two runs or more, got 1"),
        ((one, tmp_path), 1, "holds neither a run nor a sweep"),
        ((one, tmp_path / "nowhere"), 1, "There is no folder"),
        ((one, one.parent / "." / one.name), 2, "is given twice"),
        ((done, "--by", "deepth"), 2, "Did you mean 'depth'"),
        ((done, "--baseline", "ful"), 2, "Did you mean 'full'"),
        ((), 2, "Missing argument 'RUN...'"),
    ):
        refused = retake("compare", *words)
        assert (refused.code, message in refused.err) == (code, True), refused.err
