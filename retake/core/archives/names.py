"""Which files are archives, or parts of one, by their names.

Names as benchmarks are published under: "videos_chunked_01.zip" (Video-MME),
"all_videos_split.zip.001" (LVBench), "videos.tar.part.aa" (LongVideoBench),
"test_video.tar.gz.part-*" (MLVU; "part-a" or "part-aa").
"""

import re
from itertools import pairwise
from pathlib import Path
from typing import Literal

import attrs

from retake.core.errors import VideoError

Kind = Literal["zip", "tar", "compressed tar"]

_WHOLE = r"\.zip|\.tar|\.tar\.(?:gz|bz2|xz|zst)|\.tgz"
_NAME = re.compile(rf"(?P<stem>.+?)(?P<kind>{_WHOLE})", re.IGNORECASE)
_PART = re.compile(
    rf"(?P<stem>.+?)(?P<kind>{_WHOLE})"
    r"(?P<mark>\.(?=\d{1,4}$|(?!gz|xz)[a-z]{2}$)|[.-]?part[.-]?)(?P<number>\d{1,4}|[a-z]{1,3})",
    re.IGNORECASE,
)


@attrs.frozen
class ArchiveName:
    """What a file's name says of it.

    Attributes:
        kind: "zip", "tar" or "compressed tar".
        whole: the name of the archive, without what marks a part.
        mark: what stands between that and the part's number; "" where it is no part.
        number: of the part, from 0; None where it is no part.
    """

    kind: Kind
    whole: str
    mark: str = ""
    number: int | None = None


def archive_name(name: str) -> ArchiveName | None:
    """What the name of a file says of it as an archive; None where it is none."""
    if found := _NAME.fullmatch(name):
        return ArchiveName(_kind(found["kind"]), name)
    if found := _PART.fullmatch(name):
        whole = found["stem"] + found["kind"]
        return ArchiveName(_kind(found["kind"]), whole, found["mark"], _number(found["number"]))
    return None


def parts_of(path: Path) -> list[Path]:
    """All parts of the archive that a file is or begins, in order; itself where it is whole.

    Raises:
        VideoError: a part is missing between them, or the first is.
    """
    name = archive_name(path.name)
    if name is None or name.number is None:
        return [path]
    numbers: dict[int, Path] = {}
    for other in path.parent.iterdir():
        found = archive_name(other.name)
        if found and (found.whole, found.mark) == (name.whole, name.mark):
            numbers[found.number or 0] = other
    ordered = sorted(numbers)
    # Parts by letter begin with "aa", those by number with 0 or 1.
    if ordered[0] > (1 if path.name[-1].isdigit() else 0):
        raise VideoError(
            f"Parts of {path.with_name(name.whole)} before {numbers[ordered[0]].name} are missing.",
            hint="Fetch them: an archive in parts is read from its first part on.",
        )
    for before, after in pairwise(ordered):
        if after != before + 1:
            raise VideoError(
                f"Of {path.with_name(name.whole)} the parts between {numbers[before].name} and "
                f"{numbers[after].name} are missing.",
                hint="Fetch them again.",
            )
    return [numbers[number] for number in ordered]


def _kind(suffix: str) -> Kind:
    kinds: dict[str, Kind] = {".zip": "zip", ".tar": "tar"}
    return kinds.get(suffix.lower(), "compressed tar")


def _number(text: str) -> int:
    """A part's number: "001" is 1, "ab" is 1."""
    if text.isdigit():
        return int(text)
    number = 0
    for letter in text.lower():
        number = number * 26 + ord(letter) - ord("a")
    return number
