"""`retake inspect`: what methods keep of a video, and that it is what they keep."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import retake as package
from retake.encoding import EncodedVideo
from retake.models.embedded import clips
from retake.selectors.dpselect import DPSelect, dissimilarity
from tests.cli.conftest import Run
from tests.evaluation.browser import Browser, check_page, find
from tests.evaluation.reading import Read, read

WORDS = ("--method", "none+random", "--method", "dpselect+pivotkv", "--keep-ratio", "0.25")
PATCHES = 4


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the page of two methods is, once it is made."""
    return tmp_path_factory.mktemp("inspected") / "page.html"


@pytest.fixture
def page(retake: Run, place: Path) -> Path:
    """The page of two methods on a bundled clip; do not change it."""
    if not place.exists():
        result = retake("inspect", "clip:medium", *WORDS, "-o", place)
        assert (result.code, result.out, result.err) == (0, f"{place}\n", "")
    return place


@pytest.fixture
def shown(page: Path) -> Read:
    """That page, read back."""
    return read(page.read_text())


@pytest.fixture(scope="module")
def model() -> package.VideoModel:
    """The embedded model with the second method's parts."""
    return package.load(selector="dpselect", compressor="pivotkv", keep_ratio=0.25)


@pytest.fixture(scope="module")
def encoded(model: package.VideoModel) -> EncodedVideo:
    """The clip's visual tokens."""
    return model.encode(next(path for path in clips() if path.stem == "medium"))


def _method(shown: Read, name: str = "dpselect+pivotkv") -> Any:
    (found,) = (each for each in shown.data["methods"] if each["name"] == name)
    return found


def test_layers_hold_what_the_memory_holds(
    shown: Read, model: package.VideoModel, encoded: EncodedVideo
) -> None:
    """Step by step and layer by layer; here every step is selected, four tokens each."""
    memory = model.watch(encoded)
    method, steps = _method(shown), len(encoded.tokens)
    assert len(method["layers"]) == len(memory.kept)
    for layer, kept in zip(method["layers"], memory.kept, strict=True):
        held = np.bincount(np.asarray(kept) // PATCHES, minlength=steps) / PATCHES
        assert layer == held.tolist()
    assert method["selected"] == [1.0] * steps
    assert method["compression"]["tokens_kept"] == list(memory.compression.tokens_kept)


def test_curve_and_pivots_are_dpselect_s(shown: Read, encoded: EncodedVideo) -> None:
    """The curve is the mean dissimilarity, the pivots are those that the selector marks."""
    change = dissimilarity(encoded.tokens)
    assert shown.data["dissimilarity"] == pytest.approx(change.mean(dim=1).tolist(), abs=1e-6)
    times = torch.tensor(shown.data["times"], dtype=torch.float64)
    marked = DPSelect().select(package.VisualTokens(encoded.tokens, times, (2, 2))).pivots
    assert _method(shown)["pivots"] == marked.reshape(-1, PATCHES).float().mean(dim=1).tolist()
    assert _method(shown, "none+random")["pivots"] == [0.0] * len(encoded.tokens)


def test_pivots_left_add_up(shown: Read) -> None:
    """What is left of each step's pivots, times how many it has, is each layer's count."""
    method = _method(shown)
    for layer, count in zip(
        method["pivots_kept"], method["compression"]["pivots_kept"], strict=True
    ):
        left = sum(
            (share or 0) * PATCHES * p for share, p in zip(layer, method["pivots"], strict=True)
        )
        assert round(left, 3) == count


def test_keyframes_are_pictures_at_peaks(shown: Read) -> None:
    """As many pictures as keyframes, inside the page, at steps that exceed their neighbours."""
    frames, change = shown.data["keyframes"], shown.data["dissimilarity"]
    assert 0 < len(frames) <= 24
    assert shown.tags["img"] == len(frames)
    assert sum(each.startswith("data:image/jpeg;base64,") for each in shown.addresses) == len(
        frames
    )
    for step in frames:
        around = change[max(0, step - 1) : step + 2]
        assert change[step] == max(around)


def test_numbers_stand_in_tables(shown: Read) -> None:
    """The tables' totals are the memory's."""
    rows = {row[0]: row for row in shown.tables["After the video."]}
    compression = _method(shown)["compression"]
    assert rows["dpselect+pivotkv"][2] == str(compression["tokens_selected"])
    assert rows["dpselect+pivotkv"][4] == str(compression["pivots"])


@pytest.mark.parametrize("width", [375, 1280])
def test_page_fits_and_loads_nothing(page: Path, width: int) -> None:
    """In a real browser, by night too."""
    with Browser(find()) as browser:
        for dark in (False, True):
            check_page(browser, page, width=width, dark=dark)


def test_dropped_steps_and_layers_of_their_own(retake: Run, tmp_path: Path) -> None:
    """A selector that drops steps, and a budget that layers share unevenly."""
    page = tmp_path / "page.html"
    words = ("--selector", "dpselect:keep_ratio=0.5", "--compressor", "pyramidkv(pivotkv)")
    result = retake("inspect", "clip:short", *words, "--keep-ratio", "0.5", "-o", page)
    assert (result.code, result.err) == (0, "")
    (method,) = read(page.read_text()).data["methods"]
    held = [sum(layer) * PATCHES for layer in method["layers"]]
    assert held == pytest.approx(method["compression"]["tokens_kept"])
    assert held[0] > held[-1]
    assert sum(method["selected"]) * PATCHES == method["compression"]["tokens_selected"]
    assert min(method["selected"]) < 1


def test_methods_that_need_a_question_need_one(retake: Run, tmp_path: Path) -> None:
    """Refused before anything is watched; with a question it is on the page."""
    page = tmp_path / "page.html"
    words = (
        "inspect",
        "clip:short",
        "--compressor",
        "adaretake",
        "--keep-ratio",
        "0.5",
        "-o",
        page,
    )
    refused = retake(*words)
    assert refused.code == 2
    assert "--question" in refused.err
    assert not page.exists()
    assert retake(*words, "--question", "What colour is it?").code == 0
    assert read(page.read_text()).data["question"] == "What colour is it?"


def test_wrong_requests_are_refused(retake: Run, tmp_path: Path) -> None:
    """No video, an unknown clip, an unknown method, no place for the page: exit 2."""
    for words in (
        (),
        ("clip:nothing",),
        ("clip:short", "--compressor", "pivotk"),
        ("clip:short", "-o", tmp_path),
    ):
        result = retake("inspect", *words)
        assert result.code == 2
        assert result.err


def test_show_config_lists_what_would_be_watched(retake: Run) -> None:
    """Every method with its limit; nothing is loaded."""
    result = retake("inspect", "--compressor", "pivotkv", "--keep-ratio", "0.5", "--show-config")
    assert result.code == 0
    assert "keep_ratio: 0.5" in result.out
