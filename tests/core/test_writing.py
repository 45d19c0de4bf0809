"""A file that is written is whole or not there."""

from pathlib import Path

import pytest

from retake.core import writing


def test_a_file_takes_its_name_when_it_is_whole(tmp_path: Path) -> None:
    """Until the block ends the old one is there; then the new one, with its permissions."""
    target, beside = tmp_path / "kept", tmp_path / "kept.part"
    target.write_bytes(b"old")
    target.chmod(0o640)
    with writing.replacing(target, beside) as file:
        file.write(b"new")
        file.flush()
        assert target.read_bytes() == b"old"
    assert target.read_bytes() == b"new"
    assert target.stat().st_mode & 0o777 == 0o640
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("stopped", [OSError("full"), KeyboardInterrupt()])
def test_stopped_half_way_nothing_changes(tmp_path: Path, stopped: BaseException) -> None:
    """What was there stays, and nothing half-written is left."""
    target = tmp_path / "kept"
    target.write_bytes(b"old")

    def stop() -> None:
        with writing.replacing(target, tmp_path / "kept.part") as file:
            file.write(b"ne")
            raise stopped

    with pytest.raises(type(stopped)):
        stop()
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_file_of_somebody_else_is_not_taken(tmp_path: Path) -> None:
    """A name beside that something has is refused, and what has it stays."""
    beside = tmp_path / "kept.part"
    beside.write_bytes(b"theirs")
    with pytest.raises(FileExistsError), writing.replacing(tmp_path / "kept", beside):
        pass
    assert beside.read_bytes() == b"theirs"
