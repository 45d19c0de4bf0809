"""A run is gone on with as what it was begun as: what may differ, and what may not."""

import json
from pathlib import Path
from typing import Any

import attrs
import pytest

from retake.core.errors import RunFolderError, UsageError
from retake.evaluation.folder import RunFolder
from retake.evaluation.matching import digest, groups_digest
from retake.evaluation.sources import Sources
from tests.evaluation.making import begun, header, memory, samples


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run of six samples, of which four are answered."""
    return begun(tmp_path / "run")


def _config(path: str, value: Any) -> dict[str, Any]:
    config = json.loads(json.dumps(header().config))
    *parents, last = path.split(".")
    inside = config
    for parent in parents:
        inside = inside[parent]
    inside[last] = value
    return config


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"config": _config("prefill.keep_ratio", 0.25)}, "prefill.keep_ratio: was none, is 0.25"),
        ({"config": _config("selector.name", "aks")}, "selector.name: was dpselect, is aks"),
        (
            {"config": _config("compressor.options", {"seed": 1})},
            "compressor.options.seed: was (not there), is 1",
        ),
        ({"limit": 4}, "--limit: was none, is 4"),
        ({"batch": 8}, "--batch: was 1, is 8"),
        ({"fingerprint": "e" * 16}, f"fingerprint: was {'f' * 16}, is {'e' * 16}"),
        ({"samples_total": 7}, "the samples: was 6, is 7"),
        ({"samples_sha256": "0" * 64}, "is as many others (00000000)"),
        ({"groups_sha256": "0" * 64}, "the samples' groups and chance: was "),
        ({"code": {"mine.py": "2" * 64}}, "the code in ./mine.py: was 11111111, is 22222222"),
    ],
)
def test_other_settings_are_refused(run: Path, changes: dict[str, Any], named: str) -> None:
    """Every difference is named, and nothing is touched."""
    before = {path.name: path.read_bytes() for path in run.iterdir()}
    with pytest.raises(UsageError, match="cannot be resumed") as caught:
        RunFolder(run, header(**changes), resume=True)
    assert named in caught.value.message
    assert {path.name: path.read_bytes() for path in run.iterdir()} == before


def test_all_differences_are_named(run: Path) -> None:
    """Of the benchmark and the configuration, at once."""
    other = header(
        benchmark=attrs.evolve(header().benchmark, options={"seconds": [16], "seed": 3}),
        config=_config("seed", 4),
    )
    with pytest.raises(UsageError) as caught:
        RunFolder(run, other, resume=True)
    for line in (
        "benchmark option seconds: was [16, 32], is [16]",
        "benchmark option seed: was 0, is 3",
        "seed: was 0, is 4",
    ):
        assert f"  {line}" in caught.value.message.splitlines()


def test_folders_from_before_code_was_kept(tmp_path: Path) -> None:
    """They are gone on with; that nobody knows what the code was is said."""
    RunFolder(tmp_path / "run", header(code={}, groups_sha256=None)).close()
    path = tmp_path / "run" / "run.json"
    data = json.loads(path.read_text())
    path.write_text(json.dumps({k: data[k] for k in data if k not in ("code", "groups_sha256")}))
    with RunFolder(tmp_path / "run", header(), resume=True) as again:
        assert "code of ./mine.py: what it was is not known" in again.notes


def test_groups_and_chance_are_of_the_samples() -> None:
    """What a report breaks results down by cannot change under a run."""
    asked = samples()
    regrouped = [attrs.evolve(asked[0], groups={"seconds": 65.0}), *asked[1:]]
    luckier = [attrs.evolve(asked[0], chance=0.25), *asked[1:]]
    hashes = {groups_digest(each) for each in (asked, regrouped, luckier)}
    assert len(hashes) == 3
    assert digest(asked) == digest(regrouped) == digest(luckier)


def test_runs_that_share_their_videos(tmp_path: Path) -> None:
    """A second run that sees another file under one name is refused, also when it is opened."""
    sources, video = Sources(), Path("v0.mp4")
    with RunFolder(tmp_path / "one", header(), sources=sources) as one:
        one.add_video(video, None, memory())
    with (
        RunFolder(tmp_path / "two", header(), sources=sources) as two,
        pytest.raises(RunFolderError, match=r"v0\.mp4' is not the one .*one' are about"),
    ):
        two.add_video(video, None, memory("b" * 64))
    with RunFolder(tmp_path / "three", header()) as three:
        three.add_video(video, None, memory("b" * 64))
    with pytest.raises(RunFolderError, match="its content has changed"):
        RunFolder(tmp_path / "three", header(), resume=True, sources=sources)


def test_what_changes_no_number_may_differ(run: Path) -> None:
    """Where the model's folder is, and how many threads decode; versions are reported."""
    config = _config("model.path", "/elsewhere")
    config["video"]["reader_threads"] = 2
    with RunFolder(run, header(config=config, device="cuda"), resume=True) as again:
        assert "device: was cpu, is cuda" in again.notes
        assert any(note.startswith("torch: was 1, is ") for note in again.notes)
