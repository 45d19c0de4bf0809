"""Finding a benchmark's videos under its folder, unpacked or not, whatever they end in."""

from collections import defaultdict
from collections.abc import Collection, Iterable
from functools import cached_property
from pathlib import Path, PurePosixPath

from retake.core.errors import nearest
from retake.datasets.files.listing import Entry, Listing, list_files

VIDEOS = frozenset(
    {".mp4", ".mkv", ".webm", ".avi", ".mov", ".m4v", ".flv", ".mpg", ".mpeg", ".ts", ".wmv"}
)


class VideoFinder:
    """Files under a folder by name, in whatever place, format or archive they are.

    The folder and its archives are listed once, at the first question; of an archive only its
    table of contents is read.

    A video is a file, a folder of numbered pictures called as the video without its suffix
    (as published ReTaKe unpacks videos, at 25 frames a second), or a file or such a folder in a
    zip or tar archive. Where there are several of one name, it is decided in this order: a file
    before a folder of pictures before either in an archive; the very name, in any case, before
    another suffix; the places in their order; the path that sorts first.

    Attributes:
        root: the folder.
        places: folders under it, or in archives, to prefer. They need not exist; everything else
            under the root is looked at too.
        suffixes: of the files that are found.
    """

    def __init__(
        self,
        root: str | Path,
        places: Collection[str] = ("videos", "video", "data"),
        *,
        suffixes: Collection[str] = VIDEOS,
    ) -> None:
        """Nothing is read yet.

        Args:
            root, places: see above.
            suffixes: what files end in, in any case; for videos, folders of pictures count too.
        """
        self.root = Path(root).expanduser()
        self.places = tuple(places)
        self.suffixes = frozenset(suffix.lower() for suffix in suffixes)
        self._places = [PurePosixPath(place).parts for place in self.places]

    def find(self, name: str) -> Path | None:
        """Where a file is; None where it is not.

        Args:
            name: "abc.mp4", "abc", or with the folders that it is in, "1_plotQA/abc.mp4", which
                must then be the last ones of its path. Another suffix of the same kind will do.

        Raises:
            UsageError: the root does not exist or cannot be read.
        """
        wanted = PurePosixPath(name)
        stem = wanted.stem if wanted.suffix.lower() in self.suffixes else wanted.name
        above = wanted.parts[:-1]
        fitting = [
            entry
            for entry in self._by_stem.get(stem, ())
            if not above or entry.parts[-1 - len(above) : -1] == above
        ]
        if not fitting:
            return None
        return min(fitting, key=lambda entry: self._order(entry, wanted.name)).path

    def expected(self, name: str) -> Path:
        """Where a file that is missing would be looked for first."""
        return self.root.joinpath(*self.places[:1], name)

    def advice(self, name: str) -> str:
        """What there is in place of a missing file: how many were found, near names, archives.

        Raises:
            UsageError: the root does not exist or cannot be read.
        """
        stem = PurePosixPath(name).stem
        words = [f"Under '{self.root}' {len(self.listing.entries) or 'no'} such files were found."]
        if close := nearest(stem, self._by_stem):
            words.append(f"Near it: {', '.join(close)}.")
        words += [str(error) for error in self.listing.unreadable.values()]
        return " ".join(words)

    def surplus(self, known: Iterable[Path]) -> list[Path]:
        """What is there and not among the known: files, and archives of which nothing is known.

        Raises:
            UsageError: the root does not exist or cannot be read.
        """
        wanted = set(known)
        used = {entry.archive for entry in self.listing.entries if entry.path in wanted}
        idle = [path for path in self.listing.archives if path not in used | wanted]
        loose = [
            entry.path
            for entry in self.listing.entries
            if entry.path not in wanted and entry.archive not in idle
        ]
        return sorted([*idle, *loose])

    @cached_property
    def listing(self) -> Listing:
        """All that lies under the root."""
        return list_files(self.root, self.suffixes, pictures=not self.suffixes.isdisjoint(VIDEOS))

    @cached_property
    def _by_stem(self) -> dict[str, list[Entry]]:
        entries: dict[str, list[Entry]] = defaultdict(list)
        for entry in self.listing.entries:
            is_folder = entry.rank in (1, 3)
            entries[entry.name if is_folder else PurePosixPath(entry.name).stem].append(entry)
        return dict(entries)

    def _order(self, entry: Entry, name: str) -> tuple[int, bool, int, str]:
        is_other = entry.name.lower() != name.lower()
        return entry.rank, is_other, self._place(entry), str(entry.path)

    def _place(self, entry: Entry) -> int:
        """Which of the places it is in; behind the last where it is in none."""
        for number, place in enumerate(self._places):
            length = len(place)
            within = entry.parts[entry.depth : entry.depth + length]
            if place == entry.parts[:length] or place == within:
                return number
        return len(self.places)
