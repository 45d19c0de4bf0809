"""Paths that go on inside an archive."""

from pathlib import Path

import attrs

from retake.core.archives.names import archive_name
from retake.core.archives.opening import open_archive
from retake.core.errors import VideoError


@attrs.frozen
class Place:
    """Where a path leads that goes on inside an archive.

    Attributes:
        archive: the archive's file, or its first part.
        name: of the file or folder in it.
    """

    archive: Path
    name: str


def place_in(path: Path) -> Place | None:
    """Where in an archive a path leads; None where it leads into none.

    A file or folder that is there under the very path is no place in an archive.

    Raises:
        VideoError: it leads into an archive that is not there, or into a file of another kind.
    """
    if path.exists():
        return None
    for parent in path.parents:
        if parent.is_dir():
            return None
        inside = path.relative_to(parent).as_posix()
        is_archive = archive_name(parent.name) is not None
        if parent.is_file():
            if is_archive:
                return Place(parent, inside)
            raise VideoError(f"There is no {path}: {parent} is a file, and no zip or tar archive.")
        if is_archive and parent.parent.is_dir():
            raise VideoError(f"There is no archive {parent}, in which '{inside}' should be.")
    return None


def read_bytes(path: Path) -> bytes:
    """All of a file, which may be in an archive.

    Raises:
        VideoError: it is in an archive that cannot be read, or is not in it.
        OSError: it is in none, and cannot be read.
    """
    place = place_in(path)
    if place is None:
        return path.read_bytes()
    with open_archive(place.archive) as archive:
        return b"".join(archive.pieces(place.name))
