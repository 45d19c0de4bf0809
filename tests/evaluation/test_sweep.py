"""Sweeps of the shipped model: what is done once, what a failure costs, what is gone on with."""

import json
from collections import Counter
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import attrs
import pytest
import torch

import retake
from retake import api
from retake.core.errors import RunFolderError, UsageError
from retake.datasets.scenes.benchmark import Scenes
from retake.evaluation.cells import cells_of
from retake.evaluation.folder import RunFolder
from retake.evaluation.grid import read_grid
from retake.evaluation.locking import FolderLock
from retake.evaluation.records import RunRecords, read_run
from retake.evaluation.running import Run, chosen, evaluate, header_of
from retake.evaluation.sweep import sweep
from retake.evaluation.sweep_folder import document, read_sweep
from retake.evaluation.sweep_plan import Plan, Watcher
from retake.video_model import VideoModel

BASE = retake.RunConfig(generate=retake.GenerateOptions(max_new_tokens=8))
FULL = {"name": "full", "selector": "none", "compressor": "none"}
PIVOT = {"name": "pivot", "selector": "dpselect", "compressor": "pivotkv"}
ASKING = {"name": "asking", "selector": "topk-sim(colours)", "compressor": "none"}
_TIMES = ("watch", "seconds", "first_token_seconds", "token_seconds")


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Scenes:
    """Two videos of eight seconds, four questions each."""
    kinds = ("needle_colour", "needle_shape", "scene_start", "scene_end")
    root = tmp_path_factory.mktemp("scenes") / "videos"
    benchmark = Scenes(root=str(root), lengths=(8,), videos=2, size=64, kinds=kinds)
    benchmark.make()
    return benchmark


@pytest.fixture(scope="module")
def model() -> VideoModel:
    """The shipped model, loaded once."""
    torch.set_num_threads(1)
    return api.from_config(retake.RunConfig())


Swept = Callable[..., Any]


@pytest.fixture
def swept(scenes: Scenes, model: VideoModel, tmp_path: Path) -> Swept:
    """Sweep these methods into a folder, with the loaded model."""

    def run(
        *methods: dict[str, Any], benchmark: Any = scenes, base: Any = BASE, **given: Any
    ) -> Any:
        folder = given.pop("folder", tmp_path / "sweep")
        rest = {name: given.pop(name) for name in ("resume", "watcher") if name in given}
        plan = planned(benchmark, *methods, base=base, **given)
        return sweep(folder, plan, lambda config: model, **rest)

    return run


def planned(benchmark: Any, *methods: dict[str, Any], base: Any = BASE, **axes: Any) -> Plan:
    """What is swept over."""
    grid = read_grid({"methods": list(methods), **axes})
    return Plan(grid, cells_of(grid, base), base, ("scenes", benchmark), chosen(benchmark))


def timeless(run: RunRecords) -> list[dict[str, Any]]:
    """A run's samples without what differs from run to run."""
    lines = (attrs.asdict(sample) for sample in run.samples)
    return [{key: line[key] for key in line if key not in _TIMES} for line in lines]


def test_a_cell_is_the_run_that_eval_would_be(
    swept: Swept, scenes: Scenes, model: VideoModel, tmp_path: Path
) -> None:
    """The same answers, tokens and configuration, whoever else watched the same encoding."""
    found = swept(FULL, PIVOT, ASKING, keep_ratios=[0.5])
    assert found.complete
    for cell in found.header.cells:
        config = retake.core.config.structure(retake.RunConfig, cell["config"], "key")
        alone = api.from_config(config)
        folder = tmp_path / cell["method"]
        samples = chosen(scenes)
        header = header_of(folder, ("scenes", scenes), samples, alone.config, alone)
        with RunFolder(folder, header) as kept:
            evaluate(Run(kept, scenes), alone, samples)
        one, other = read_run(folder), found.run_of(cell)
        assert timeless(one) == timeless(other)
        assert [each.compression for each in one.videos] == [
            each.compression for each in other.videos
        ]
        assert one.header.config == other.header.config


def test_a_video_is_decoded_and_encoded_once(
    swept: Swept, model: VideoModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the number of cells, and though some ask for each question anew."""
    encoded: Counter[str] = Counter()
    frames: Counter[int] = Counter()
    once, slices = VideoModel.encode, type(model.adapter).encode_frames

    def encode(self: VideoModel, video: Any, **given: Any) -> Any:
        encoded[Path(video).name] += 1
        return once(self, video, **given)

    def encode_frames(self: Any, batch: Any, size: Any) -> Any:
        frames[0] += len(batch)
        return slices(self, batch, size)

    monkeypatch.setattr(VideoModel, "encode", encode)
    monkeypatch.setattr(type(model.adapter), "encode_frames", encode_frames)
    found = swept(
        FULL, PIVOT, ASKING, keep_ratios=[1, 0.5, 0.25], positions=["reforge", "original"]
    )
    assert len(found.runs) == 2 + 6 + 6
    assert sorted(encoded.values()) == [1, 1]
    assert frames[0] == 2 * 16  # two videos of eight seconds at two frames a second


def test_cells_that_cannot_differ_share_a_run(swept: Swept) -> None:
    """And are shown with its numbers, and the reason."""
    found = document(swept(FULL, PIVOT, keep_ratios=[0.5, 0.25]))
    full = [cell for cell in found["cells"] if cell["method"] == "full"]
    assert full[0]["summary"] == full[1]["summary"]
    assert full[1]["same_as"] == full[0]["name"]
    assert len({cell["folder"] for cell in found["cells"]}) == 3
    assert json.loads(json.dumps(found)) == found


def test_an_interrupted_sweep_is_gone_on_with(swept: Swept, tmp_path: Path) -> None:
    """Stopped in the middle of a cell: then the samples of one that nothing interrupted."""
    whole = swept(FULL, PIVOT, folder=tmp_path / "whole", keep_ratios=[0.5])

    class Stop(Watcher):
        count = 0

        def sample(self, record: Any) -> None:
            self.count += 1
            if self.count == 6:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        swept(FULL, PIVOT, keep_ratios=[0.5], watcher=Stop())
    before = read_sweep(tmp_path / "sweep")
    assert sum(len(run.samples) for run in before.runs.values()) == 6
    assert not before.complete
    after = swept(FULL, PIVOT, keep_ratios=[0.5], resume=True)
    assert after.complete
    for name, run in whole.runs.items():
        assert timeless(after.runs[name]) == timeless(run)


def test_what_is_complete_loads_no_model(swept: Swept, scenes: Scenes, tmp_path: Path) -> None:
    """Resuming it reads, and is done."""
    done = swept(PIVOT, keep_ratios=[0.5])

    def load(config: retake.RunConfig) -> VideoModel:
        raise AssertionError("loaded")

    plan = planned(scenes, PIVOT, keep_ratios=[0.5])
    again = sweep(tmp_path / "sweep", plan, load, resume=True)
    assert again.runs["cells/pivot-keep-0.5"].samples == done.runs["cells/pivot-keep-0.5"].samples


def test_an_impossible_cell_is_given_up(swept: Swept) -> None:
    """It is noted with the reason; the others go on; resuming tries it again."""
    seen: list[Any] = []

    class Watching(Watcher):
        def given_up(self, failure: Any) -> None:
            seen.append(failure)

    for resume in (False, True):
        found = swept(PIVOT, FULL, budgets=[3, 60], resume=resume, watcher=Watching())
        assert [failure.cell for failure in found.failures] == ["pivot-budget-3"]
        assert "budget" in found.failures[0].reason
        assert found.runs["cells/full"].complete
        assert found.runs["cells/pivot-budget-60"].complete
        assert not found.complete
    assert len(seen) == 2
    cells = {cell["name"]: cell for cell in document(found)["cells"]}
    assert cells["pivot-budget-3"]["failure"] == seen[0].reason
    assert cells["pivot-budget-3"]["answered"] == 0


_MINE = """
import retake
import torch
from attrs import frozen


@frozen
class Mine(retake.KVCompressor):
    \"\"\"Keep the earliest.\"\"\"

    def score(self, chunk):
        return -chunk.positions[0].float()


@frozen
class Broken(Mine):
    def score(self, chunk):
        raise KeyError("nothing")


@frozen
class Half(retake.FrameSelector):
    def select(self, tokens):
        return retake.Selection.gather(tokens, torch.arange(0, tokens.steps, 2))


@frozen
class Blind(retake.FrameTextScorer):
    def look(self, frames):
        raise ValueError("too dark")

    def rate(self, seen, question):
        return seen[:, 0]
"""


@pytest.fixture
def mine(tmp_path: Path) -> str:
    """A file with parts of one's own."""
    path = tmp_path / "mine.py"
    path.write_text(_MINE)
    return str(path)


def test_parts_of_ones_own_go_through(swept: Swept, mine: str) -> None:
    """From a file outside the package, with nothing said anywhere else; also inside others."""
    methods = [
        {"name": "mine", "selector": f"{mine}:Half", "compressor": f"{mine}:Mine"},
        {"name": "wrapped", "selector": "none", "compressor": f"pyramidkv({mine}:Mine)"},
    ]
    found = swept(*methods, FULL, keep_ratios=[0.5])
    assert found.complete
    own, wrapped = (found.runs[f"cells/{name}-keep-0.5"] for name in ("mine", "wrapped"))
    assert own.header.config["compressor"]["name"] == f"{mine}:Mine"
    assert own.videos[0].compression.steps_dropped == own.videos[0].compression.steps // 2
    assert len(set(wrapped.videos[0].compression.tokens_kept)) > 1


def test_a_broken_part_costs_its_cells_only(swept: Swept, mine: str) -> None:
    """A compressor that raises, and a scorer that does."""
    broken = {**FULL, "name": "broken", "compressor": f"{mine}:Broken"}
    blind = {**ASKING, "name": "blind", "selector": f"topk-sim({mine}:Blind)"}
    found = swept(blind, broken, ASKING, PIVOT, keep_ratios=[0.5])
    reasons = {failure.cell: failure.reason for failure in found.failures}
    assert set(reasons) == {"blind-keep-0.5", "broken-keep-0.5"}
    assert "look() failed: ValueError: too dark" in reasons["blind-keep-0.5"]
    assert "Broken.compress() failed: KeyError: 'nothing'" in reasons["broken-keep-0.5"]
    for name in ("pivot", "asking"):
        assert found.runs[f"cells/{name}-keep-0.5"].complete


@attrs.frozen
class Damaged(Scenes):
    """The scenes with a first video that is none."""

    def samples(self) -> Any:
        found = list(super().samples())
        broken = Path(self.root or "").parent / "broken.mp4"
        broken.write_bytes(b"no video")
        first = found[0].video
        return [
            attrs.evolve(sample, video=broken) if sample.video == first else sample
            for sample in found
        ]


def test_a_video_that_cannot_be_read_fails_in_every_cell(swept: Swept, scenes: Scenes) -> None:
    """And the next one's turn comes."""
    damaged = Damaged(**attrs.asdict(scenes))
    found = swept(FULL, PIVOT, keep_ratios=[0.5], benchmark=damaged)
    assert not found.failures
    for run in found.runs.values():
        assert (len(run.samples), run.failed) == (4, 4)
        assert "broken.mp4" in run.failures[0].reason


def test_another_sweep_is_not_gone_on_with(swept: Swept, tmp_path: Path) -> None:
    """What differs is named; nothing is changed."""
    swept(PIVOT, keep_ratios=[0.5])
    with pytest.raises(UsageError, match="holds a sweep already"):
        swept(PIVOT, keep_ratios=[0.5])
    other = attrs.evolve(BASE, seed=5)
    with pytest.raises(UsageError, match=r"with:\n  seed: was 0, is 5\nResume"):
        swept(PIVOT, keep_ratios=[0.5], base=other, resume=True)
    with pytest.raises(UsageError, match=r"cells.full-keep-0.5: was \(not there\), is there"):
        swept(PIVOT, FULL, keep_ratios=[0.5], resume=True)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").touch()
    with pytest.raises(UsageError, match=r"holds other things \(notes.txt\)"):
        swept(PIVOT, folder=tmp_path / "other")
    with pytest.raises(UsageError, match="there is no folder"):
        swept(PIVOT, folder=tmp_path / "no" / "where")


def test_code_that_changed_between_cells(swept: Swept, mine: str, tmp_path: Path) -> None:
    """A sweep is of one code, also where the cell that it was for is complete."""
    methods = [{"name": "mine", "selector": "none", "compressor": f"{mine}:Mine"}, FULL]
    found = swept(*methods, keep_ratios=[0.5])
    assert found.header.code == {mine: sha256(_MINE.encode()).hexdigest()}
    path = tmp_path / "sweep" / "sweep.json"
    data = json.loads(path.read_text())
    path.write_text(json.dumps({**data, "code": {mine: "0" * 64}}))
    with pytest.raises(UsageError, match=r"the code in .*mine\.py: was 00000000, is "):
        swept(*methods, keep_ratios=[0.5], resume=True)
    # As a sweep from before code was kept, one of whose cells knows it.
    path.write_text(json.dumps({key: data[key] for key in data if key != "code"}))
    assert swept(*methods, keep_ratios=[0.5], resume=True).complete
    cell = tmp_path / "sweep" / "cells" / "mine-keep-0.5" / "run.json"
    header = json.loads(cell.read_text())
    cell.write_text(json.dumps({**header, "code": {mine: "0" * 64}}))
    with pytest.raises(UsageError, match=r"the code in .*mine\.py: was 00000000, is "):
        swept(*methods, keep_ratios=[0.5], resume=True)


def test_one_file_is_one_file_in_a_sweep(
    swept: Swept, mine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However its path is written, on its own or inside another part."""
    monkeypatch.chdir(tmp_path)
    for reference in (f"{mine}:Mine", "./mine.py:Mine", "mine.py:Mine"):
        methods = [
            {"name": "mine", "selector": "none", "compressor": reference},
            {"name": "wrapped", "selector": "none", "compressor": f"pyramidkv({reference})"},
        ]
        assert swept(*methods, keep_ratios=[0.5], resume=True).complete


def test_a_complete_cell_of_something_else(swept: Swept, tmp_path: Path) -> None:
    """Is not passed over as if it were this sweep's."""
    swept(PIVOT, keep_ratios=[0.5])
    path = tmp_path / "sweep" / "cells" / "pivot-keep-0.5" / "run.json"
    data = json.loads(path.read_text())
    data["config"]["seed"] = 9
    path.write_text(json.dumps(data))
    with pytest.raises(UsageError, match=r"pivot-keep-0\.5' cannot .*\n  seed: was 9, is 0"):
        swept(PIVOT, keep_ratios=[0.5], resume=True)


def test_what_all_cells_differ_in_is_said_once(swept: Swept) -> None:
    """And what one of them differs in with its name."""
    swept(PIVOT, FULL, keep_ratios=[0.5])
    other = {**PIVOT, "prefill": {"chunk_frames": 8}}
    base = attrs.evolve(BASE, seed=5)
    with pytest.raises(UsageError) as caught:
        swept(other, FULL, keep_ratios=[0.5], base=base, resume=True)
    assert caught.value.message.splitlines()[1:] == [
        "  seed: was 0, is 5",
        "  cells.pivot-keep-0.5.prefill.chunk_frames: was 32, is 8",
    ]


def test_one_writer_at_a_time(swept: Swept, tmp_path: Path) -> None:
    """A second process is refused while the first one sweeps."""
    swept(PIVOT, keep_ratios=[0.5])
    with FolderLock(tmp_path / "sweep"), pytest.raises(RunFolderError, match="another process"):
        swept(PIVOT, keep_ratios=[0.5], resume=True)


def test_a_folder_that_is_no_sweep(tmp_path: Path) -> None:
    """Missing, damaged, of another format."""
    with pytest.raises(RunFolderError, match=r"is no sweep: it has no sweep\.json"):
        read_sweep(tmp_path)
    for text, message in (
        ("{", "not JSON"),
        ("[]", "its format is None"),
        ('{"format": "retake.sweep/9"}', "retake.sweep/9"),
        ('{"format": "retake.sweep/1"}', "is damaged"),
    ):
        (tmp_path / "sweep.json").write_text(text)
        with pytest.raises(RunFolderError, match=message):
            read_sweep(tmp_path)
