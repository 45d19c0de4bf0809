"""`retake watch` and `retake ask`: the answers of `retake run`, from a file, in any order."""

import shutil
import signal
from hashlib import sha256
from itertools import permutations
from pathlib import Path

import pytest
import yaml

from retake.datasets.scenes import Clip
from tests.cli.conftest import Result, Run
from tests.cli.forking import Started

QUESTIONS = ("What is it?", "Which colour?", "Where, and when?")
# What `run` decides from the questions it is given, told to `watch`: how much to set aside.
_SHORT = ("--max-new-tokens", "6")


def tokens(result: Result) -> dict[str, list[int]]:
    """Tokens of every answer, by question."""
    assert result.code == 0, result.err
    return {each["question"]: each["token_ids"] for each in result.data["answers"]}


@pytest.fixture
def memory(retake: Run, scene: Clip, checkpoint: Path, tmp_path: Path) -> Path:
    """The scene as the tiny model watched it."""
    path = tmp_path / "scene.retake"
    words = ("--model", checkpoint, "--keep-ratio", "0.5", "-o", path)
    result = retake("watch", scene.path, *words)
    assert (result.code, result.err) == (0, "")
    return path


@pytest.mark.parametrize(
    ("started", "watching", "asking"),
    [
        ("retake", (), ()),
        ("retake", ("--selector", "uniform", "--compressor", "none"), ("--beams", "2")),
        ("retake", ("--positions", "original", "--reference", "--keep-ratio", "0.3"), ()),
        ("process", ("--keep-ratio", "0.4"), ("--sample", "--temperature", "3", "--seed", "11")),
        ("process", ("--dtype", "bfloat16", "--budget", "90", "--reserve", "30"), ()),
    ],
    ids=["default", "uniform-none-beams", "reference", "sample", "bfloat16-budget"],
)
def test_same_answers_as_run(
    request: pytest.FixtureRequest, tmp_path: Path, started: str, watching: tuple, asking: tuple
) -> None:
    """With the shipped model and clip, in processes of their own too; the file stays as it was."""
    retake = request.getfixturevalue(started)
    file = tmp_path / "short.retake"
    expected = tokens(retake("run", "clip:short", *QUESTIONS, *watching, *asking, "--json"))
    made = retake("watch", "clip:short", *watching, "-o", file, "--json")
    assert made.code == 0, made.err
    before = sha256(file.read_bytes()).digest()
    asked = retake("ask", file, *reversed(QUESTIONS), *QUESTIONS, *asking, "--json")
    assert tokens(asked) == expected
    assert len(asked.data["answers"]) == 2 * len(QUESTIONS)
    assert sha256(file.read_bytes()).digest() == before
    for key in ("video", "source", "frames", "compression"):
        assert asked.data[key] == made.data[key]


def test_asking_in_every_order(retake: Run, memory: Path) -> None:
    """What is asked first changes nothing, in one command or in several."""
    before = memory.read_bytes()
    alone = {q: tokens(retake("ask", memory, q, *_SHORT, "--json"))[q] for q in QUESTIONS}
    for order in permutations(QUESTIONS):
        assert tokens(retake("ask", memory, *order, *_SHORT, "--json")) == alone
    assert memory.read_bytes() == before


def test_settings_of_watching_hold_for_asking(
    retake: Run, scene: Clip, checkpoint: Path, tmp_path: Path
) -> None:
    """Those of a configuration file too; options of `ask` win over them."""
    (tmp_path / "c.yaml").write_text("generate: {max_new_tokens: 2}\nseed: 5\n")
    file = tmp_path / "m.retake"
    words = ("--model", checkpoint, "--config", tmp_path / "c.yaml", "-o", file)
    assert retake("watch", scene.path, *words).code == 0
    data = retake("ask", file, "What?", "--json").data
    assert (data["seed"], len(data["answers"][0]["token_ids"])) == (5, 2)
    data = retake("ask", file, "What?", "--seed", "6", "--max-new-tokens", "3", "--json").data
    assert (data["seed"], len(data["answers"][0]["token_ids"])) == (6, 3)


def test_documents(retake: Run, scene: Clip, memory: Path, checkpoint: Path) -> None:
    """All that a script may rely on: what was watched, how, with what, and what it cost."""
    words = ("--model", checkpoint, "--keep-ratio", "0.5", "-o", memory, "--json")
    made = retake("watch", scene.path, *words).data
    asked = retake("ask", memory, "What?", "--json").data
    assert (made["format"], asked["format"]) == ("retake.watch/1", "retake.ask/1")
    assert "answers" not in made
    size = memory.stat().st_size
    for data in (made, asked):
        assert (data["memory"]["path"], data["memory"]["bytes"]) == (str(memory), size)
        assert data["source"]["sha256"] == sha256(scene.path.read_bytes()).hexdigest()
        assert data["config"]["selector"]["name"] == "dpselect"
        assert data["config"]["prefill"]["keep_ratio"] == 0.5
        assert data["versions"]["torch"]
        assert data["model"]["path"] == str(checkpoint)
        assert len(data["frames"]["indices"]) == 24
    assert [cost["name"] for cost in made["costs"]][-1] == "save"
    assert [cost["name"] for cost in asked["costs"]] == ["open", "load", "answer"]
    assert [cost["name"] for cost in asked["memory"]["costs"]][-1] == "prefill"


def test_reports(retake: Run, memory: Path, scene: Clip, checkpoint: Path) -> None:
    """Where the memory is and how to ask it; then the answers, and what they rest on."""
    made = retake("watch", scene.path, "--model", checkpoint, "-o", memory)
    assert f"Ask it: retake ask {memory}" in made.out
    assert "set aside for a question" in " ".join(made.out.split())
    asked = retake("ask", memory, "What is it?", *_SHORT)
    assert asked.code == 0, asked.err
    for words in ("What is it?", memory.name, "Tokens", "TTFT", scene.path.name):
        assert words in asked.out


def test_name_of_the_memory(
    retake: Run, scene: Clip, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The video's, in the current folder; a model's folder is found from elsewhere too."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(checkpoint, tmp_path / "model")
    assert retake("watch", scene.path, "--model", "./model").code == 0
    assert Path("scene.retake").is_file()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert retake("ask", "../scene.retake", "What?", *_SHORT).code == 0
    shutil.rmtree(tmp_path / "model")
    gone = retake("ask", "../scene.retake", "What?", *_SHORT)
    assert gone.code == 1
    assert "--model PATH" in gone.err
    assert retake("ask", "../scene.retake", "What?", *_SHORT, "--model", checkpoint).code == 0


def test_part_of_a_file_is_not_needed_for_asking(
    retake: Run, scene: Clip, checkpoint: Path, tmp_path: Path
) -> None:
    """A compressor of one's own made the memory; asking does without it."""
    mine = tmp_path / "mine.py"
    mine.write_text(
        "import retake\n\nclass Mine(retake.KVCompressor):\n"
        "    def score(self, chunk):\n        return -chunk.keys.norm(dim=-1).mean(dim=0)\n"
    )
    file = tmp_path / "m.retake"
    words = ("--model", checkpoint, "--compressor", f"{mine}:Mine", "--keep-ratio", "0.5")
    assert retake("watch", scene.path, *words, "-o", file).code == 0
    mine.unlink()
    data = retake("ask", file, "What?", *_SHORT, "--json").data
    assert data["config"]["compressor"]["name"] == f"{mine}:Mine"


def test_questions_of_a_file_and_of_stdin(process: Run, memory: Path, tmp_path: Path) -> None:
    """As with `retake run`."""
    (tmp_path / "q.txt").write_text("First?\n\nSecond?\n")
    words = ("ask", memory, *_SHORT, "--json")
    found = tokens(process(*words, "-", "--questions", tmp_path / "q.txt", stdin="Third?\n"))
    assert list(found) == ["Third?", "First?", "Second?"]


def test_show_config(retake: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`watch` resolves options as `run` does, and writes nothing then."""
    monkeypatch.chdir(tmp_path)
    words = ("--show-config", "--preset", "qwen2-vl/mlvu", "--keep-ratio", "0.3")
    shown = [retake(name, *words).out for name in ("run", "watch")]
    assert shown[0] == shown[1]
    assert yaml.safe_load(shown[0])["prefill"]["keep_ratio"] == 0.3
    assert not list(tmp_path.iterdir())


# What goes wrong: nothing that looks whole is left behind.

_SLOW_WRITING = """
import sys, time
import retake.core.memory_file as target
def slow(file, document, tensors):
    file.write(b"half")
    file.flush()
    print("now", file=sys.stderr, flush=True)
    time.sleep(100)
target.write = slow
"""
_SLOW_WATCHING = """
import sys, time
from retake.models.qwen2_vl import Qwen2VL
def slow(self, patches):
    print("now", file=sys.stderr, flush=True)
    time.sleep(100)
Qwen2VL.encode = slow
"""
_LIMITED = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))"


@pytest.mark.parametrize("patch", [_SLOW_WATCHING, _SLOW_WRITING], ids=["watching", "saving"])
@pytest.mark.parametrize("before", [True, False], ids=["over-another", "new"])
def test_interrupted(
    memory: Path,
    scene: Clip,
    checkpoint: Path,
    patch: str,
    before: bool,
) -> None:
    """Ctrl-C: exit code 130, an older memory as it was, and nothing besides."""
    content = memory.read_bytes()
    if not before:
        memory.unlink()
    words = ("watch", scene.path, "--model", checkpoint, "-o", memory)
    with Started(words, before=patch) as running:
        assert running.stderr is not None
        assert running.stderr.readline() == "now\n"
        assert len(list(memory.parent.glob(".*"))) == (patch == _SLOW_WRITING)
        running.send_signal(signal.SIGINT)
        _, err = running.communicate(timeout=60)
    assert (running.returncode, err) == (130, "interrupted\n")
    assert [path.name for path in memory.parent.iterdir()] == ([memory.name] if before else [])
    if before:
        assert memory.read_bytes() == content


@pytest.mark.parametrize("before", [True, False], ids=["over-another", "new"])
def test_full_disk(
    retake: Run,
    memory: Path,
    scene: Clip,
    checkpoint: Path,
    before: bool,
) -> None:
    """The reason is named; an older memory still answers, and nothing besides is left."""
    if not before:
        memory.unlink()
    words = ("watch", scene.path, "--model", checkpoint, "-o", memory)
    running = Started(words, before=_LIMITED)
    out, err = running.communicate(timeout=120)
    assert (running.returncode, out) == (1, "")
    assert f"Cannot write the memory '{memory}': File too large." in err
    assert [path.name for path in memory.parent.iterdir()] == ([memory.name] if before else [])
    assert retake("ask", memory, "What is it?", *_SHORT).code == (0 if before else 1)


def test_bad_place_is_refused_before_watching(
    retake: Run, scene: Clip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No model is loaded for a memory that could not be written."""
    monkeypatch.setattr("retake.api.from_config", lambda *_: pytest.fail("it was loaded"))
    for place, says in (
        (tmp_path / "none" / "m.retake", "no folder"),
        (tmp_path, "is a folder"),
        (scene.path, "exists and is no memory"),
    ):
        result = retake("watch", scene.path, "-o", place)
        assert result.code == 2
        assert says in result.err
    assert Clip.load(scene.path.with_suffix(".json")).path == scene.path
