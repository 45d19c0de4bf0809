"""What lies under a benchmark's folder, listed once: files, folders of pictures, archives."""

import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path, PurePosixPath

import attrs

from retake.core.archives import archive_name, open_archive, parts_of
from retake.core.errors import RetakeError, UsageError

PICTURES = frozenset({".jpg", ".jpeg", ".png"})

# A folder whose first so many entries are pictures is a video in pictures. The rest of it is not
# looked at: an hour at 25 frames a second is 90,000 files.
_PEEK = 16


@attrs.frozen
class Entry:
    """Something that may be what a benchmark names.

    Attributes:
        path: where it is; it may lead into an archive.
        parts: of the path from the root on, archives among them as if they were folders.
        rank: 0 for a file, 1 for a folder of pictures, 2 and 3 for the same in an archive.
        archive: the archive that it is in.
        bytes: its size, where it is in an archive.
        depth: how many of the parts lead up to and include the archive; 0 where there is none.
    """

    path: Path
    parts: tuple[str, ...]
    rank: int
    archive: Path | None = None
    bytes: int | None = None
    depth: int = 0

    @property
    def name(self) -> str:
        return self.parts[-1]


@attrs.define
class Listing:
    """All of it.

    Attributes:
        entries: files of the suffixes asked for, and folders of pictures.
        archives: those that were listed, by path of the (first) file: all files they consist of.
        unreadable: archives and folders that could not be looked into, and why.
    """

    entries: list[Entry] = attrs.field(factory=list)
    archives: dict[Path, tuple[Path, ...]] = attrs.field(factory=dict)
    unreadable: dict[Path, RetakeError] = attrs.field(factory=dict)


def list_files(root: Path, suffixes: frozenset[str], *, pictures: bool) -> Listing:
    """What lies under a folder; hidden files and folders are passed over, links are followed.

    Args:
        root: the folder.
        suffixes: of the files wanted, in small letters, such as ".mp4".
        pictures: whether folders of pictures are wanted too.

    Raises:
        UsageError: there is no such folder, or it cannot be read.
    """
    if not root.is_dir():
        what = "is a file, not a folder" if root.exists() else "does not exist"
        raise UsageError(f"The folder '{root}' {what}.")
    listing = Listing()
    for folder, files in _folders(root, listing):
        at = folder.relative_to(root).parts
        if pictures and at and _are_pictures(files):
            listing.entries.append(Entry(folder, at, 1))
            continue
        for file in files:
            if os.path.splitext(file)[1].lower() in suffixes:
                listing.entries.append(Entry(folder / file, (*at, file), 0))
        for first in _archives(folder, files):
            _look_into(first, (*at, first.name), suffixes, pictures, listing)
    return listing


def _folders(root: Path, listing: Listing) -> Iterator[tuple[Path, list[str]]]:
    """Every folder with its files' names; of a folder of pictures only the first names."""
    seen: set[tuple[int, int]] = set()
    pending = [root]
    while pending:
        folder = pending.pop()
        try:
            state = folder.stat()
            if (state.st_dev, state.st_ino) in seen:
                continue
            seen.add((state.st_dev, state.st_ino))
            with os.scandir(folder) as entries:
                head = [entry for entry in islice(entries, _PEEK) if not _is_hidden(entry.name)]
                all_pictures = len(head) > 1 and _are_pictures([entry.name for entry in head])
                rest = [] if all_pictures else list(entries)
        except OSError as error:
            refusal = UsageError(f"Cannot look into '{folder}': {error.strerror}.")
            if folder == root:
                raise refusal from None
            listing.unreadable[folder] = refusal
            continue
        visible = [entry for entry in (*head, *rest) if not _is_hidden(entry.name)]
        yield folder, sorted(entry.name for entry in visible if entry.is_file())
        # The last is looked at first.
        pending += sorted((Path(e.path) for e in visible if e.is_dir()), reverse=True)


def _archives(folder: Path, files: list[str]) -> list[Path]:
    """The archives of a folder, each by its only or first part."""
    first: dict[tuple[str, str], tuple[int, str]] = {}
    for file in files:
        name = archive_name(file)
        if name is not None:
            key, place = (name.whole, name.mark), (name.number or 0, file)
            first[key] = min(first.get(key, place), place)
    return [folder / file for _, file in sorted(first.values(), key=lambda place: place[1])]


def _look_into(
    path: Path, at: tuple[str, ...], suffixes: frozenset[str], pictures: bool, listing: Listing
) -> None:
    try:
        parts = tuple(parts_of(path))
        with open_archive(path) as archive:
            members = archive.members
    except RetakeError as error:
        listing.unreadable[path] = error
        return
    listing.archives[path] = parts
    folders: dict[PurePosixPath, int] = {}
    for name, member in members.items():
        inside = PurePosixPath(name)
        if any(_is_hidden(part) for part in inside.parts):
            continue
        if inside.suffix.lower() in suffixes:
            found = Entry(path / name, (*at, *inside.parts), 2, path, member.bytes, len(at))
            listing.entries.append(found)
        elif pictures and inside.suffix.lower() in PICTURES and inside.parent.parts:
            folders[inside.parent] = folders.get(inside.parent, 0) + member.bytes
    for folder, size in folders.items():
        found = Entry(path / folder, (*at, *folder.parts), 3, path, size, len(at))
        listing.entries.append(found)


def _are_pictures(names: list[str]) -> bool:
    return bool(names) and all(os.path.splitext(name)[1].lower() in PICTURES for name in names)


def _is_hidden(name: str) -> bool:
    """What the system or an archiver left there, such as ".cache" or "__MACOSX"."""
    return name.startswith(".") or name == "__MACOSX"
