"""Finding parts by name, lazily, from plug-ins, files and modules."""

import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

from retake import FrameSelector, KVCompressor, UsageError, compressors, selectors
from retake.core import registry as module
from retake.core.registry import Registry

_GOOD = """
import retake
from attrs import frozen

@frozen
class Mine(retake.KVCompressor):
    \"\"\"Newest first.\"\"\"
    def score(self, chunk):
        return chunk.positions[0].float()

class Half(retake.KVCompressor):
    pass

class Other:
    pass
"""


@pytest.fixture
def fresh() -> Registry[KVCompressor]:
    """A registry with nothing in it."""
    return Registry("compressor", KVCompressor, entry_point_group="retake.test.none")


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """A user's file with a compressor, an abstract one, and something else."""
    path = tmp_path / "mine.py"
    path.write_text(_GOOD)
    return path


def test_decorated_class_is_found(fresh: Registry[KVCompressor]) -> None:
    """A decorator registers, and hands the class back."""

    @fresh.register("here")
    class Here(KVCompressor):
        def score(self, chunk: Any) -> Any:
            return chunk.keys[0, :, 0]

    assert fresh.get("here") is Here
    assert fresh.names() == ["here"]


def test_wrong_name_suggests_the_right_one() -> None:
    """A misspelt name gives the nearest, and all that are allowed."""
    with pytest.raises(UsageError, match=r"Did you mean 'pivotkv'\?") as caught:
        compressors.get("pivotkw")
    assert "none, pivotkv" in str(caught.value)


def test_name_is_given_once(fresh: Registry[KVCompressor]) -> None:
    """Two classes cannot have one name, also when one is not imported yet."""
    fresh.register_lazy("a", "retake.compressors.pivotkv:PivotKV")
    fresh.register_lazy("a", "retake.compressors.pivotkv:PivotKV")
    with pytest.raises(UsageError, match="is taken"):
        fresh.register_lazy("a", "retake.compressors.none:NoCompression")


def test_other_kind_is_refused(fresh: Registry[KVCompressor]) -> None:
    """A selector cannot be registered or used as a compressor."""
    with pytest.raises(UsageError, match="no compressor"):
        fresh.register("x")(selectors.get("none"))  # type: ignore[type-var]
    with pytest.raises(UsageError, match=r"does not derive from retake\.KVCompressor"):
        fresh.get("retake.selectors.none:NoSelection")


def test_class_in_a_file(mine: Path) -> None:
    """file.py:Class is imported once, and is the same class the second time."""
    cls = compressors.get(f"{mine}:Mine")
    assert issubclass(cls, KVCompressor)
    assert compressors.get(f"{mine}:Mine") is cls


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("{file}:Mein", r"Did you mean 'Mine'"),
        ("{file}:Other", "does not derive"),
        ("{file}:Half", "does not define: score"),
        ("{file}", r"name the compressor class .*\n.*mine.py:Mine"),
        ("{file}:", r"name the compressor class"),
        ("{folder}/none.py:Mine", "There is no file"),
        ("{folder}/broken.py:Mine", "fails when run: ZeroDivisionError"),
        ("{folder}/syntax.py:Mine", "fails when run: SyntaxError"),
        ("no.such.module:Mine", "Cannot import 'no.such.module'"),
        ("retake.compressors.pivotkv:PivotKw", "Did you mean 'PivotKV'"),
    ],
)
def test_bad_references(mine: Path, reference: str, message: str) -> None:
    """Whatever is wrong with a reference is said, without a traceback."""
    (mine.parent / "broken.py").write_text("1 / 0")
    (mine.parent / "syntax.py").write_text("def (:")
    with pytest.raises(UsageError, match=message):
        compressors.get(reference.format(file=mine, folder=mine.parent))


def test_plug_ins_are_found_and_not_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    """An installed package's entry point is listed; a broken one fails only when used."""
    points = [
        EntryPoint("good", "retake.compressors.pivotkv:PivotKV", "g"),
        EntryPoint("broken", "no.such.package:Thing", "g"),
    ]
    monkeypatch.setattr(module, "entry_points", lambda group: points if group == "g" else [])
    found: Registry[KVCompressor] = Registry("compressor", KVCompressor, entry_point_group="g")
    assert found.names() == ["broken", "good"]
    assert found.get("good").__name__ == "PivotKV"
    with pytest.raises(UsageError, match=r"Cannot import 'no.such.package'"):
        found.get("broken")


def test_a_plug_in_cannot_take_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """A plug-in of a name that is taken is left out and told of; everything else works."""
    points = [
        EntryPoint("mine", "no.such.package:Thing", "g"),
        EntryPoint("later", "retake.compressors.none:NoCompression", "g"),
    ]
    monkeypatch.setattr(module, "entry_points", lambda group: points)
    found: Registry[KVCompressor] = Registry("compressor", KVCompressor, entry_point_group="g")
    found.register_lazy("mine", "retake.compressors.pivotkv:PivotKV")
    assert found.get("mine").__name__ == "PivotKV"
    assert found.names() == ["later", "mine"]
    assert ["'mine' is taken" in str(clash) for clash in found.clashes] == [True]


def test_listing_names_imports_no_method() -> None:
    """Names are there without importing what they stand for."""
    code = (
        "import sys, retake; retake.selectors.names(); "
        "print('retake.selectors.dpselect' in sys.modules)"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "False"


@pytest.mark.parametrize(
    ("kind", "base"), [(selectors, FrameSelector), (compressors, KVCompressor)]
)
def test_every_registered_name_resolves(kind: Registry[Any], base: type) -> None:
    """No lazy target is misspelt."""
    for name in kind.names():
        assert issubclass(kind.get(name), base)
