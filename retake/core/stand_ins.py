"""What lies where a downloaded file should be, and is not it: pointers and web pages."""

import attrs


@attrs.frozen
class StandIn:
    """Something that was saved in a file's place.

    Attributes:
        what: it is, as "a Git LFS pointer".
        hint: what to do about it.
    """

    what: str
    hint: str


_POINTER = StandIn(
    "a pointer of Git LFS",
    "The file itself was not fetched. In the folder that was cloned: git lfs pull",
)
_PAGE = StandIn(
    "a web page",
    "The download was refused or went to the wrong address; for some benchmarks one must sign in "
    "and agree to their terms first.",
)


def stand_in(head: bytes) -> StandIn | None:
    """What a file is instead of what it should be, by its first bytes; None where it may be it."""
    if head.startswith(b"version https://git-lfs.github.com/"):
        return _POINTER
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n")[:20].lower()
    return _PAGE if text.startswith((b"<!doctype html", b"<html")) else None
