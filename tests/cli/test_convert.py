"""`retake convert llava-video` as people start it, stop it, and start it again."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from retake.datasets.scenes import Clip
from tests.cli.conftest import Run
from tests.cli.forking import Started
from tests.models.llava_original import make_original, make_siglip


@pytest.fixture(scope="module")
def siglip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The configuration of the tiny tower."""
    return make_siglip(tmp_path_factory.mktemp("siglip"), weights=False)


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny checkpoint of as many files as tensors."""
    return make_original(tmp_path_factory.mktemp("original"), shards=70)


def contents(folder: Path) -> dict[str, bytes]:
    """Every file's bytes."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_convert_and_run(
    retake: Run, process: Run, tmp_path: Path, siglip: Path, scene: Clip
) -> None:
    """What is converted answers; the report says what it is."""
    source = make_original(tmp_path / "a", max_position_embeddings=2048)
    made = process("convert", "llava-video", source, "--vision", siglip, "-o", tmp_path / "b")
    assert (made.code, made.err) == (0, "")
    assert "69 tensors" in made.out
    assert "a newline behind every row of every frame" in made.out
    assert f"retake run VIDEO --model {tmp_path / 'b'}" in made.out
    words = ("--model", tmp_path / "b", "--max-new-tokens", "3", "--keep-ratio", "0.5", "--json")
    asked = retake("run", scene.path, "Which?", *words)
    assert asked.code == 0, asked.err
    assert len(asked.data["answers"][0]["token_ids"]) > 0


def test_json(retake: Run, tmp_path: Path, siglip: Path) -> None:
    """One document, also of what was there already."""
    source = make_original(tmp_path / "a", tied=True)
    words = ("convert", "llava-video", source, "--vision", siglip, "-o", tmp_path / "b", "--json")
    assert retake(*words, "--dtype", "bfloat16").data["kept"] == 0
    data = retake(*words, "--dtype", "bfloat16").data
    assert (data["files"], data["kept"], data["dtypes"], data["tied"]) == (3, 3, ["BF16"], True)
    assert data["layout"]["mm_newline_position"] == "grid"


@pytest.mark.skipif(sys.platform == "win32", reason="has no SIGKILL")
def test_killed_and_started_again(
    process: Run, tmp_path: Path, original: Path, siglip: Path
) -> None:
    """Whatever was finished is kept, and the bytes are those of an undisturbed conversion."""
    words = ("convert", "llava-video", str(original), "--vision", str(siglip), "-o")
    assert process(*words, tmp_path / "whole").code == 0
    folder = tmp_path / "killed"
    with Started([*words, folder], stdout=subprocess.DEVNULL) as running:
        until = time.monotonic() + 120
        while len(list(folder.glob("model-*-of-00069.safetensors"))) < 5:
            assert running.poll() is None
            assert time.monotonic() < until
            time.sleep(0.0005)
        running.send_signal(signal.SIGKILL)
    left, whole = contents(folder), contents(tmp_path / "whole")
    assert "config.json" not in left
    finished = {name for name in left if name.endswith(".safetensors")}
    assert 5 <= len(finished) < 69
    # Under its final name, nothing is half-written.
    assert all(left[name] == whole[name] for name in finished)

    again = process(*words, folder, "--json")
    assert again.code == 0, again.err
    assert again.data["kept"] == len(finished)
    assert contents(folder) == whole


@pytest.mark.skipif(sys.platform == "win32", reason="limits file sizes as Unix does")
def test_a_system_that_refuses_to_write(
    process: Run, tmp_path: Path, original: Path, siglip: Path
) -> None:
    """As with a full disk: a message, no half file; with room again it goes on."""
    words = ("convert", "llava-video", str(original), "--vision", str(siglip), "-o")
    folder = tmp_path / "b"
    limited = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))"
    running = Started([*words, folder], before=limited, COLUMNS="100")
    out, err = running.communicate(timeout=120)
    assert (running.returncode, out) == (1, "")
    assert err.startswith(f"Error: Cannot write '{folder}")
    assert "File too large" in err
    assert "goes on from there" in err
    assert not list(folder.glob("*.part"))
    assert process(*words, folder).code == 0
    assert process(*words, tmp_path / "whole").code == 0
    assert contents(folder) == contents(tmp_path / "whole")


def test_refusals_are_messages(retake: Run, tmp_path: Path, original: Path, siglip: Path) -> None:
    """Exit code 2 where the request is wrong, 1 where the checkpoint is; never a traceback."""
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "thesis.txt").write_text("mine")
    lame = make_original(tmp_path / "lame", drop=("model.norm.weight",))
    for source, output, code, words in (
        (original, "taken", 2, "holds something else (thesis.txt)"),
        (lame, "new", 1, "lacks model.norm.weight"),
        (tmp_path / "none", "new", 1, "There is no folder"),
    ):
        result = retake(
            "convert", "llava-video", source, "--vision", siglip, "-o", tmp_path / output
        )
        assert (result.code, result.out) == (code, "")
        assert result.err.startswith("Error: ")
        assert words in result.err
    assert retake("convert", "llava-video", original).code == 2
