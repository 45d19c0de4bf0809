"""Code outside the package: hashed as it ran, and known again under whatever path."""

import os
from hashlib import sha256
from pathlib import Path

import pytest

from retake import loading
from retake.datasets import datasets
from retake.datasets.scenes.benchmark import Scenes
from retake.evaluation.coding import Alike, changed_code, code_behind

_PARTS = """
import retake
from attrs import frozen


@frozen
class Mine(retake.KVCompressor):
    def score(self, chunk):
        return -chunk.positions[0].float()


@frozen
class Colours(retake.FrameTextScorer):
    def look(self, frames):
        return frames

    def rate(self, seen, question):
        return seen[:, 0]
"""
_QUIZ = """
import attrs
import retake


@attrs.frozen
class Quiz(retake.Benchmark):
    def samples(self):
        return []

    def mark(self, sample, answer):
        return 0.0
"""


@pytest.fixture
def beside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with parts and a benchmark of one's own; it is where we are."""
    (tmp_path / "parts.py").write_text(_PARTS)
    (tmp_path / "quiz.py").write_text(_QUIZ)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _hash(text: str) -> str:
    return sha256(text.encode()).hexdigest()


def test_code_of_parts_inside_parts_and_of_the_benchmark(beside: Path) -> None:
    """By the file as it was named; what is the package's own is not in it."""
    quiz, _ = loading.make_part(datasets, "./quiz.py:Quiz")
    parts = [
        loading.make_selector("topk-sim(parts.py:Colours)"),
        loading.make_compressor(f"pyramidkv({beside}/parts.py:Mine)"),
    ]
    assert code_behind(("./quiz.py:Quiz", quiz), parts) == {
        "./quiz.py": _hash(_QUIZ),
        "parts.py": _hash(_PARTS),
        f"{beside}/parts.py": _hash(_PARTS),
    }
    own = [loading.make_selector("dpselect"), loading.make_compressor("pyramidkv(pivotkv)")]
    assert code_behind(("scenes", Scenes()), own) == {}


def test_code_of_an_instance_and_of_a_module(beside: Path) -> None:
    """A part that was made by hand is from its file, too; a module goes by its name."""
    made, _ = loading.make_compressor("parts.py:Mine")
    given, named = loading.make_compressor(made)
    code = code_behind(("scenes", Scenes()), [(given, named)])
    assert code == {str(beside / "parts.py"): _hash(_PARTS)}

    class Here(Scenes):
        pass

    code = code_behind(("here", Here()), [])
    assert code == {__name__: _hash(Path(__file__).read_text(encoding="utf-8"))}


def test_the_hash_is_of_what_ran(beside: Path) -> None:
    """Not of what has been written into the file since; and never of an older compilation."""
    made = loading.make_compressor("./parts.py:Mine")
    file = beside / "parts.py"
    before = file.stat()
    file.write_text(_PARTS.replace("-chunk", "+chunk"))
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert code_behind(("scenes", Scenes()), [made]) == {"./parts.py": _hash(_PARTS)}
    assert not (beside / "__pycache__").exists()


@pytest.mark.parametrize(
    ("was", "now", "alike"),
    [
        ("./a.py:A", "./a.py:A", True),
        ("./a.py:A", "a.py:A", True),
        ("a.py:A", "{here}/sub/../a.py:A", True),
        ("./a.py:A", "./a.py:B", False),
        ("./a.py:A", "./b.py:A", False),
        ("/gone/a.py:A", "./a.py:A", True),  # moved: the content is known
        ("./a.py:A", "a:A", False),
        ("./a.py:A", None, False),
        (3, 3, True),
    ],
)
def test_references_to_one_file(beside: Path, was: object, now: object, alike: bool) -> None:
    """By where they lead, or by what the files hold."""
    old = {"./a.py": "1", "a.py": "1", "/gone/a.py": "1"}
    new = {"./a.py": "1", "a.py": "1", "./b.py": "2"}
    now = now.format(here=beside) if isinstance(now, str) else now
    assert Alike(old, new)(was, now) is alike


def test_changed_code_goes_by_the_file(beside: Path) -> None:
    """Also where two files changed places; what only one run has is its configuration's affair."""
    was = {"./a.py": "1", "b.py": "2", "gone.py": "3", "my.module": "4"}
    now = {f"{beside}/a.py": "2", "./b.py": "1", "new.py": "3", "my.module": "4"}
    assert list(changed_code(was, now)) == [("./a.py", "1", "2"), ("b.py", "2", "1")]
    assert list(changed_code({}, now)) == []
    assert list(changed_code({"my.module": "4"}, {"my.module": "5"})) == [("my.module", "4", "5")]


def test_a_part_in_a_part_keeps_its_options() -> None:
    """Names go as deep as parts do."""
    made = loading.make_compressor("pyramidkv(adakv(pivotkv:pivot_score=1.0))")
    names = [name for name, _ in loading.parts_within(*made)]
    assert names == ["pyramidkv", "adakv", "pivotkv"]
