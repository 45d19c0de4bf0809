"""A video in an archive, unpacked for as long as it is read."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from retake.core.archives import Archive, Member, Place, open_archive, place_in
from retake.core.errors import RetakeError, VideoError
from retake.video.folder import SUFFIXES
from retake.video.scratch import scratch_folder

_SUFFIX = re.compile(r"\.[A-Za-z0-9]{1,5}")
_PICTURE = re.compile(r"[^/\\\0]+")


@contextmanager
def unpacked(path: str | Path) -> Iterator[Path]:
    """The file or folder of pictures that a path means, where readers can open it.

    A path that leads into a zip or tar archive ("/data/videos.zip/data/abc.mp4") is unpacked, that
    one file only, into $TMPDIR, and removed when the block is left: also after an error or
    Ctrl-C, and after a kill by the next process. Every other path is given back as it is. What is
    unpacked has a name of retake's own, so no name in an archive can lead anywhere; errors from
    within the block speak of the path as it was given.

    Raises:
        VideoError: it is not in the archive; it is encrypted, damaged or compressed in an unknown
            way; there is no room for it.
    """
    given = Path(path)
    place = place_in(given)
    if place is None:
        yield given
        return
    with open_archive(place.archive) as archive:
        members = _members(archive, place)
        with scratch_folder(sum(member.bytes for member in members.values()), str(given)) as folder:
            for name, member in members.items():
                _unpack(archive, member, folder / name)
            single = len(members) == 1 and place.name in archive.members
            real = folder / next(iter(members)) if single else folder
            try:
                yield real
            except RetakeError as error:
                _rename(error, str(real), str(given))
                raise


def _members(archive: Archive, place: Place) -> dict[str, Member]:
    """What is to be unpacked, by the name that it gets."""
    if place.name in archive.members:
        suffix = PurePosixPath(place.name).suffix
        return {f"video{suffix if _SUFFIX.fullmatch(suffix) else ''}": archive.member(place.name)}
    pictures = {
        inside.name: member
        for name, member in archive.members.items()
        if (inside := PurePosixPath(name)).parent == PurePosixPath(place.name)
        and inside.suffix.lower() in SUFFIXES
        and _PICTURE.fullmatch(inside.name)
    }
    if not pictures:
        archive.member(place.name)  # says that it is not there, and what is
    return pictures


def _unpack(archive: Archive, member: Member, target: Path) -> None:
    pieces = archive.pieces(member.name)
    try:
        with target.open("xb") as file:
            for piece in pieces:
                file.write(piece)
    except OSError as error:
        raise VideoError(
            f"Cannot unpack '{member.name}' from {archive.path} to {target.parent}: "
            f"{error.strerror}.",
            hint="Set TMPDIR to a folder with more room.",
        ) from None
    finally:
        pieces.close()


def _rename(error: RetakeError, real: str, given: str) -> None:
    """Have an error speak of the path that its reader knows."""
    error.message = error.message.replace(real, given)
    error.hint = error.hint.replace(real, given) if error.hint else error.hint
    error.args = (error.message,)
