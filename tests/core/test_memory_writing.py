"""Memory files are written whole, or not at all."""

import errno
import os
import resource
import stat
from pathlib import Path
from typing import Any

import attrs
import pytest

from retake.core.errors import MemoryFileError, UsageError
from retake.core.memory_file import load_memory
from retake.core.memory_file.target import check_target
from tests.core.memories import small_memory


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """The small memory's file."""
    return small_memory().save(tmp_path / "small.retake")


def _alone(path: Path) -> bool:
    """Whether nothing but this file is in its folder."""
    return [each.name for each in path.parent.iterdir()] == [path.name]


def test_missing_folder_and_taken_names(tmp_path: Path, saved: Path) -> None:
    """What is no place for a memory is refused, and what is there stays."""
    memory = small_memory()
    with pytest.raises(UsageError, match="there is no folder"):
        memory.save(tmp_path / "none" / "m.retake")
    with pytest.raises(UsageError, match="it is a folder"):
        memory.save(tmp_path)
    with pytest.raises(UsageError, match="there is no folder"):
        memory.save(saved / "m.retake")
    film = tmp_path / "film.mp4"
    film.write_bytes(b"a film")
    with pytest.raises(UsageError, match=r"film\.mp4' exists and is no memory"):
        memory.save(film)
    assert film.read_bytes() == b"a film"
    with pytest.raises(UsageError, match="File name too long"):
        check_target(tmp_path / ("m" * 300))
    assert sorted(each.name for each in tmp_path.iterdir()) == ["film.mp4", "small.retake"]


def test_older_memory_is_replaced(saved: Path) -> None:
    """Also through a link, which stays one; its permissions stay too."""
    saved.chmod(0o640)
    link = saved.with_name("link.retake")
    link.symlink_to(saved.name)
    attrs.evolve(small_memory(), next_position=99).save(link)
    assert link.is_symlink()
    assert load_memory(saved).next_position == 99
    assert stat.S_IMODE(saved.stat().st_mode) == 0o640


def test_permissions_are_those_of_new_files(tmp_path: Path) -> None:
    """As the user's umask has them."""
    other = tmp_path / "other"
    other.touch()
    made = small_memory().save(tmp_path / "m.retake")
    assert made.stat().st_mode == other.stat().st_mode


@pytest.mark.parametrize("before", [True, False], ids=["over-another", "new"])
@pytest.mark.parametrize("at", ["fsync", "replace"])
@pytest.mark.parametrize(
    "error",
    [OSError(errno.ENOSPC, "No space left on device"), OSError(errno.EDQUOT, "Quota exceeded")],
    ids=str,
)
def test_system_that_refuses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: OSError, at: str, before: bool
) -> None:
    """The error names path and reason; an older memory is as it was; nothing else is left."""
    path = tmp_path / "m.retake"
    if before:
        small_memory().save(path)
    content = path.read_bytes() if before else None

    def refuse(*_: Any) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(*((os, "fsync") if at == "fsync" else (Path, "replace")), refuse)
        with pytest.raises(MemoryFileError) as caught:
            attrs.evolve(small_memory(), next_position=99).save(path)
    assert str(path) in caught.value.message
    assert str(error.strerror) in caught.value.message
    if before:
        assert path.read_bytes() == content
        assert _alone(path)
    else:
        assert not list(tmp_path.iterdir())


def test_interruption(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C while it is written: as if nothing had been begun."""
    content = saved.read_bytes()

    def interrupted(_: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        attrs.evolve(small_memory(), next_position=99).save(saved)
    assert saved.read_bytes() == content
    assert _alone(saved)


@pytest.mark.parametrize("room", [0, 8, 1000, 3000])
def test_full_disk(saved: Path, room: int) -> None:
    """The system's own limit, met at any byte."""
    content = saved.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, limits[1]))
    try:
        with pytest.raises(MemoryFileError, match="File too large"):
            attrs.evolve(small_memory(), next_position=99).save(saved)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert saved.read_bytes() == content
    assert _alone(saved)
