"""Layers of a configuration: which of them wins, and where a wrong key is said to be."""

from pathlib import Path

import pytest

from retake.core.config import RunConfig
from retake.core.errors import UsageError
from retake.layering import layered, over


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A configuration file."""
    path = tmp_path / "mine.yaml"
    path.write_text("selector: dpselect\nprefill: {budget: 64}\nvideo: {fps: 1}\nseed: 4\n")
    return path


def test_nothing_given_is_the_defaults() -> None:
    assert layered() == RunConfig()


def test_later_layers_win(file: Path) -> None:
    """Key by key, and no further than what each of them says."""
    defaults = {"seed": 3, "generate": {"max_new_tokens": 5}}
    found = layered(files=[file], values={"video": {"fps": 2}}, defaults=defaults)
    assert (found.video.fps, found.seed, found.generate.max_new_tokens) == (2, 4, 5)
    assert found.prefill.budget == 64


def test_one_limit_takes_the_others_place(file: Path) -> None:
    ratio = {"prefill": {"keep_ratio": 0.25}}
    for found in (layered(files=[file], values=ratio), over(layered(files=[file]), ratio)):
        assert (found.prefill.budget, found.prefill.keep_ratio) == (None, 0.25)


def test_parts_as_plain_text_and_options_alone(file: Path) -> None:
    """Options without a name are those of the default part."""
    found = layered(files=[file], values={"compressor": {"options": {"seed": 1}}})
    assert found.selector.name == "dpselect"
    assert found.compressor.name == RunConfig().compressor.name
    assert found.compressor.options == {"seed": 1}
    text = {"compressor": "random:seed=2"}
    assert over(found, text).compressor.name == "random"
    assert layered(values=text).compressor.options == {"seed": 2}


def test_a_wrong_key_is_said_with_its_file(file: Path) -> None:
    file.write_text("videos: {fps: 1}\n")
    with pytest.raises(UsageError, match=r"In '.*mine\.yaml': .*videos"):
        layered(files=[file])
    with pytest.raises(UsageError, match="videos") as caught:
        layered(values={"videos": {}})
    assert "In '" not in caught.value.message
